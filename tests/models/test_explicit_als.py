import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf.errors import DataError
from mmrec_tf.models.explicit_als import ExplicitAls
from mmrec_tf.models.factor_model import ratings_of
from mmrec_tf.models.recommender_model import Asked, TrainingData


def _ratings(users=30, items=20, seed=3):
    random = np.random.default_rng(seed)
    is_there = random.random((users, items)) < 0.4
    rows, columns = np.nonzero(is_there)
    taste = random.normal(size=(users, 2)) @ random.normal(size=(2, items))
    labels = 3.0 + taste[rows, columns] + random.normal(0.0, 0.1, len(rows))
    positives = csr_matrix(is_there.astype("float32"))
    return TrainingData(positives, rows, columns, labels=labels.astype("float32")), is_there


def _alternated(training, is_there, factors, regularization, iterations, seed):
    """The same alternation with one dense ridge regression for each row."""
    values = np.zeros(is_there.shape)
    values[training.user_rows, training.item_rows] = training.labels
    mean = values[is_there].mean()

    def half(values, there, fixed):
        solved = np.zeros((len(values), 1 + factors))
        for row in range(len(values)):
            of_row = np.flatnonzero(there[row])
            design = np.column_stack([np.ones(len(of_row)), fixed[of_row, 1:]])
            target = values[row, of_row] - mean - fixed[of_row, 0]
            ridge = design.T @ design + regularization * np.eye(1 + factors)
            solved[row] = np.linalg.solve(ridge, design.T @ target)
        return solved

    items = np.random.default_rng(seed).normal(0.0, 0.1, (values.shape[1], 1 + factors))
    items[:, 0] = 0.0
    for _ in range(iterations):
        users = half(values, is_there, items)
        items = half(values.T, is_there.T, users)
    return mean + users[:, :1] + items[:, :1].T + users[:, 1:] @ items[:, 1:].T


@pytest.mark.parametrize("factors", [1, 3, 12])
def test_predictions_are_those_of_dense_alternation(factors):
    training, is_there = _ratings()
    model = ExplicitAls(factors=factors, regularization=0.5, iterations=6, seed=5).fit(training)
    expected = _alternated(training, is_there, factors, 0.5, 6, 5)
    scores = model.score(Asked(training.positives, np.arange(30)))
    np.testing.assert_allclose(scores, expected, atol=5e-3)


def test_it_predicts_ratings_that_it_has_not_seen():
    training, is_there = _ratings(users=200, items=40)
    held = np.random.default_rng(1).random(len(training.labels)) < 0.1
    known = TrainingData(
        training.positives, training.user_rows[~held], training.item_rows[~held], labels=training.labels[~held]
    )
    scores = ExplicitAls(factors=2, regularization=0.1).fit(known).score(Asked(training.positives, np.arange(200)))
    errors = scores[training.user_rows[held], training.item_rows[held]] - training.labels[held]
    # The noise has a deviation of 0.1, the ratings one of about 1.4.
    assert np.sqrt(np.mean(errors**2)) < 0.3


def test_biases_alone_by_hand():
    # One user rates item 0 with 4 and item 1 with 2, so the mean is 3 and the residuals are 1 and -1:
    # b_u = (1 - 1) / (2 + 1) = 0, b_0 = 1 / (1 + 1) = 1/2, b_1 = -1/2. Item 2 has no rating, and no bias.
    positives = csr_matrix(np.array([[1, 1, 0]], dtype="float32"))
    training = TrainingData(positives, np.zeros(2, int), np.array([0, 1]), labels=np.array([4.0, 2.0]))
    model = ExplicitAls(factors=0, regularization=1.0, iterations=1).fit(training)
    np.testing.assert_allclose(model.score(Asked(positives, np.array([0]))), [[3.5, 2.5, 3.0]], rtol=1e-6)


def test_repeated_ratings_count_once_with_their_mean_and_zeros_are_ratings():
    training = TrainingData(
        csr_matrix((2, 2)), np.array([0, 0, 1]), np.array([1, 1, 0]), labels=np.array([1.0, 4.0, 0.0])
    )
    ratings = ratings_of(training, "explicit_als")
    np.testing.assert_array_equal(ratings.toarray(), [[0, 2.5], [0, 0]])
    assert ratings.nnz == 2


def test_without_ratings_it_says_so():
    with pytest.raises(DataError, match="explicit_als learns from ratings.*set data.label"):
        ExplicitAls().fit(TrainingData(csr_matrix((2, 2))))
