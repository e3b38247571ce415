import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import Ridge

from mmrec_tf.models.factor_model import FactorModel
from mmrec_tf.models.recommender_model import Asked, TrainingData


class _Given(FactorModel):
    """Factors that are handed over instead of trained."""

    def fit(self, training, progress=None):
        random = np.random.default_rng(4)
        self.items = random.normal(size=(training.n_items, 3))
        # Users are the mean of their items, turned and shifted, and a little noise.
        means = (training.positives @ self.items) / np.maximum(np.diff(training.positives.indptr), 1)[:, None]
        users = means @ random.normal(size=(3, 3)) + 2.0 + random.normal(scale=0.01, size=means.shape)
        self._keep(users, self.items, training, np.arange(training.n_users) != 5)
        return self


def _fitted():
    positives = csr_matrix((np.random.default_rng(2).random((40, 15)) < 0.3).astype("float32"))
    return _Given().fit(TrainingData(positives)), positives


def test_users_of_training_are_scored_by_their_factors():
    model, positives = _fitted()
    scores = model.score(Asked(positives[[7, 3]], np.array([7, 3])))
    np.testing.assert_allclose(scores, model.user_factors[[7, 3]] @ model.item_factors.T, rtol=1e-5, atol=1e-5)


def test_strangers_are_mapped_from_their_profile_as_ridge_regression_says():
    model, positives = _fitted()
    lengths = np.diff(positives.indptr)
    means = (positives @ model.items) / np.maximum(lengths, 1)[:, None]
    rows = np.flatnonzero((lengths > 0) & (np.arange(40) != 5))
    centred = means[rows] - means[rows].mean(axis=0)
    ridge = Ridge(alpha=0.01 * np.sum(centred**2) / 3).fit(means[rows], model.user_factors[rows])
    expected = ridge.predict(means[:6]) @ model.items.T
    # Rows that are not known, no rows at all, and a user whom training has not reached.
    for rows in (np.full(6, -1), None):
        np.testing.assert_allclose(model.score(Asked(positives[:6], rows)), expected, rtol=1e-4, atol=1e-4)
    untrained = model.score(Asked(positives[5:6], np.array([5])))
    np.testing.assert_allclose(untrained, expected[5:], rtol=1e-4, atol=1e-4)


def test_strangers_without_a_profile_get_the_popular_items():
    model, positives = _fitted()
    scores = model.score(Asked(csr_matrix((2, 15)), np.array([-1, 0])))
    np.testing.assert_array_equal(scores[0], np.asarray(positives.sum(axis=0)).ravel())
    np.testing.assert_allclose(scores[1], model.user_factors[0] @ model.item_factors.T, rtol=1e-5, atol=1e-5)
