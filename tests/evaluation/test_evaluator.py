import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf.errors import MmrecError
from mmrec_tf.evaluation import evaluator
from mmrec_tf.evaluation.evaluator import rank_by_embeddings, rank_items


def _sorted_lists(scores, profiles, k):
    """The straightforward way: sort everything, a user at a time."""
    lists = np.full((len(scores), k), -1)
    for user in range(len(scores)):
        seen = set(profiles.indices[profiles.indptr[user] : profiles.indptr[user + 1]].tolist())
        order = [item for item in np.argsort(-scores[user], kind="stable") if item not in seen][:k]
        lists[user, : len(order)] = order
    return lists


def _profiles(users, items, share, seed=0):
    return csr_matrix((np.random.default_rng(seed).random((users, items)) < share).astype("float32"))


def test_by_hand():
    scores = np.array([[0.1, 0.9, 0.5, 0.9], [0.3, 0.3, 0.3, 0.1]], dtype="float32")
    # User 0 has seen item 1; user 1 saw item 0 and did not like it, a stored zero.
    profiles = csr_matrix(([1.0, 0.0], ([0, 1], [1, 0])), shape=(2, 4))
    lists = rank_items(lambda positions: scores[positions], 2, profiles, k=4)
    # Equal scores in row order; the three that are left, then nothing.
    np.testing.assert_array_equal(lists, [[3, 2, 0, -1], [1, 2, 3, -1]])
    assert lists.dtype == np.int32


def test_k_beyond_the_catalogue_is_padded():
    lists = rank_items(lambda positions: np.ones((len(positions), 2)), 1, csr_matrix((1, 2)), k=5)
    np.testing.assert_array_equal(lists, [[0, 1, -1, -1, -1]])


def test_minus_infinity_is_never_recommended():
    lists = rank_items(lambda positions: np.array([[-np.inf, 2.0, -np.inf]]), 1, csr_matrix((1, 3)), k=2)
    np.testing.assert_array_equal(lists, [[1, -1]])


def test_batches_have_one_size_and_agree_with_sorting():
    scores = np.random.default_rng(1).integers(0, 9, (23, 60)).astype("float32")  # integers: many ties
    scores.setflags(write=False)
    profiles = _profiles(23, 60, 0.2)
    asked, reported = [], []

    def scorer(positions):
        asked.append(len(positions))
        return scores[positions]

    lists = rank_items(scorer, 23, profiles, 10, batch_size=8, progress=lambda *call: reported.append(call[1:]))
    np.testing.assert_array_equal(lists, _sorted_lists(scores, profiles, 10))
    assert asked == [8, 8, 8]
    assert reported == [(8, 23), (16, 23), (23, 23)]


def test_nan_is_refused_with_its_place():
    scores = np.zeros((3, 4))
    scores[2, 1] = np.nan
    with pytest.raises(MmrecError, match="item row 1 for the user at position 2 is NaN.*learning rate"):
        rank_items(lambda positions: scores[positions], 3, csr_matrix((3, 4)), k=2, batch_size=2)


def test_wrong_shape_is_refused():
    with pytest.raises(MmrecError, match=r"shape \[3, 5\] for 3 users and 4 items"):
        rank_items(lambda positions: np.zeros((3, 5)), 3, csr_matrix((3, 4)), k=2)


def test_nobody():
    assert rank_items(lambda positions: np.zeros((1, 4)), 0, csr_matrix((0, 4)), k=2).shape == (0, 2)
    assert rank_by_embeddings(np.zeros((0, 3)), np.zeros((4, 3)), csr_matrix((0, 4)), k=2).shape == (0, 2)


@pytest.mark.parametrize(
    ("items", "k", "share", "block"),
    [
        (20, 10, 0.2, 1024 * 128),  # fewer items than one group
        (50, 10, 0.2, 1024 * 128),  # fewer groups than items wanted, the last one mostly padding
        (300, 30, 0.2, 1024 * 128),  # no more groups than items wanted: none is left aside
        (2100, 1, 0.1, 1024 * 128),  # long enough for wide groups
        (256, 10, 0.2, 1024 * 128),  # whole groups
        (129, 1, 0.0, 1024 * 128),  # one more than a group: the last group is nearly all padding
        (1000, 10, 0.05, 256),  # several blocks, the last one padded
        (1000, 3, 0.05, 256),  # several blocks, of which the groups that can still matter are chosen
        (1000, 300, 0.9, 256),  # longer lists than unseen items
        (300, 400, 0.0, 128),  # k beyond the catalogue
    ],
)
@pytest.mark.parametrize("negative", [False, True])
def test_embeddings_agree_with_sorting(monkeypatch, items, k, share, block, negative):
    monkeypatch.setattr(evaluator, "_BLOCK", block)
    random = np.random.default_rng(items)
    # Small integers: products are exact in float32, and ties are everywhere.
    queries, candidates = random.integers(-3, 4, (21, 4)), random.integers(-3, 4, (items, 4))
    if negative:
        # Every score below zero, so that the zeros of the padding would win if they were let in.
        queries, candidates = np.abs(queries) + 1, -np.abs(candidates) - 1
    profiles = _profiles(21, items, share)
    lists = rank_by_embeddings(queries, candidates, profiles, k, batch_size=8)
    np.testing.assert_array_equal(lists, _sorted_lists(queries @ candidates.T, profiles, k))


def test_embeddings_that_are_not_finite_are_refused():
    items = np.zeros((4, 3))
    items[2, 0] = np.inf
    with pytest.raises(MmrecError, match="item embedding of row 2 is not finite"):
        rank_by_embeddings(np.zeros((2, 3)), items, csr_matrix((2, 4)), k=2)


def test_embeddings_that_do_not_fit_are_refused():
    with pytest.raises(MmrecError, match=r"queries \[2, 3\] and items \[4, 2\]"):
        rank_by_embeddings(np.zeros((2, 3)), np.zeros((4, 2)), csr_matrix((2, 4)), k=2)
