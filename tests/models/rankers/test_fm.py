"""The factorisation machine against the sum over all pairs."""

from itertools import combinations

import numpy as np
import pytest

from tests import tiny_world
from tests.models.rankers.worlds import linear_part, one_pair, only_ids, pairs, randomized, side_by_side


def test_score_by_hand():
    # 10 + 0.5 - 0.25, and 1 * 3 + 2 * -1
    assert only_ids("fm")(one_pair()).numpy() == pytest.approx([10.25 + 1.0])


def test_history_is_its_mean_and_its_last_item():
    model = only_ids("fm", history_length=3, items=4, last_item=True)
    model.history_fields.ids.embeddings.assign([[9, 9, 9], [9, 9, 9], [1, 2, 0], [3, 0, 4]])
    # The mean of items 3 and 2 is (2; 1, 2), the last of them (1; 2, 0); the user is (0.5; 1, 2), the item
    # (-0.25; 3, -1). Linear: 10 + 0.5 - 0.25 + 2 + 1. Pairs: user with item 1, mean with user 5 and item 1, the last
    # with user 2, item 6 and mean 2.
    assert model(one_pair([0, 3, 2])).numpy() == pytest.approx([13.25 + 1 + 5 + 1 + 2 + 6 + 2])
    # Without a history both are nothing.
    assert model(one_pair([0, 0, 0])).numpy() == pytest.approx([10.25 + 1.0])


def test_score_is_the_sum_over_all_pairs_of_fields():
    model, inputs = randomized(tiny_world.ranker(model="fm")), pairs()
    parts = model._pairs(inputs, False, (), False, None)
    vectors, expected = side_by_side(parts), linear_part(model, parts)
    # item: id, category, tags, price, image, text, trend; user: id, country, age; the history: the former six, as
    # they are on average and of its last item
    assert vectors.shape == (18, 22, 4)
    for f, g in combinations(range(22), 2):
        expected += (vectors[:, f] * vectors[:, g]).sum(axis=1)
    np.testing.assert_allclose(model(inputs).numpy().ravel(), expected, rtol=1e-4, atol=1e-4)
