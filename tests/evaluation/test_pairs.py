"""Labelled pairs for judging a ranker."""

import numpy as np
import pytest

from mmrec_tf.evaluation.pairs import evaluation_pairs
from tests import tiny_world


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    return tiny_world.prepared(tmp_path_factory.mktemp("clicks"))


def touched(prepared) -> set[tuple[int, int]]:
    """(user index, item index) of all interactions, in any part of the split."""
    users, items = prepared.rows(prepared.data.interactions)
    return set(zip((users + 1).tolist(), (items + 1).tolist()))


def test_each_positive_stands_beside_items_its_user_never_touched(clicks):
    frame = clicks.split.test
    pairs = evaluation_pairs(clicks, frame, clicks.sequences(), negatives=4)
    # Leave-one-out: one test row for each of the 18 users, and four negatives for each.
    assert {name: len(array) for name, array in pairs.items()} == dict.fromkeys(pairs, 18 * 5)
    assert pairs["label"].tolist() == [1.0] * 18 + [0.0] * 72
    users, items = clicks.rows(frame)
    assert pairs["user_index"][:18].tolist() == (users + 1).tolist()
    assert pairs["item_index"][:18].tolist() == (items + 1).tolist()
    negatives = list(zip(pairs["user_index"][18:].tolist(), pairs["item_index"][18:].tolist()))
    assert not set(negatives) & touched(clicks)
    counts = np.bincount(pairs["user_index"][18:], minlength=21)
    assert counts[np.unique(users + 1)].tolist() == [4] * 18
    assert 1 <= min(item for _, item in negatives) and max(item for _, item in negatives) <= 30


def test_each_pair_sees_what_its_user_did_strictly_before(clicks):
    known = clicks.sequences(clicks.data.interactions)
    pairs = evaluation_pairs(clicks, clicks.split.test, known, negatives=2)
    # The test row is the user's last of six, so the five before it are the history, without the row itself.
    everything = known.latest(np.arange(tiny_world.USERS))
    rows = known.before(known.starts[pairs["user_index"]] - 1)
    np.testing.assert_array_equal(pairs["history"], rows)
    assert (pairs["history"][:, 1:] == everything[pairs["user_index"] - 1][:, :-1]).all()


def test_draws_repeat_with_the_seed(clicks):
    def drawn(seed):
        return evaluation_pairs(clicks, clicks.split.test, clicks.sequences(), seed=seed)["item_index"].tolist()

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_negatives_are_uniform_over_what_is_left(clicks):
    one = clicks.split.test.iloc[[0]]
    pairs = evaluation_pairs(clicks, one, clicks.sequences(), negatives=24_000)
    counts = np.bincount(pairs["item_index"][1:], minlength=31)[1:]
    # 24 items are left; 1000 draws each on average, with a deviation of sqrt(24000 * 1/24 * 23/24) = 31.
    assert (counts > 0).sum() == 24
    assert np.abs(counts[counts > 0] - 1000).max() < 5 * 31


def test_without_negatives_the_rows_are_taken_as_they_are(clicks):
    pairs = evaluation_pairs(clicks, clicks.split.test, clicks.sequences(), negatives=0)
    assert pairs["label"].tolist() == [1.0] * 18


def starred(folder, target, stars):
    return tiny_world.prepared(
        folder, stars=stars, positive_from=4.0, ranking={"target": target}, split={"method": "random", "test": 0.5}
    )


def test_rows_that_are_no_positives_are_zeros_of_their_own(tmp_path):
    stars = np.tile([5, 4, 2], 36)
    known = starred(tmp_path, "click", stars)
    frame = known.split.test
    pairs = evaluation_pairs(known, frame, known.sequences(), negatives=3)
    positives = (frame["stars"] >= 4).to_numpy()
    assert len(pairs["label"]) == len(frame) + 3 * positives.sum()
    assert pairs["label"][: len(frame)].tolist() == positives.astype(float).tolist()
    assert not pairs["label"][len(frame) :].any()


def test_ratings_are_taken_as_they_are(tmp_path):
    stars = np.tile([5, 4, 2], 36)
    known = starred(tmp_path, "rating", stars)
    pairs = evaluation_pairs(known, known.split.test, known.sequences(), negatives=3)
    assert pairs["label"].tolist() == known.split.test["stars"].tolist()


def test_a_user_who_touched_everything_has_no_negatives(tmp_path, monkeypatch):
    # One user with all items but i7, and one with all.
    users = np.repeat([0, 1], [29, 30])
    items = np.concatenate([np.delete(np.arange(30), 7), np.arange(30)])
    monkeypatch.setattr(tiny_world, "interactions", lambda: (users, items, np.arange(59.0)))
    known = tiny_world.prepared(tmp_path)
    pairs = evaluation_pairs(known, known.split.test, known.sequences(), negatives=2)
    # Index 8 is i7, the one item that is left to the first user.
    assert pairs["user_index"].tolist() == [1, 2, 1, 1]
    assert pairs["item_index"][2:].tolist() == [8, 8]


def test_what_a_user_has_had_before_teaches_and_judges_no_ranker(tmp_path, monkeypatch):
    # The first user takes i0 and i1 three times each, then i2 in validation, i0 again, and i3; the second i4 and i5.
    users = np.repeat([0, 1], [10, 4])
    items = np.array([0, 1, 0, 1, 0, 1, 6, 2, 0, 3, 4, 5, 4, 5])
    parts = ["train"] * 7 + ["validation", "test", "test"] + ["train"] * 3 + ["test"]
    monkeypatch.setattr(tiny_world, "interactions", lambda: (users, items, np.arange(14.0)))
    known = tiny_world.prepared(tmp_path, split={"method": "random"})
    rows = known.data.interactions.assign(part=parts)
    known.split.train, known.split.validation, known.split.test = (
        rows[rows["part"] == part] for part in ("train", "validation", "test")
    )
    pairs = evaluation_pairs(known, known.split.test, known.sequences(), negatives=1)
    likes = pairs["label"] > 0
    # Indices are rows + 1: of i0, i3 and i5 only i3 is new to its user.
    assert pairs["item_index"][likes].tolist() == [4]
    repeats = known.repeats(known.split.train)
    assert repeats.tolist() == [False, False, True, True, True, True, False, False, False, True]
