"""Matrix factorisation of ratings by alternating least squares: what somebody would give, not whether they look."""

from __future__ import annotations

import numpy as np

from mmrec_tf.models.factor_model import FactorModel, check_ratings, ratings_of
from mmrec_tf.models.recommender_model import Progress, TrainingData
from mmrec_tf.models.row_batches import one_blas_thread, padded, row_batches


class ExplicitAls(FactorModel):
    """Recommends what the user would rate highest, by biases and factors fitted to the ratings that there are.

        r(u, i) = m + b_u + b_i + p_u . q_i
        minimise  sum over ratings of (r_ui - r(u, i))^2
                  + regularization (sum_u (b_u^2 + |p_u|^2) + sum_i (b_i^2 + |q_i|^2))

    m is the mean rating. With the items fixed each user's bias and factors solve one small linear system, and the
    other way round. The scores `[batch, n_items]` are predicted ratings. Whether somebody watches a film at all says
    more about what they watch next than how they would rate it, so on lists of what comes next expect models of
    ratings behind those of occurrences; they are there to predict ratings.

    Users and items without a rating have neither bias nor factors. A pair that was rated several times counts once,
    with the mean.

    Args:
        factors: int. Length of the factors. Defaults to 16.
        regularization: float. Weight of the squared biases and factors. Defaults to 10.
        iterations: int. Passes over users and items. Defaults to 15.
        seed: int. Seeds the initial factors. Defaults to 0.

    Raises:
        DataError: from `fit`, if the training data have no ratings.

    Reference: Koren, Bell and Volinsky, Matrix factorization techniques for recommender systems (2009).
    """

    SEARCH = {"factors": (4, 8, 16, 32, 64), "regularization": (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)}

    def __init__(self, factors: int = 16, regularization: float = 10.0, iterations: int = 15, seed: int = 0):
        self.factors = factors
        self.regularization = regularization
        self.iterations = iterations
        self.seed = seed

    def check(self, training: TrainingData) -> None:
        check_ratings(training, "explicit_als")

    def fit(self, training: TrainingData, progress: Progress | None = None) -> ExplicitAls:
        by_user = ratings_of(training, "explicit_als")
        self.mean = float(by_user.data.mean()) if by_user.nnz else 0.0
        by_user.data -= np.float32(self.mean)
        by_item = by_user.T.tocsr()
        random = np.random.default_rng(self.seed)
        # Biases first, factors behind them.
        items = random.normal(0.0, 0.1, (training.n_items, 1 + self.factors)).astype("float32")
        items[:, 0] = 0.0
        with one_blas_thread():
            for iteration in range(self.iterations):
                users = self._solve(by_user, items)
                items = self._solve(by_item, users)
                if progress:
                    progress("explicit ALS", iteration + 1, self.iterations)
        self._keep(
            np.concatenate([self.mean + users[:, :1], np.ones_like(users[:, :1]), users[:, 1:]], axis=1),
            np.concatenate([np.ones_like(items[:, :1]), items], axis=1),
            training,
            np.diff(by_user.indptr) > 0,
        )
        return self

    def _solve(self, residuals, fixed):
        """Bias and factors `[rows, 1 + factors]` of each row, given those of the columns."""
        solved = np.zeros((residuals.shape[0], 1 + self.factors), "float32")
        ridge = self.regularization * np.eye(1 + self.factors, dtype="float32")
        for rows in row_batches(np.diff(residuals.indptr), 1 + self.factors):
            columns, values, is_inside = padded(residuals, rows)
            presence = is_inside[:, :, None].astype("float32")
            known = fixed[columns]
            wanted = (values - known[:, :, 0])[:, :, None] * presence
            design = np.concatenate([presence, known[:, :, 1:] * presence], axis=2)
            turned = design.transpose(0, 2, 1)
            solved[rows] = np.linalg.solve(turned @ design + ridge, turned @ wanted)[:, :, 0]
        return solved
