"""Wide & Deep: the crosses by hand, and where they are found."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.models.rankers.wide_deep import hashed
from tests import tiny_world
from tests.models.rankers.worlds import of_deep, one_pair, only_ids, pairs, randomized


def bucket(left: int, right: int, kind: int, buckets: int) -> int:
    """The hash in Python's numbers, which never overflow."""
    prime = 2**31 - 1
    mixed = (left * 2_654_435_761 + kind * 40_503) % prime
    mixed = ((mixed ^ right) * 2_246_822_519) % prime
    return (mixed * 3_266_489_917 % prime >> 3) % buckets


def test_hash_has_no_overflow_and_spreads():
    random = np.random.default_rng(0)
    left, right = random.integers(0, 2**31 - 1, [2, 500])
    found = hashed(tf.constant(left, tf.int32), tf.constant(right, tf.int32), 3, 1000).numpy()
    assert found.tolist() == [bucket(int(a), int(b), 3, 1000) for a, b in zip(left, right)]
    # Small neighbouring numbers, as ids are, into as many buckets: by chance 1 - 1/e = 63 % are hit.
    small = hashed(tf.range(100)[:, None], tf.range(100)[None, :], 0, 10_000).numpy()
    assert 0.55 < len(np.unique(small)) / 10_000 < 0.75
    other = hashed(tf.range(100)[:, None], tf.range(100)[None, :], 1, 10_000).numpy()
    assert (small == other).mean() < 0.01


def test_score_by_hand():
    model = only_ids("wide_deep", history_length=2, items=4, hidden=[], crosses=1000)
    weights = np.zeros(1000)
    # Items 2 and 3 of the history with item 1, which the user is asked about.
    weights[bucket(2, 1, 0, 1000)], weights[bucket(3, 1, 0, 1000)] = 4.0, 6.0
    model.cross_weights.assign(weights)
    model.history_fields.ids.embeddings.assign(np.zeros([4, 3]))
    # The deep part without hidden layers is linear: item (3, -1), then user (1, 2) and history (0, 0).
    model.deep.first_of_item.set_weights([np.array([[0.1], [0.2]])])
    model.deep.first_of_user.set_weights([np.array([[0.3], [0.4], [9.0], [9.0]]), np.array([0.0])])
    # 10.25 linear; (4 + 6) / 2 crosses; 0.3 - 0.2 + 0.3 + 0.8 deep
    assert model(one_pair([2, 3])).numpy() == pytest.approx([10.25 + 5.0 + 1.2])
    # Padding takes no part, and an item without an id has no cross.
    assert model(one_pair([0, 3])).numpy() == pytest.approx([10.25 + 6.0 + 1.2])
    model.deep.first_of_item.set_weights([np.zeros([2, 1])])
    # Of the item whose id is not known: weight 9 instead of -0.25.
    assert model(one_pair([2, 3]), without_ids=True).numpy() == pytest.approx([10.25 + 9.25 + 1.1])


def test_categories_cross_with_the_item_and_its_categories():
    model, inputs = randomized(tiny_world.ranker(model="wide_deep", crosses=97), scale=1.0), pairs()
    parts = model._pairs(inputs, False, (), False, None)
    weights = model.cross_weights.numpy()
    country = model.users.tables["categorical"]["country"].numpy()
    category = model.items.tables["categorical"]["category"].numpy()
    ids = model.items.id_index.numpy()
    expected = np.zeros([6, 3])
    for row in range(6):
        history = [int(ids[j]) for j in inputs["history"].numpy()[row] if ids[j]]
        left = int(country[inputs["user_index"][row]])
        for place in range(3):
            item = int(inputs["item_index"][row, place])
            for kind, right in ((1, int(ids[item])), (2, int(category[item]))):
                expected[row, place] += weights[bucket(left, right, kind, 97)] if left and right else 0.0
            crossed = [weights[bucket(j, int(ids[item]), 0, 97)] for j in history if ids[item]]
            expected[row, place] += sum(crossed) / max(len(history), 1)
    np.testing.assert_allclose(model._crossed(parts).numpy(), expected, rtol=1e-4, atol=1e-5)
    flat = [vectors.numpy().reshape(len(vectors), -1) for vectors in (parts.item_vectors, parts.user_vectors)]
    deep = of_deep(model.deep, flat[0], np.repeat(flat[1], 3, axis=0))
    np.testing.assert_allclose(model.interactions(parts, False), expected.ravel() + deep, rtol=1e-3, atol=1e-4)


def test_no_crosses():
    model = only_ids("wide_deep", hidden=[3], crosses=0)
    assert not any("cross" in weight.name for weight in model.weights)
    assert np.isfinite(model(one_pair()).numpy()).all()
