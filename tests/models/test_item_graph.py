"""Which items are neighbours."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors

from mmrec_tf.data.sequences import Sequences
from mmrec_tf.models import item_graph as module
from mmrec_tf.models import rows_at_once
from mmrec_tf.models.item_graph import (
    cooccurrence_neighbours,
    follower_neighbours,
    graph_of,
    item_graph,
    linear_neighbours,
    modality_neighbours,
)
from tests import tiny_world


def test_neighbours_by_common_users_by_hand():
    # Users of item 0: {0, 1, 2}, of item 1: {0, 1}, of item 2: {2}, of item 3: none.
    positives = csr_matrix(np.array([[1, 3, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]], np.float32))
    indices, weights = cooccurrence_neighbours(positives, k=2, shrink=0.0)
    assert indices.tolist() == [[1, 2], [0, -1], [0, -1], [-1, -1]]
    near, far = 2 / np.sqrt(6), 1 / np.sqrt(3)
    np.testing.assert_allclose(weights, [[near, far], [near, 0], [far, 0], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize(("block", "scores", "largest"), [(7, 2**26, 7), (512, 150, 4)])
def test_neighbours_by_vectors_are_scikit_learns_whatever_the_blocks(monkeypatch, block, scores, largest):
    monkeypatch.setattr(module, "_BLOCK", block)
    monkeypatch.setattr(rows_at_once, "MOST_SCORES", scores)
    sizes, partition = [], np.argpartition
    monkeypatch.setattr(
        np, "argpartition", lambda *given, **kept: sizes.append(len(given[0])) or partition(*given, **kept)
    )
    random = np.random.default_rng(0)
    # All in one orthant, so that every cosine is above 0.
    vectors, mask = random.random([40, 5]) + 0.01, random.random(40) < 0.8
    indices, weights = modality_neighbours(vectors, mask, k=3)
    there = np.flatnonzero(mask)
    # Rows of so many scores as there are vectors: 150 / len(there) of them, or the block.
    assert max(sizes) == largest and sum(sizes) == len(there)
    nearest = NearestNeighbors(n_neighbors=3, metric="cosine").fit(vectors[mask]).kneighbors(return_distance=False)
    np.testing.assert_array_equal(indices[mask], there[nearest])
    np.testing.assert_array_equal(indices[~mask], -1)
    np.testing.assert_array_equal(weights, np.where(mask, 1.0, 0.0)[:, None] * np.ones(3))


def test_vectors_on_the_other_side_are_no_neighbours():
    vectors = np.array([[1.0, 0.1], [2.0, -0.1], [-1.0, 0.0], [0.0, 0.0]])
    indices, weights = modality_neighbours(vectors, np.ones(4, bool), k=2)
    assert indices.tolist() == [[1, -1], [0, -1], [-1, -1], [-1, -1]]
    assert weights.tolist() == [[1, 0], [1, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_vectors_for_neighbours(count):
    indices, weights = modality_neighbours(np.ones([4, 2]), np.arange(4) < count, k=3)
    assert (indices == -1).all() and (weights == 0).all() and indices.shape == (4, 3)


# Two kinds of neighbours of three items.
ONE = (np.array([[1, 2], [0, -1], [0, -1]]), np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]]))
OTHER = (np.array([[2, -1], [-1, -1], [0, -1]]), np.array([[0.5, 0.0], [0.0, 0.0], [0.5, 0.0]]))


def test_graph_by_hand():
    indices, weights = item_graph([(*ONE, 0.5), (*OTHER, 0.25)], width=2)
    # Degrees 2, 1, 1 and 0.5, 0, 0.5: of the one kind all weigh 1 / sqrt(2 * 1), of the other 0.5 / 0.5. So item 0 has
    # 0.5 / sqrt(2) + 0.25 of item 2 and 0.5 / sqrt(2) of item 1.
    half = 0.5 / np.sqrt(2)
    assert indices.tolist() == [[0, 0], [3, 2], [1, 0], [1, 0]]
    np.testing.assert_allclose(weights, [[0, 0], [half + 0.25, half], [half, 0], [half + 0.25, 0]], rtol=1e-6)
    assert (indices.dtype, weights.dtype) == (np.int32, np.float32)


def test_only_the_largest_weights_are_kept():
    indices, weights = item_graph([(*ONE, 0.5), (*OTHER, 0.25)], width=1)
    assert indices.tolist() == [[0], [3], [1], [1]]
    np.testing.assert_allclose(weights[1], 0.5 / np.sqrt(2) + 0.25, rtol=1e-6)


def test_no_row_sums_to_more_than_one():
    # A star: its centre has 4 neighbours of degree 1, each of weight 1 / sqrt(4 * 1), which sum to 2.
    indices = np.full([5, 4], -1)
    indices[0], indices[1:, 0] = [1, 2, 3, 4], 0
    found, weights = item_graph([(indices, (indices >= 0).astype(float), 1.0)], width=4)
    np.testing.assert_allclose(weights[1], 0.25)
    np.testing.assert_allclose(weights[2:], [[0.5, 0, 0, 0]] * 4)
    random = np.random.default_rng(0)
    parts = [(*modality_neighbours(random.normal(size=[30, 3]), random.random(30) < 0.7, 4), 0.5) for _ in range(2)]
    found, weights = item_graph(parts, width=5)
    assert weights.sum(axis=1).max() <= 1.0 + 1e-6
    np.testing.assert_array_equal(found > 0, weights > 0)


def test_kinds_of_other_catalogues_are_refused():
    with pytest.raises(ValueError, match=r"got 2 kinds of \[2, 3\] items"):
        item_graph([(*ONE, 0.5), (ONE[0][:2], ONE[1][:2], 0.5)], width=2)
    with pytest.raises(ValueError, match="got 0 kinds"):
        item_graph([], width=2)


def test_graph_of_a_catalogue_mixes_both_kinds():
    items = tiny_world.item_table()
    consumed = tiny_world.sequences().profiles(tiny_world.ITEMS)
    indices, weights = graph_of(items, consumed, 4, cooccurrence=0.5, content=0.5)
    assert indices.shape == weights.shape == (31, 4) and not weights[0].any()
    # By content alone an item without text and picture has no neighbour, and by common users a new one has none.
    by_content = graph_of(items, consumed, 4, cooccurrence=0.0, content=1.0)[1]
    by_users = graph_of(items, consumed, 4, cooccurrence=1.0, content=0.0)[1]
    without = tiny_world.WITHOUT_MODALITIES + 1
    assert not by_content[without].any() and by_users[without].any()
    assert by_content[28].any() and not by_users[28:].any()
    assert weights[without].any() and weights[28].any()
    # Neighbours by content are of the same group more often than by chance, one in four; the pictures say little.
    groups = (np.arange(31) - 1) % tiny_world.GROUPS
    rows, places = np.nonzero(by_content)
    near = graph_of(items, consumed, 4, cooccurrence=0.0, content=1.0)[0][rows, places]
    assert (groups[rows] == groups[near]).mean() > 0.35
    assert not graph_of(items, consumed, 4, cooccurrence=0.0, content=0.0)[1].any()


def test_linear_neighbours_are_the_largest_weights_of_a_ridge_regression():
    random = np.random.default_rng(4)
    positives = (random.random([40, 7]) < 0.4).astype(np.float64)
    positives[:, 5] = 0.0
    # Column i of B is the ridge regression of item i on the others, worked out one by one.
    weights = np.zeros([7, 7])
    for item in range(7):
        others = np.delete(np.arange(7), item)
        x = positives[:, others]
        weights[others, item] = np.linalg.solve(x.T @ x + 2.0 * np.eye(6), x.T @ positives[:, item])
    indices, values = linear_neighbours(csr_matrix(positives.astype(np.float32)), k=3, regularization=2.0)
    assert indices.shape == (7, 3)
    for item in range(7):
        order = [other for other in np.argsort(-weights[item]) if weights[item, other] > 1e-9][:3]
        assert indices[item, : len(order)].tolist() == order and (indices[item, len(order) :] == -1).all()
        np.testing.assert_allclose(values[item, : len(order)], weights[item, order], atol=1e-5)
        np.testing.assert_array_equal(values[item, len(order) :], 0.0)


def test_followers_come_soon_after_and_not_before():
    # User 0: items 0, 1, 2; user 1: items 1, 0, 0, 2. Pairs with 1 / distance, at most two apart and of two items:
    # 0-1 1, 1-2 1, 0-2 1/2; 1-0 1, 1-0 1/2 (the second 0), 0-2 1/2 and 1.
    users, items = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([0, 1, 2, 1, 0, 0, 2])
    sequences = Sequences(users, items, np.arange(7), users=2, length=3)
    indices, values = follower_neighbours(sequences, items=4, k=2, window=2, shrink=1.0)
    # Item 0 has three interactions, 1 and 2 have two each.
    root = np.sqrt(6) + 1
    assert indices.tolist() == [[2, 1], [0, 2], [-1, -1], [-1, -1]]
    np.testing.assert_allclose(values, [[2 / root, 1 / root], [1.5 / root, 1 / 3], [0, 0], [0, 0]], rtol=1e-6)
