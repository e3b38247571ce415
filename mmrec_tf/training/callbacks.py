"""Keras callbacks that the package's own fits use and that a plain `model.fit` can use too."""

import warnings
from collections.abc import Callable

import numpy as np
import tf_keras

from mmrec_tf.errors import MmrecError, RunError

LOWER_RATE = "Lower learning_rate, for example to a third."
"""Advice where the loss is no number, of who trains without a configuration."""


class BestByScore(tf_keras.callbacks.Callback):
    """Scores the model after every epoch, stops when the score no longer rises, and keeps the best weights.

    A retrieval loss on a batch says little about the ranking of a whole catalogue, so the score is a function of
    the user's: usually NDCG@10 on the validation split by the full-corpus evaluator.

    Args:
        score: function without arguments that returns a float, higher is better.
        name: str. The score's name in the logs.
        patience: int. Epochs without a better score before training stops.

    Embeddings that are no numbers any more cannot be scored. Training then ends with the best weights and a warning, or
    with the evaluator's error where no epoch came before.

    With an optimizer that averages the weights over the steps (`use_ema`), it is the averages that are scored and kept.
    """

    def __init__(self, score: Callable[[], float], name: str, patience: int):
        super().__init__()
        self.score = score
        self.name = name
        self.patience = patience

    @property
    def has_weights(self) -> bool:
        """Whether an epoch has been scored, so that there are weights to go back to."""
        return self._weights is not None

    def on_train_begin(self, logs=None):
        self.best = -np.inf
        self.best_epoch = 0
        self._weights = None

    def on_epoch_end(self, epoch, logs=None):
        if not np.isfinite((logs or {}).get("loss", 0.0)):
            return
        variables = self.model.trainable_variables
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        is_averaged = getattr(optimizer, "use_ema", False)
        if is_averaged:
            latest = [variable.numpy() for variable in variables]
            optimizer.finalize_variable_values(variables)
        try:
            self._keep_if_best(epoch, float(self.score()), logs)
        except MmrecError as problem:
            if not self.has_weights:
                raise
            self.model.stop_training = True
            warnings.warn(f"{problem} Training ends with the weights of epoch {self.best_epoch + 1}.", stacklevel=2)
        if is_averaged:
            _assign(variables, latest)

    def _keep_if_best(self, epoch, value, logs):
        if logs is not None:
            logs[self.name] = value
        if value > self.best:
            self.best, self.best_epoch = value, epoch
            self._weights = [variable.numpy() for variable in self.model.trainable_variables]
        elif epoch - self.best_epoch >= self.patience:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self._weights is not None:
            _assign(self.model.trainable_variables, self._weights)


class StopOnBadLoss(tf_keras.callbacks.Callback):
    """Ends training with advice when the loss is no longer a number.

    Args:
        best: the callback that keeps the best weights. Where an earlier epoch has left some, training ends with these
            and a warning; without them there is nothing to go on with, and it ends with an error.
        advice: str. A sentence that says which settings to change.
    """

    def __init__(self, best: BestByScore | None = None, advice: str = LOWER_RATE):
        super().__init__()
        self.best = best
        self.advice = advice

    def on_epoch_end(self, epoch, logs=None):
        loss = (logs or {}).get("loss", 0.0)
        if np.isfinite(loss):
            return
        problem = f"the training loss is {loss} after epoch {epoch + 1}. {self.advice}"
        if self.best is None or not self.best.has_weights:
            raise RunError(problem)
        self.model.stop_training = True
        warnings.warn(f"{problem} Training ends with the weights of epoch {self.best.best_epoch + 1}.", stacklevel=2)


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


def _assign(variables, values):
    for variable, value in zip(variables, values):
        variable.assign(value)
