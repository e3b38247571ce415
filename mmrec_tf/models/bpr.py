"""Bayesian personalised ranking: factors that put what was consumed above what was not."""

from __future__ import annotations

import math

import numpy as np

from mmrec_tf.models.factor_network import FactorNetwork
from mmrec_tf.models.negative_batches import negative_batches
from mmrec_tf.models.network_model import NetworkModel, positive_pairs
from mmrec_tf.models.recommender_model import TrainingData


class Bpr(NetworkModel):
    """Recommends by factors trained so that each item a user consumed scores above one that the user did not.

        score(u, i) = b_i + p_u . q_i
        minimise  mean of -log sigmoid(score(u, i) - score(u, j)) + regularization (b^2 + |p_u|^2 + |q|^2)

    over the pairs (u, i) that occur, with j drawn uniformly from the items that somebody consumed and u did not.

    Args:
        factors: int. Length of the factors. Defaults to 64.
        regularization: float. Weight of the squares of the rows in a batch. Defaults to 0.01.
        learning_rate: float. Adagrad's. Defaults to 0.1.
        epochs: int. The most passes over the pairs. Defaults to 60.
        batch_size: int. Pairs a step. Defaults to 1024.
        negatives: int. Drawn for each pair. Defaults to 4.
        seed: int. Seeds initial factors, order and draws. Defaults to 0.

    Reference: Rendle et al., BPR: Bayesian personalized ranking from implicit feedback (UAI 2009).
    """

    SEARCH = {
        "factors": (16, 32, 64, 128),
        "regularization": (0.001, 0.003, 0.01, 0.03, 0.1),
        "learning_rate": (0.01, 0.03, 0.1, 0.3),
    }
    objective = "bpr"

    def __init__(
        self,
        factors: int = 64,
        regularization: float = 0.01,
        learning_rate: float = 0.1,
        epochs: int = 60,
        batch_size: int = 1024,
        negatives: int = 4,
        seed: int = 0,
    ):
        super().__init__(factors, regularization, learning_rate, epochs, batch_size, seed)
        self.negatives = negatives

    def _network(self, training: TrainingData) -> FactorNetwork:
        return FactorNetwork(
            training.n_users,
            training.n_items,
            self.factors,
            self.objective,
            regularization=self.regularization,
            seed=self.seed,
        )

    def _dataset(self, training: TrainingData):
        users, items = positive_pairs(training, self._name)
        size = min(self.batch_size, len(users))
        batches = negative_batches(users, items, training.n_items, size, self.negatives, self.seed)
        return batches, math.ceil(len(users) / size), np.isin(np.arange(training.n_users), users)
