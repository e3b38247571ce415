import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.models import ease
from mmrec_tf.models.ease import Ease
from mmrec_tf.models.recommender_model import Asked, TrainingData


def _random(users=80, items=25, share=0.2, seed=1):
    return (np.random.default_rng(seed).random((users, items)) < share).astype("float32")


def _column_by_column(dense, regularization):
    """Each item regressed on the others by itself: what the closed form says in one inverse."""
    items = dense.shape[1]
    weights = np.zeros((items, items))
    for item in range(items):
        others = np.delete(np.arange(items), item)
        design = dense[:, others].astype("float64")
        gram = design.T @ design + regularization * np.eye(items - 1)
        weights[others, item] = np.linalg.solve(gram, design.T @ dense[:, item])
    return weights


def test_two_items_by_hand():
    # X'X + 1 = [[4, 2], [2, 3]], its inverse [[3, -2], [-2, 4]] / 8: B_01 = -(-2) / 4 = 1/2, B_10 = -(-2) / 3 = 2/3.
    interactions = csr_matrix(np.array([[1, 1], [1, 1], [1, 0]], dtype="float32"))
    model = Ease(regularization=1.0).fit(TrainingData(interactions))
    np.testing.assert_allclose(model.weights, [[0, 1 / 2], [2 / 3, 0]], rtol=1e-6)
    scores = model.score(Asked(csr_matrix(np.array([[1, 0], [0, 1]], dtype="float32"))))
    np.testing.assert_allclose(scores, [[0, 1 / 2], [2 / 3, 0]], rtol=1e-6)


@pytest.mark.parametrize("block", [4, 1000])
def test_weights_are_those_of_each_items_own_regression(monkeypatch, block):
    monkeypatch.setattr(ease, "_BLOCK", block)
    dense = _random()
    model = Ease(regularization=5.0).fit(TrainingData(csr_matrix(dense)))
    np.testing.assert_allclose(model.weights, _column_by_column(dense, 5.0), atol=2e-6)
    expected = dense @ _column_by_column(dense, 5.0)
    np.testing.assert_allclose(model.score(Asked(csr_matrix(dense))), expected, atol=2e-5)


def test_items_that_nobody_touched_score_zero_and_change_nothing():
    dense = _random()
    wider = np.insert(dense, 7, 0.0, axis=1)
    plain = Ease().fit(TrainingData(csr_matrix(dense))).score(Asked(csr_matrix(dense)))
    scores = Ease().fit(TrainingData(csr_matrix(wider))).score(Asked(csr_matrix(wider)))
    np.testing.assert_array_equal(scores[:, 7], 0.0)
    np.testing.assert_allclose(np.delete(scores, 7, axis=1), plain, atol=1e-6)


def test_repeats_count_once_and_an_empty_profile_gets_the_popular_items():
    dense = _random()
    repeated = csr_matrix(dense * np.random.default_rng(2).integers(1, 4, dense.shape))
    once, often = Ease().fit(TrainingData(csr_matrix(dense))), Ease().fit(TrainingData(repeated))
    np.testing.assert_allclose(often.weights, once.weights, atol=1e-6)
    disliked = csr_matrix(([0.0], ([0], [3])), shape=(1, 25))
    np.testing.assert_array_equal(once.score(Asked(disliked))[0], dense.sum(axis=0))


@pytest.mark.parametrize("profile", [[0], [2, 4]])
def test_a_profile_that_says_nothing_of_other_items_gets_the_popular_ones(profile):
    # Popularity 1, 0, 1, 3, 1: item 0 met no other, and items 2 and 4 none but each other.
    positives = np.array([[1, 0, 0, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0]])
    model = Ease().fit(TrainingData(csr_matrix(positives, dtype="float32")))
    asked = Asked(csr_matrix((np.ones(len(profile)), ([0] * len(profile), profile)), shape=(1, 5)))
    expected = [item for item in [3, 0, 2, 4, 1] if item not in profile]
    assert model.recommend(asked, len(expected)).tolist() == [expected]


def test_no_interactions_at_all():
    scores = Ease().fit(TrainingData(csr_matrix((3, 4)))).score(Asked(csr_matrix(np.eye(2, 4))))
    np.testing.assert_array_equal(scores, np.zeros((2, 4)))


def test_mistakes_are_named():
    dense = csr_matrix(np.ones((2, 2000), dtype="float32"))
    # 8 bytes for each of 2000 x 2000 pairs.
    with pytest.raises(DataError, match=r"0\.0 GB for the 2,000 items.*max_items is 1,500.*item_knn"):
        Ease(max_items=1500).fit(TrainingData(dense))
    with pytest.raises(DataError, match="singular in single precision. Raise regularization"):
        Ease(regularization=1e-12).fit(TrainingData(csr_matrix(np.ones((3, 3), dtype="float32"))))
    with pytest.raises(ConfigError, match="above 0, got 0"):
        Ease(regularization=0.0)
