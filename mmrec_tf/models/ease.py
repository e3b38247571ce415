"""EASE: a linear model of items by items with a closed form, among the strongest on catalogues that fit it."""

from __future__ import annotations

import numpy as np

from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.models.recommender_model import (
    Asked,
    Progress,
    RecommenderModel,
    TrainingData,
    consumed,
    item_counts,
    tells_nothing,
)

_BLOCK = 1024
"""Items of the weights that are worked on at a time."""


class Ease(RecommenderModel):
    """Recommends by linear weights between items, fitted so that each user's items predict one another.

    With X `[users, items]` of zeros and ones, the weights B are the ridge regression of X on itself under the
    constraint that no item predicts itself, which has a closed form:

        minimise  |X - X B|^2 + regularization |B|^2,    B_ii = 0
        P = (X'X + regularization I)^-1,    B_ij = -P_ij / P_jj for i != j
        score(u, .) = x_u B

    The inverse is dense. It is taken of those items alone that somebody consumed in training, in float32 by Cholesky:
    with n of them, fitting takes n^3 multiply-adds and 8 n^2 bytes (3.2 GB for 20,000 items), and the fitted model
    keeps 4 n^2 bytes. Items that nobody consumed score zero; a profile that is empty, or says nothing of other items,
    gets the popular ones. Repeated interactions count once.

    Args:
        regularization: float. Weight of the squared weights. Defaults to 100.
        max_items: int. Refuse larger catalogues (items consumed in training). Defaults to 20,000.

    Raises:
        ConfigError: if `regularization` is not above zero.
        DataError: from `fit`, if more than `max_items` items were consumed in training.

    Reference: Steck, Embarrassingly shallow autoencoders for sparse data (WWW 2019).
    """

    SEARCH = {"regularization": (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)}

    def __init__(self, regularization: float = 100.0, max_items: int = 20_000):
        if not regularization > 0.0:
            raise ConfigError(f"regularization must be above 0, got {regularization}.")
        self.regularization = regularization
        self.max_items = max_items

    def check(self, training: TrainingData) -> None:
        size = np.count_nonzero(item_counts(training.positives))
        if size > self.max_items:
            raise DataError(
                f"ease would need {8 * size**2 / 1e9:,.1f} GB for the {size:,} items that training has seen; max_items "
                f"is {self.max_items:,}. Take item_knn, whose memory grows with the interactions, or raise max_items "
                "where there is memory for it."
            )

    def fit(self, training: TrainingData, progress: Progress | None = None) -> Ease:
        self.check(training)
        user_items = consumed(training.positives)
        self.bring_up_to_date(training)
        self.items = np.flatnonzero(self.counts)
        self.weights = self._weights(user_items[:, self.items])
        if progress:
            progress("EASE", 1, 1)
        return self

    def bring_up_to_date(self, interactions: TrainingData) -> None:
        self.counts = item_counts(interactions.positives)

    def score(self, asked: Asked) -> np.ndarray:
        profiles = consumed(asked.profiles)
        scores = np.zeros(profiles.shape, "float32")
        scores[:, self.items] = profiles[:, self.items] @ self.weights
        scores[tells_nothing(scores, profiles)] = self.counts
        return scores

    def _weights(self, user_items):
        """`[n, n]` float32, row i what item i adds to the others' scores."""
        from scipy.linalg import lapack

        size = user_items.shape[1]
        if not size:
            return np.zeros((0, 0), "float32")
        # In LAPACK's order, so that both steps work in place; a block at a time, as the sparse product is larger than
        # the dense one where most items have met.
        gram, item_users = np.empty((size, size), "float32", order="F"), user_items.T.tocsr()
        for start in range(0, size, _BLOCK):
            gram[:, start : start + _BLOCK] = (item_users[start : start + _BLOCK] @ user_items).toarray().T
        gram[np.diag_indices(size)] += self.regularization
        factor, problem = lapack.spotrf(gram, lower=1, overwrite_a=1)
        if not problem:
            inverse, problem = lapack.spotri(factor, lower=1, overwrite_c=1)
        if problem:
            raise DataError(
                f"ease cannot solve its equations with regularization {self.regularization:g}: they are singular in "
                "single precision. Raise regularization."
            )
        scale = -1.0 / np.diag(inverse)
        weights = np.empty((size, size), "float32")
        for start in range(0, size, _BLOCK):
            rows = slice(start, min(start + _BLOCK, size))
            # LAPACK fills the lower triangle alone; the inverse is symmetric.
            weights[rows, : rows.stop] = np.tril(inverse[rows, : rows.stop], start)
            weights[: rows.start, rows] = weights[rows, : rows.start].T
            block = weights[rows, rows]
            block += np.tril(block, -1).T
        weights *= scale
        weights[np.diag_indices(size)] = 0.0
        return weights
