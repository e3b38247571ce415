"""Keras callbacks that the package's own fits use and that a plain `model.fit` can use too."""

from collections.abc import Callable

import numpy as np
import tf_keras

from mmrec_tf.errors import RunError


class BestByScore(tf_keras.callbacks.Callback):
    """Scores the model after every epoch, stops when the score no longer rises, and keeps the best weights.

    A retrieval loss on a batch says little about the ranking of a whole catalogue, so the score is a function of
    the user's: usually NDCG@10 on the validation split by the full-corpus evaluator.

    Args:
        score: function without arguments that returns a float, higher is better.
        name: str. The score's name in the logs.
        patience: int. Epochs without a better score before training stops.
    """

    def __init__(self, score: Callable[[], float], name: str, patience: int):
        super().__init__()
        self.score = score
        self.name = name
        self.patience = patience

    def on_train_begin(self, logs=None):
        self.best = -np.inf
        self.best_epoch = 0
        self._weights = None

    def on_epoch_end(self, epoch, logs=None):
        value = float(self.score())
        if logs is not None:
            logs[self.name] = value
        if value > self.best:
            self.best, self.best_epoch = value, epoch
            self._weights = [variable.numpy() for variable in self.model.trainable_variables]
        elif epoch - self.best_epoch >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self._weights is not None:
            for variable, weights in zip(self.model.trainable_variables, self._weights):
                variable.assign(weights)


class MeanLoss(tf_keras.callbacks.Callback):
    """Logs the mean of an epoch's losses as its loss; `tfrs.Model` logs that of the last batch, which says little."""

    def on_epoch_begin(self, epoch, logs=None):
        self._losses = []

    def on_train_batch_end(self, batch, logs=None):
        self._losses.append((logs or {}).get("loss", np.nan))

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None and self._losses:
            logs["loss"] = float(np.mean(self._losses))


class StopOnBadLoss(tf_keras.callbacks.Callback):
    """Ends training with advice when the loss is no longer a number."""

    def on_epoch_end(self, epoch, logs=None):
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss):
            raise RunError(
                f"the training loss is {loss} after epoch {epoch + 1}. Lower train.learning_rate "
                "(for example to a third), or raise models.retrieval.temperature."
            )


class Progress(tf_keras.callbacks.Callback):
    """Reports finished epochs to a `progress(description, done, total)` function."""

    def __init__(self, progress: Callable[[str, int, int], None], description: str, epochs: int):
        super().__init__()
        self.progress = progress
        self.description = description
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        self.progress(self.description, epoch + 1, self.epochs)

    def on_train_end(self, logs=None):
        self.progress(self.description, self.epochs, self.epochs)
