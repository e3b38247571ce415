"""One way to fit: seeds, optimizer, schedule, callbacks, and then plain `model.fit`."""

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from mmrec_tf.errors import DataError
from mmrec_tf.fused_adam import FusedAdam
from mmrec_tf.schedule import warm_up_cosine
from mmrec_tf.training.callbacks import LOWER_RATE, BestByScore, Progress, StopOnBadLoss
from mmrec_tf.training.lazy_adam import LazyAdam


def set_seed(seed: int) -> None:
    """Makes the run repeatable: seeds Python, NumPy and TensorFlow and asks for deterministic kernels."""
    tf_keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fit(
    model: tf_keras.Model,
    dataset: tf.data.Dataset,
    *,
    epochs: int,
    learning_rate: float,
    patience: int,
    score: Callable[[], float] | None = None,
    score_name: str = "score",
    xla: bool = False,
    average: float = 0.0,
    steps_per_call: int = 1,
    optimizer: str = "adam",
    advice: str = LOWER_RATE,
    progress: Callable[[str, int, int], None] | None = None,
    description: str = "training",
) -> dict[str, list[float]]:
    """Compiles and fits a model.

    Adam with a linear warm-up over a twentieth of the steps and a cosine decay to zero; gradients clipped by their
    global norm.

    Args:
        model: a `tfrs.Model`.
        dataset: finite dataset of one epoch. One that does not tell its length is gone through once to count it; with
            `tf.data.experimental.assert_cardinality` it tells.
        epochs: int. The most passes over the dataset.
        learning_rate: float. Peak of the schedule.
        patience: int. Epochs without a better score before training stops.
        score: function that scores the model on validation data; without one all epochs are run.
        score_name: str. Its name in the history.
        xla: bool. Compile the train step with XLA.
        average: float in [0, 1). Momentum of an exponential moving average of the weights, which is what is scored and
            kept; 0, the default, for the weights themselves. It is lowered where it would reach back over more than two
            epochs, to 1 - 1 / (2 * steps of an epoch).
        steps_per_call: int. Steps that TensorFlow runs before it comes back to Python. Defaults to 1.
        optimizer: `adam`, or `lazy_adam`, which touches only the rows of an embedding that a step has looked up.
            Defaults to `adam`.
        advice: str. A sentence that says which settings to change where the loss is no longer a number.
        progress: called with (description, epochs done, epochs).

    Returns:
        The history: name -> one value per epoch; `loss` is the mean over the epoch.

    Raises:
        DataError: for a dataset without an end, or without a batch.
        RunError: when the loss is no longer a number.
    """
    steps = _length(dataset)
    schedule = warm_up_cosine(steps * epochs, learning_rate)
    averaging = {"use_ema": True, "ema_momentum": min(average, 1.0 - 0.5 / steps)} if average else {}
    adam = {"adam": FusedAdam, "lazy_adam": LazyAdam}[optimizer]
    model.compile(
        optimizer=adam(schedule, global_clipnorm=1.0, **averaging),
        jit_compile=xla,
        steps_per_execution=min(steps_per_call, steps),
    )
    if model.built:
        # What the first step makes, the optimizer's slots, would have TensorFlow trace that step twice.
        with model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
    best = None if score is None else BestByScore(score, score_name, patience)
    callbacks = [*([] if best is None else [best]), StopOnBadLoss(best, advice)]
    if progress is not None:
        callbacks.append(Progress(progress, description, epochs))
    # One iterator for all epochs: to begin a new one takes as long as a step or two, and the next epoch's first batches
    # are made while the last one's model is scored.
    history = model.fit(dataset.repeat(), epochs=epochs, steps_per_epoch=steps, callbacks=callbacks, verbose=0).history
    dropped = ("regularization_loss", "total_loss")
    return {name: [float(value) for value in values] for name, values in history.items() if name not in dropped}


def _length(dataset):
    """Batches of an epoch, which the schedule is laid out by."""
    count = int(dataset.cardinality())
    if count == tf.data.INFINITE_CARDINALITY:
        raise DataError(
            "the dataset has no end, and training needs one of one epoch. Take the repeat() out of it, or end it with "
            "take(steps of an epoch)."
        )
    if count == tf.data.UNKNOWN_CARDINALITY:
        count = int(dataset.reduce(tf.constant(0, tf.int64), lambda sofar, _: sofar + 1))
    if count == 0:
        raise DataError("the dataset has no batch, and training needs one or more. Look at what it filters out.")
    return count
