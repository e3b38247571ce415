"""Matrix factorisation of ratings by gradient descent."""

from __future__ import annotations

import numpy as np

from mmrec_tf.data.pipelines import gathered_batches
from mmrec_tf.models.factor_model import check_ratings, ratings_of
from mmrec_tf.models.factor_network import FactorNetwork
from mmrec_tf.models.network_model import NetworkModel
from mmrec_tf.models.recommender_model import TrainingData


class ExplicitSgd(NetworkModel):
    """Recommends what the user would rate highest: the model of `ExplicitAls`, fitted in small steps.

        r(u, i) = m + b_u + b_i + p_u . q_i
        minimise  sum over ratings of (r_ui - r(u, i))^2
                  + regularization (sum_u (b_u^2 + |p_u|^2) + sum_i (b_i^2 + |q_i|^2))

    m is the mean rating. Against alternating least squares it needs no system of equations, and each rating costs the
    same however many users and items there are. The scores `[batch, n_items]` are predicted ratings; see `ExplicitAls`
    for what they are good for. Validation users, where there are some, say when to stop by the order of their lists.

    Args:
        factors: int. Length of the factors. Defaults to 32.
        regularization: float. Weight of the squared biases and factors. Defaults to 10.
        learning_rate: float. Adagrad's. Defaults to 0.1.
        epochs: int. The most passes over the ratings. Defaults to 30.
        batch_size: int. Ratings a step. Defaults to 1024.
        seed: int. Seeds initial factors and order. Defaults to 0.

    Raises:
        DataError: from `fit`, if the training data have no ratings.

    Reference: Koren, Bell and Volinsky, Matrix factorization techniques for recommender systems (2009).
    """

    SEARCH = {
        "factors": (8, 16, 32, 64),
        "regularization": (0.3, 1.0, 3.0, 10.0, 30.0, 100.0),
        "learning_rate": (0.01, 0.03, 0.1, 0.3),
    }

    def __init__(
        self,
        factors: int = 32,
        regularization: float = 10.0,
        learning_rate: float = 0.1,
        epochs: int = 30,
        batch_size: int = 1024,
        seed: int = 0,
    ):
        super().__init__(factors, regularization, learning_rate, epochs, batch_size, seed)

    def check(self, training: TrainingData) -> None:
        check_ratings(training, "explicit_sgd")

    def _network(self, training: TrainingData) -> FactorNetwork:
        return FactorNetwork(
            training.n_users,
            training.n_items,
            self.factors,
            "squared",
            regularization=self.regularization,
            offset=float(ratings_of(training, "explicit_sgd").data.mean()),
            seed=self.seed,
        )

    def _dataset(self, training: TrainingData):
        ratings = ratings_of(training, "explicit_sgd")
        users = np.repeat(np.arange(training.n_users, dtype=np.int32), np.diff(ratings.indptr))
        by_user, by_item = np.bincount(users), np.bincount(ratings.indices)
        arrays = {
            "user": users,
            "item": ratings.indices.astype(np.int32),
            "label": ratings.data,
            "user_share": (1.0 / by_user[users]).astype(np.float32),
            "item_share": (1.0 / by_item[ratings.indices]).astype(np.float32),
        }
        size = min(self.batch_size, len(users))
        batches = gathered_batches(arrays, size, self.seed).repeat()
        return batches, len(users) // size, np.diff(ratings.indptr) > 0
