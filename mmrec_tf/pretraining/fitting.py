"""One way to fit a stage: seeds, schedule, checkpoints, and then plain `model.fit`."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tf_keras

from mmrec_tf.config_pretraining import StageConfig
from mmrec_tf.errors import RunError
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.checkpoints import StageCheckpoint, fingerprint
from mmrec_tf.pretraining.stage_model import StageModel

Progress = Callable[[str, int, int], None]


def fit_stage(
    model: StageModel,
    batches: Batches,
    options: StageConfig,
    *,
    sources: list[np.ndarray],
    seed: int,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, list[float]]:
    """Trains a stage, or goes on with it, or loads what it has already learned.

    Adam with a linear warm-up over a twentieth of the steps and a cosine decay to zero; gradients clipped by their
    global norm.

    Args:
        model: the stage.
        batches: its examples.
        options: its settings.
        sources: the arrays that the result depends on, beside the settings and the model's initial weights.
        seed: int. Of heads, order and draws.
        folder: where the stage is saved after every epoch; nothing is saved when None. A stage with the same settings,
            sources and initial weights is found there again: it goes on where it was killed, and one that was finished
            is loaded.
        progress: called with (description, epochs done, epochs).

    Returns:
        The history: name -> one value per epoch.

    Raises:
        RunError: when the loss is no longer a number, or a checkpoint is damaged.
    """
    name, epochs = options.stage, options.epochs
    tf_keras.utils.set_random_seed(seed)
    # Once with a batch, so that every weight exists before it is saved, loaded or hashed.
    model(batches.first(), training=True)
    checkpoint, state = None, {"epochs_done": 0, "finished": False, "history": {}}
    if folder is not None:
        settings = {"options": options.model_dump(mode="json"), "seed": seed, "revision": 1}
        weights = [variable.numpy() for variable in model.trainable_variables]
        checkpoint = StageCheckpoint(folder, name, fingerprint(settings, [*sources, *weights]))
        state = checkpoint.read()
    if state["finished"]:
        checkpoint.restore(model, state["epochs_done"], finished=True)
        _tell(progress, name, epochs, epochs)
        return state["history"]
    _compile(model, batches.steps * epochs, options)
    first = state["epochs_done"]
    if first:
        checkpoint.restore(model, first, finished=False)
        # Dropout inside the layers draws from the process' state, which is not that of the killed process.
        tf_keras.utils.set_random_seed(seed + first)
    keeper = _Keeper(name, epochs, state["history"], checkpoint, progress)
    _tell(progress, name, first, epochs)
    model.fit(
        batches.epochs(first, epochs),
        initial_epoch=first,
        epochs=epochs,
        steps_per_epoch=batches.steps,
        callbacks=[keeper],
        verbose=0,
    )
    return keeper.history


def _compile(model, steps, options):
    warm_up = math.ceil(steps / 20)
    schedule = tf_keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(steps - warm_up, 1),
        warmup_target=options.learning_rate,
        warmup_steps=warm_up,
    )
    model.compile(optimizer=tf_keras.optimizers.Adam(schedule, global_clipnorm=1.0), jit_compile=options.xla)
    # A mixed_float16 policy has put a loss scale around it, whose variables are saved too.
    model.optimizer.build(model.trainable_variables)


def _tell(progress, name, done, epochs):
    if progress is not None:
        progress(f"pretraining {name}", done, epochs)


class _Keeper(tf_keras.callbacks.Callback):
    """After every epoch: writes the history down, refuses a loss that is no number, saves, reports."""

    def __init__(self, name, epochs, history, checkpoint, progress):
        super().__init__()
        self.name, self.epochs, self.checkpoint, self.progress = name, epochs, checkpoint, progress
        self.history = {key: list(values) for key, values in history.items()}

    def on_epoch_end(self, epoch, logs=None):
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(float(value))
        if not np.isfinite(self.history["loss"][-1]):
            raise RunError(
                f"the loss of pretraining stage {self.name} is {self.history['loss'][-1]} after epoch {epoch + 1}. "
                "Lower the stage's learning_rate (for example to a third)."
            )
        if self.checkpoint is not None:
            self.checkpoint.write(self.model, epoch + 1, self.history, finished=epoch + 1 == self.epochs)
        _tell(self.progress, self.name, epoch + 1, self.epochs)
