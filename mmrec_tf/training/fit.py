"""One way to fit: seeds, optimizer, schedule, callbacks, and then plain `model.fit`."""

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from mmrec_tf.schedule import warm_up_cosine
from mmrec_tf.training.callbacks import BestByScore, MeanLoss, Progress, StopOnBadLoss


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
    progress: Callable[[str, int, int], None] | None = None,
    description: str = "training",
) -> dict[str, list[float]]:
    """Compiles and fits a model.

    Adam with a linear warm-up over a twentieth of the steps and a cosine decay to zero; gradients clipped by their
    global norm.

    Args:
        model: a `tfrs.Model`.
        dataset: finite dataset of one epoch.
        epochs: int. The most passes over the dataset.
        learning_rate: float. Peak of the schedule.
        patience: int. Epochs without a better score before training stops.
        score: function that scores the model on validation data; without one all epochs are run.
        score_name: str. Its name in the history.
        xla: bool. Compile the train step with XLA.
        progress: called with (description, epochs done, epochs).

    Returns:
        The history: name -> one value per epoch; `loss` is the mean over the epoch.

    Raises:
        RunError: when the loss is no longer a number.
    """
    steps = max(int(dataset.cardinality().numpy()), 1) * epochs
    schedule = warm_up_cosine(steps, learning_rate)
    model.compile(optimizer=tf_keras.optimizers.Adam(schedule, global_clipnorm=1.0), jit_compile=xla)
    callbacks = [MeanLoss(), StopOnBadLoss()]
    if score is not None:
        callbacks.append(BestByScore(score, score_name, patience))
    if progress is not None:
        callbacks.append(Progress(progress, description, epochs))
    history = model.fit(dataset, epochs=epochs, callbacks=callbacks, verbose=0).history
    dropped = ("regularization_loss", "total_loss")
    return {name: [float(value) for value in values] for name, values in history.items() if name not in dropped}
