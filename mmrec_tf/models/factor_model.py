"""What every model of user and item factors shares once it is trained: scores, strangers, items nobody touched."""

from __future__ import annotations

import numpy as np

from mmrec_tf.errors import DataError
from mmrec_tf.models.recommender_model import Asked, RecommenderModel, TrainingData, consumed, item_counts


class FactorModel(RecommenderModel):
    """Scores by the dot product of a user's and an item's factors, biases among them.

        score(u, i) = x_u . y_i

    A user of training has factors of their own. A stranger gets them from the profile: ridge regression has learnt
    from the users of training which factors go with which mean of the profile's item factors,

        x_u ~ W (mean over items i of the profile of y_i) + c

    and an empty profile gets the popular items.

    Attributes:
        user_factors: `[n_users, width]` float32.
        item_factors: `[n_items, width]` float32.
    """

    def bring_up_to_date(self, interactions: TrainingData) -> None:
        self.counts = item_counts(interactions.positives)

    def score(self, asked: Asked) -> np.ndarray:
        profiles = consumed(asked.profiles)
        users = self._from_profiles(profiles)
        is_known = np.zeros(len(asked), bool)
        if asked.user_rows is not None:
            rows = np.maximum(np.asarray(asked.user_rows), 0)
            is_known = (np.asarray(asked.user_rows) >= 0) & self._is_trained[rows]
            users = np.where(is_known[:, None], self.user_factors[rows], users)
        scores = users @ self.item_factors.T
        scores[~is_known & (np.diff(profiles.indptr) == 0)] = self.counts
        return scores

    def _keep(self, users: np.ndarray, items: np.ndarray, training: TrainingData, is_trained: np.ndarray) -> None:
        """Takes over trained factors; `is_trained` `[n_users]` bool says whose are more than initial numbers."""
        self.user_factors = np.asarray(users, np.float32)
        self.item_factors = np.asarray(items, np.float32)
        self.bring_up_to_date(training)
        self._is_trained = is_trained
        liked = consumed(training.positives)
        rows = np.flatnonzero(is_trained & (np.diff(liked.indptr) > 0))
        means, factors = self._means(liked[rows]), self.user_factors[rows].astype(np.float64)
        width = self.item_factors.shape[1]
        self._mean_of_means = means.mean(axis=0) if len(rows) else np.zeros(width)
        self._mean_factors = factors.mean(axis=0) if len(rows) else np.zeros(self.user_factors.shape[1])
        centred = means - self._mean_of_means
        gram = centred.T @ centred
        # A hundredth of the mean variance: enough for directions that no profile varies in.
        gram[np.diag_indices(width)] += 0.01 * np.trace(gram) / width + 1e-9
        self._map = np.linalg.solve(gram, centred.T @ (factors - self._mean_factors))

    def _from_profiles(self, profiles):
        return ((self._means(profiles) - self._mean_of_means) @ self._map + self._mean_factors).astype(np.float32)

    def _means(self, profiles):
        lengths = np.maximum(np.diff(profiles.indptr), 1)
        return (profiles @ self.item_factors.astype(np.float64)) / lengths[:, None]


def check_ratings(training: TrainingData, name: str) -> None:
    """Refuses data without ratings.

    Raises:
        DataError: saying where they are named.
    """
    if training.labels is None or training.user_rows is None:
        raise DataError(
            f"{name} learns from ratings, and these data have none: set data.label to the column that holds them, or "
            f"leave {name} out of evaluation.baselines."
        )


def ratings_of(training: TrainingData, name: str):
    """CSR `[n_users, n_items]` float32 of ratings, the mean where a pair was rated more than once.

    A rating of zero is a stored zero.

    Raises:
        DataError: when there are no ratings.
    """
    from scipy.sparse import csr_matrix

    check_ratings(training, name)
    places = np.asarray(training.user_rows, np.int64) * training.n_items + np.asarray(training.item_rows, np.int64)
    places, which, times = np.unique(places, return_inverse=True, return_counts=True)
    means = np.bincount(which, np.asarray(training.labels, np.float64), minlength=len(places)) / times
    users, items = np.divmod(places, training.n_items)
    shape = training.positives.shape
    indptr = np.searchsorted(users, np.arange(shape[0] + 1))
    return csr_matrix((means.astype(np.float32), items, indptr), shape=shape)
