import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf.models import row_batches
from mmrec_tf.models.matrix_factorization import MatrixFactorization
from mmrec_tf.models.recommender_model import Asked, TrainingData


def _counts(users=30, items=20, seed=3):
    random = np.random.default_rng(seed)
    return (random.random((users, items)) < 0.25) * random.integers(1, 4, (users, items)).astype("float64")


def _normal_equations(counts, fixed, alpha, regularization):
    """(Y' C Y + lambda I) x = Y' C p for each row, with C and p as whole matrices."""
    solved = []
    for row in counts:
        confidence = np.diag(1.0 + alpha * row)
        system = fixed.T @ confidence @ fixed + regularization * np.eye(fixed.shape[1])
        solved.append(np.linalg.solve(system, fixed.T @ confidence @ (row > 0)))
    return np.array(solved)


@pytest.mark.parametrize("factors", [2, 4, 16])
def test_each_half_step_solves_the_normal_equations(factors):
    # Rows hold about five entries: with 2 factors they take the direct system, with 16 the smaller one, with 4 both.
    counts = _counts()
    model = MatrixFactorization(factors=factors, alpha=3.0, regularization=0.7)
    fixed = np.random.default_rng(4).normal(size=(20, factors)).astype("float32")
    expected = _normal_equations(counts, fixed.astype("float64"), 3.0, 0.7)
    np.testing.assert_allclose(model._solve(csr_matrix(counts.astype("float32")), fixed), expected, atol=2e-4)


def test_fit_reaches_the_point_that_dense_alternation_reaches():
    counts = _counts()
    model = MatrixFactorization(factors=3, alpha=2.0, regularization=1.0, iterations=8, seed=5).fit(
        TrainingData(csr_matrix(counts))
    )
    items = np.random.default_rng(5).normal(0.0, 0.1, (20, 3))
    for _ in range(8):
        users = _normal_equations(counts, items, 2.0, 1.0)
        items = _normal_equations(counts.T, users, 2.0, 1.0)
    np.testing.assert_allclose(model.item_factors, items, atol=1e-3)
    # A user of the training data is scored by the same solve, for the final items.
    expected = _normal_equations(counts, items, 2.0, 1.0) @ items.T
    np.testing.assert_allclose(model.score(Asked(csr_matrix(counts))), expected, atol=2e-3)


def test_small_batches_change_nothing(monkeypatch):
    counts = csr_matrix(_counts())
    whole = MatrixFactorization(factors=4, iterations=3).fit(TrainingData(counts)).item_factors
    monkeypatch.setattr(row_batches, "_CELLS", 1)
    np.testing.assert_allclose(
        MatrixFactorization(factors=4, iterations=3).fit(TrainingData(counts)).item_factors, whole, atol=1e-4
    )


def test_a_user_unknown_in_training_is_served_from_the_profile():
    # Two tastes that never mix: items 0-4 and 5-9. A new user who took 0 and 1 wants 2-4, not 5-9.
    counts = np.zeros((40, 10))
    random = np.random.default_rng(6)
    for user in range(40):
        counts[user, random.choice(5, 3, replace=False) + 5 * (user % 2)] = 1
    model = MatrixFactorization(factors=2, regularization=1.0).fit(TrainingData(csr_matrix(counts)))
    scores = model.score(Asked(csr_matrix(([1.0, 1.0], ([0, 0], [0, 1])), shape=(1, 10))))[0]
    assert scores[2:5].min() > scores[5:].max()


@pytest.mark.parametrize("empty", [csr_matrix((1, 20)), csr_matrix(([0.0], ([0], [3])), shape=(1, 20))])
def test_a_profile_without_positives_gets_the_popular_items(empty):
    counts = _counts()
    scores = MatrixFactorization(factors=4, iterations=1).fit(TrainingData(csr_matrix(counts))).score(Asked(empty))
    np.testing.assert_array_equal(scores[0], counts.sum(axis=0))


def test_a_profile_of_items_that_training_has_not_seen_gets_the_popular_items():
    # Popularity 1, 0, 1, 2.
    positives = csr_matrix(np.array([[1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]], dtype="float32"))
    model = MatrixFactorization().fit(TrainingData(positives))
    assert model.recommend(Asked(csr_matrix(([1.0], ([0], [1])), shape=(1, 4))), 3).tolist() == [[3, 0, 2]]


def test_a_seen_item_that_was_not_liked_does_not_count():
    counts = csr_matrix(_counts())
    model = MatrixFactorization(factors=4, iterations=2).fit(TrainingData(counts))
    liked = csr_matrix(([1.0], ([0], [2])), shape=(1, 20))
    with_dislike = csr_matrix(([1.0, 0.0], ([0, 0], [2, 7])), shape=(1, 20))
    np.testing.assert_array_equal(model.score(Asked(with_dislike)), model.score(Asked(liked)))


def test_the_seed_decides():
    counts = csr_matrix(_counts())
    first, again, other = (
        MatrixFactorization(factors=4, iterations=2, seed=s).fit(TrainingData(counts)) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.item_factors, again.item_factors)
    assert not np.allclose(first.item_factors, other.item_factors)
