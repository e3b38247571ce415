"""Pseudo-labels: for whom, of what, and from which confidence on."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_pretraining import PseudoLabelsConfig
from mmrec_tf.data.sequences import Sequences
from mmrec_tf.pretraining.confident_pairs import find_confident_pairs

USERS, ITEMS = 4, 6


class Views:
    """A model whose views are given: for each a score of every user for every item, as one-hot users and columns."""

    def __init__(self, views):
        self.views = [np.asarray(view, np.float32) for view in views]
        self.seen = 0

    def embed_candidate(self, index, training):
        assert training
        view, self.seen = self.views[self.seen], self.seen + 1
        return tf.constant(view.T[index.numpy() - 1])

    def embed_query(self, user_index, history, training):
        assert training
        return tf.one_hot(user_index - 1, USERS)


def data(interactions):
    """Prepared data of these (user, item) rows in training."""
    users, items = (np.array(column, int) for column in zip(*interactions))
    sequences = Sequences(users, items, np.arange(len(users), dtype=float), USERS, 3)
    return SimpleNamespace(
        sequences=lambda: sequences,
        touched=lambda frame: sequences,
        split=SimpleNamespace(train=None),
        data=SimpleNamespace(items=range(ITEMS)),
    )


def pairs(views, interactions, **options):
    options = PseudoLabelsConfig(**{"few": 2, "k": 2, "views": len(views), "confidence": 0.6, **options})
    found = find_confident_pairs(Views(views), data(interactions), options, seed=0)
    rows = zip(found.user_index.tolist(), found.item_index.tolist(), found.confidence.round(3).tolist())
    return sorted(rows)


# User 0 has one interaction, user 1 three, user 2 two, user 3 none; every item but 5 has at least one.
TOUCHED = [(0, 0), (1, 0), (1, 1), (1, 2), (2, 3), (2, 4)]


def best(*items):
    """Scores under which these items come first, for every user."""
    return [[float(ITEMS - items.index(item)) if item in items else 0.0 for item in range(ITEMS)]] * USERS


def test_confidence_is_the_share_of_the_views_that_have_the_item_in_the_list():
    views = [best(1, 2), best(1, 3), best(1, 4), best(2, 1)]
    # Item 1 (index 2) is in all four lists of two, item 2 in two of them, the others in one.
    assert [pair for pair in pairs(views, TOUCHED, few=2) if pair[0] == 1] == [(1, 2, 1.0)]
    assert [pair for pair in pairs(views, TOUCHED, confidence=0.5) if pair[0] == 1] == [(1, 2, 1.0), (1, 3, 0.5)]


def test_the_threshold_itself_is_enough():
    views = [best(1, 2)] * 7 + [best(3, 4)] * 3
    found = pairs(views, TOUCHED, confidence=0.7)
    assert {(user, item) for user, item, _ in found if user == 1} == {(1, 2), (1, 3)}


def test_what_was_touched_is_not_told_again_and_users_without_a_history_are_not_guessed():
    found = pairs([best(0, 1), best(0, 1)], TOUCHED, few=10)
    # User 0 has touched item 0, so that items 1 and 2 take the two places.
    assert {item for user, item, _ in found if user == 1} == {2, 3}
    assert 4 not in {user for user, _, _ in found}


def test_pairs_are_for_few_interactions_of_user_or_item():
    # User row 1 has three interactions, which is not few; item row 5 has none, and item row 3 one, which is not fewer.
    views = [best(5, 3)] * 2
    assert pairs(views, TOUCHED, few=1) == [(1, 6, 1.0), (2, 6, 1.0), (3, 6, 1.0)]
    # With few = 2 the user in row 0 is one of few interactions, whatever the item.
    often = [*TOUCHED, *((user, item) for user in (1, 2) for item in range(ITEMS))]
    assert pairs(views, often, few=2) == [(1, 4, 1.0), (1, 6, 1.0)]
    # With two interactions for everything nothing is few.
    enough = [(user, item) for item in range(ITEMS) for user in (1, 2)]
    assert pairs([best(5, 3)] * 2, enough, few=2) == []


def test_most_pairs_of_a_user_are_the_surest():
    views = [best(1, 2, 3), best(1, 2, 4), best(1, 3, 5)]
    found = pairs(views, TOUCHED, k=3, pairs_per_user=2, confidence=0.3)
    assert [pair for pair in found if pair[0] == 1] == [(1, 2, 1.0), (1, 3, pytest.approx(0.667))]


def test_somebody_who_has_touched_nearly_everything_has_a_shorter_list():
    touched = [(0, item) for item in range(ITEMS - 1)]
    assert pairs([best(0, 1)] * 2, touched, few=20, k=4) == [(1, 6, 1.0)]


def test_users_are_asked_in_blocks_of_any_number(monkeypatch):
    from mmrec_tf.pretraining import confident_pairs

    views = [best(1, 2), best(1, 3)]
    whole = pairs(views, TOUCHED, few=10)
    monkeypatch.setattr(confident_pairs, "_USERS_AT_A_TIME", 1)
    assert len(whole) > 2 and pairs(views, TOUCHED, few=10) == whole
