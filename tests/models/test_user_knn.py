import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics.pairwise import cosine_similarity

from mmrec_tf.models import user_knn
from mmrec_tf.models.recommender_model import Asked, TrainingData
from mmrec_tf.models.user_knn import UserKnn


def _random(users=60, items=40, share=0.15, seed=1):
    return (np.random.default_rng(seed).random((users, items)) < share).astype("float32")


def test_shrunk_cosine_by_hand():
    # Users have {0, 1}, {0, 1, 2} and {3}; a stranger has {1, 2}.
    interactions = csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]], dtype="float32"))
    model = UserKnn(neighbours=5, shrink=1.0).fit(TrainingData(interactions))
    scores = model.score(Asked(csr_matrix(np.array([[0, 1, 1, 0]], dtype="float32"))))
    # To user 0: 1 / (sqrt(2 * 2) + 1) = 1/3, to user 1: 2 / (sqrt(2 * 3) + 1). Item 3 belongs to nobody alike: it has
    # one user where the most popular has two, 1 / (2 + 1) - 1.
    first, second = 1 / 3, 2 / (np.sqrt(6) + 1)
    np.testing.assert_allclose(scores, [[first + second, first + second, second, -2 / 3]], rtol=1e-6)


def test_all_neighbours_give_scikit_learns_cosines_times_the_matrix():
    dense = _random()
    model = UserKnn(neighbours=60, shrink=0.0).fit(TrainingData(csr_matrix(dense)))
    cosines = cosine_similarity(dense)
    np.fill_diagonal(cosines, 0.0)
    expected = cosines @ dense
    scores = model.score(Asked(csr_matrix(dense), np.arange(60)))
    np.testing.assert_allclose(np.where(scores > 0, scores, 0), expected, atol=1e-5)


def test_only_the_nearest_are_neighbours_and_nobody_is_their_own():
    dense = _random()
    model = UserKnn(neighbours=3, shrink=0.0).fit(TrainingData(csr_matrix(dense)))
    kept = model.similarities(Asked(csr_matrix(dense), np.arange(60))).toarray()
    cosines = cosine_similarity(dense)
    np.fill_diagonal(cosines, 0.0)
    np.testing.assert_allclose(-np.sort(-kept, axis=1)[:, :3], -np.sort(-cosines, axis=1)[:, :3], atol=1e-6)
    assert (np.count_nonzero(kept, axis=1) <= 3).all() and not np.diag(kept).any()


def test_blocks_change_nothing(monkeypatch):
    dense = csr_matrix(_random())
    model = UserKnn(neighbours=5).fit(TrainingData(dense))
    whole = model.score(Asked(dense, np.arange(60)))
    monkeypatch.setattr(user_knn, "_BLOCK", 7)
    np.testing.assert_array_equal(model.score(Asked(dense, np.arange(60))), whole)


@pytest.mark.parametrize("empty", [csr_matrix((1, 40)), csr_matrix(([0.0], ([0], [3])), shape=(1, 40))])
def test_a_profile_without_positives_gets_the_popular_items(empty):
    dense = _random()
    order = np.argsort(-UserKnn().fit(TrainingData(csr_matrix(dense))).score(Asked(empty))[0], kind="stable")
    np.testing.assert_array_equal(order, np.argsort(-dense.sum(axis=0), kind="stable"))


def test_repeats_count_once():
    dense = _random()
    repeated = csr_matrix(dense * np.random.default_rng(2).integers(1, 5, dense.shape))
    once = UserKnn().fit(TrainingData(csr_matrix(dense))).score(Asked(csr_matrix(dense)))
    np.testing.assert_allclose(UserKnn().fit(TrainingData(repeated)).score(Asked(repeated)), once, rtol=1e-6)
