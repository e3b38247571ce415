import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics.pairwise import cosine_similarity

from mmrec_tf.models import item_knn
from mmrec_tf.models.item_knn import ItemKnn
from mmrec_tf.models.recommender_model import Asked, TrainingData


def _fit(interactions, progress=None, **settings):
    return ItemKnn(**settings).fit(TrainingData(interactions), progress)


def _random(users=60, items=40, share=0.15, seed=1):
    dense = (np.random.default_rng(seed).random((users, items)) < share).astype("float32")
    return csr_matrix(dense), dense


def test_shrunk_cosine_by_hand():
    # Users of item 0: {0, 1, 2}, of item 1: {0, 1}, of item 2: {2}.
    interactions = csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1]], dtype="float32"))
    model = _fit(interactions, neighbours=2, shrink=1.0)
    # s(0, 1) = 2 / (sqrt(3 * 2) + 1), s(0, 2) = 1 / (sqrt(3 * 1) + 1), s(1, 2) = 0.
    first, second = 2 / (np.sqrt(6) + 1), 1 / (np.sqrt(3) + 1)
    expected = [[0, first, second], [first, 0, 0], [second, 0, 0]]
    np.testing.assert_allclose(model.similarities.toarray(), expected, rtol=1e-6)
    # A profile of items 1 and 2: item 0 gets both; items 1 and 2 share nothing with it, so they follow by popularity,
    # 2 / (3 + 1) - 1 and 1 / (3 + 1) - 1.
    scores = model.score(Asked(csr_matrix(np.array([[0, 1, 1]], dtype="float32"))))
    np.testing.assert_allclose(scores, [[first + second, -0.5, -0.75]], rtol=1e-6)


def test_similarities_without_shrinkage_are_scikit_learns_cosines():
    interactions, dense = _random()
    expected = cosine_similarity(dense.T)
    np.fill_diagonal(expected, 0.0)
    model = _fit(interactions, neighbours=dense.shape[1], shrink=0.0)
    np.testing.assert_allclose(model.similarities.toarray(), expected, atol=1e-6)


def test_only_the_nearest_neighbours_are_kept():
    interactions, dense = _random()
    cosines = cosine_similarity(dense.T)
    np.fill_diagonal(cosines, 0.0)
    kept = _fit(interactions, neighbours=3, shrink=0.0).similarities.toarray()
    # Equal cosines make the choice of neighbours free, not their values.
    np.testing.assert_allclose(-np.sort(-kept, axis=1)[:, :3], -np.sort(-cosines, axis=1)[:, :3], atol=1e-6)
    assert (np.count_nonzero(kept, axis=1) <= 3).all()


def test_blocks_change_nothing(monkeypatch):
    interactions, _ = _random()
    whole = _fit(interactions, neighbours=5).similarities
    monkeypatch.setattr(item_knn, "_BLOCK", 7)
    calls = []
    blocked = _fit(interactions, lambda *call: calls.append(call), neighbours=5).similarities
    np.testing.assert_array_equal(blocked.toarray(), whole.toarray())
    assert calls[-1] == ("item-KNN", 40, 40)


@pytest.mark.parametrize("empty", [csr_matrix((1, 40)), csr_matrix(([0.0], ([0], [3])), shape=(1, 40))])
def test_a_profile_without_positives_gets_the_popular_items(empty):
    interactions, dense = _random()
    order = np.argsort(-_fit(interactions).score(Asked(empty))[0], kind="stable")
    np.testing.assert_array_equal(order, np.argsort(-dense.sum(axis=0), kind="stable"))


def test_repeats_count_once():
    interactions, dense = _random()
    repeated = csr_matrix(dense * np.random.default_rng(2).integers(1, 5, dense.shape))
    once, often = _fit(interactions), _fit(repeated)
    np.testing.assert_allclose(often.score(Asked(repeated[:9])), once.score(Asked(interactions[:9])), rtol=1e-6)


def test_no_interactions_at_all():
    scores = _fit(csr_matrix((3, 4))).score(Asked(csr_matrix((2, 4))))
    np.testing.assert_array_equal(scores, np.full((2, 4), -1.0))
