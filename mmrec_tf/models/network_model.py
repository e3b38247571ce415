"""What every recommender trained by gradient descent on factors shares: fitting, and when to stop."""

from __future__ import annotations

import abc

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.errors import DataError, MmrecError
from mmrec_tf.models.factor_model import FactorModel
from mmrec_tf.models.factor_network import FactorNetwork
from mmrec_tf.models.recommender_model import Progress, RecommenderModel, TrainingData, item_counts

_CHECK_EVERY = 5
"""Epochs between two looks at the validation users."""

_STEPS_AT_ONCE = 16
"""Training steps of one call into TensorFlow."""

_PATIENCE = 4
"""Looks without a better score before training stops."""


class NetworkModel(FactorModel):
    """A `FactorNetwork` trained by Adagrad in plain `fit`, whose factors then score without TensorFlow.

    With validation users in the training data, their lists are judged every fifth epoch, the best factors are kept,
    and training stops when four looks in a row brought nothing better; without them all epochs are run. Adagrad
    divides each row's step by what that row has gathered, so rare items keep learning while popular ones settle, and
    it touches only the rows of the batch.

    Items that nobody consumed in training have no factors of their own. Where the model learns from drawn negatives
    their bias is the mean bias of the items that were consumed least, as what is rare is what is most like them.

    Raises:
        DataError: from `fit`, if there is nothing to learn from.
        MmrecError: from `fit`, if the loss is no longer a number.
    """

    def __init__(
        self, factors: int, regularization: float, learning_rate: float, epochs: int, batch_size: int, seed: int
    ):
        self.factors = factors
        self.regularization = regularization
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.seed = seed

    @abc.abstractmethod
    def _network(self, training: TrainingData) -> FactorNetwork:
        """The untrained network."""

    @abc.abstractmethod
    def _dataset(self, training: TrainingData) -> tuple[tf.data.Dataset, int, np.ndarray]:
        """An endless dataset, the batches of an epoch, and `[n_users]` bool: who is in them."""

    @property
    def _name(self) -> str:
        return type(self).__name__

    def fit(self, training: TrainingData, progress: Progress | None = None) -> RecommenderModel:
        self.check(training)
        dataset, steps, is_trained = self._dataset(training)
        self.network = self._network(training)
        optimizer = tf_keras.optimizers.Adagrad(
            # Gradients of a mean over the batch are small; what is added to their squares has to be smaller.
            self.learning_rate,
            initial_accumulator_value=1e-10,
            epsilon=1e-12,
        )
        self.network.compile(optimizer=optimizer, steps_per_execution=min(steps, _STEPS_AT_ONCE))
        # Else the first call is traced twice.
        optimizer.build(self.network.trainable_variables)
        watch = _Watch(self, training, is_trained, progress)
        self.network.fit(dataset, epochs=self.epochs, steps_per_epoch=steps, callbacks=[watch], verbose=0)
        self.history = watch.history
        self._keep(*self._final_factors(training), training, is_trained)
        return self

    def _final_factors(self, training):
        users, items = self.network.all_factors()
        if self.network.objective == "squared":
            return users, items
        counts = item_counts(training.positives)
        own = slice(0, self.network.factors)
        bias = self.network.item_bias.embeddings.numpy()[:, 0]
        is_new = counts == 0.0
        rarest = counts == counts[~is_new].min()
        items[is_new, own] = 0.0
        items[is_new, -2] += bias[rarest].mean() - bias[is_new]
        return users, items


class _Watch(tf_keras.callbacks.Callback):
    """Stops at a loss that is no number, reports progress, and keeps the factors that validation users like best."""

    def __init__(self, recommender, training, is_trained, progress):
        super().__init__()
        self.recommender, self.training, self.is_trained = recommender, training, is_trained
        self.progress = progress
        self.history: dict[str, list[float]] = {"loss": [], "score": []}
        self._best, self._since, self._weights = -np.inf, 0, None

    def on_epoch_begin(self, epoch, logs=None):
        self._losses = []

    def on_train_batch_end(self, batch, logs=None):
        self._losses.append(logs["loss"])

    def on_epoch_end(self, epoch, logs=None):
        loss = float(np.mean(self._losses))
        self.history["loss"].append(loss)
        if not np.isfinite(loss):
            raise MmrecError(
                f"the loss of {self.recommender._name} is no longer a number in epoch {epoch + 1}. Lower learning_rate "
                f"({self.recommender.learning_rate:g}) or raise regularization."
            )
        if self.progress:
            self.progress(f"training {self.recommender._name}", epoch + 1, self.recommender.epochs)
        if self.training.held_out is not None and (epoch + 1) % _CHECK_EVERY == 0:
            self._look()

    def on_train_end(self, logs=None):
        if self._weights is not None:
            for variable, weights in zip(self.model.trainable_variables, self._weights):
                variable.assign(weights)

    def _look(self):
        held_out, recommender = self.training.held_out, self.recommender
        recommender._keep(*recommender._final_factors(self.training), self.training, self.is_trained)
        score = held_out.judge(recommender.recommend(held_out.asked, held_out.k))
        self.history["score"].append(score)
        if score > self._best:
            self._best, self._since = score, 0
            self._weights = [variable.numpy() for variable in self.model.trainable_variables]
        else:
            self._since += 1
            self.model.stop_training = self._since >= _PATIENCE


def positive_pairs(training: TrainingData, name: str) -> tuple[np.ndarray, np.ndarray]:
    """User rows and item rows of the pairs with a positive, each once.

    Raises:
        DataError: when there are none.
    """
    matrix = training.positives.tocoo()
    liked = matrix.data > 0
    if not liked.any():
        raise DataError(f"{name} has no positive interaction to learn from. Lower data.positive_from.")
    places = np.unique(matrix.row[liked].astype(np.int64) * training.n_items + matrix.col[liked])
    return np.divmod(places, training.n_items)
