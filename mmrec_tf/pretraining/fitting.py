"""One way to fit a stage: seeds, schedule, checkpoints, and then plain `model.fit`."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tf_keras

from mmrec_tf.config_pretraining import FittedStageConfig
from mmrec_tf.data.whole_files import is_marked, marked, sweep
from mmrec_tf.errors import RunError
from mmrec_tf.fused_adam import FusedAdam
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.checkpoints import StageCheckpoint, fingerprint
from mmrec_tf.pretraining.stage_model import StageModel
from mmrec_tf.schedule import warm_up_cosine

Progress = Callable[[str, int, int], None]

SAVED = 5
"""How often a stage is saved whose layers draw; one whose layers do not is saved after every epoch."""


@dataclass(frozen=True)
class StageResult:
    """What came of a stage.

    Attributes:
        history: name -> one value per epoch; of a stage without epochs one value for each thing that it has found.
        epochs: int. 0 for a stage without epochs.
        reused: int. Epochs that were done before this call, and were found.
        seconds: float. What this call took.
    """

    history: dict[str, list[float]]
    epochs: int = 0
    reused: int = 0
    seconds: float = 0.0


def fit_stage(
    model: StageModel,
    batches: Batches,
    options: FittedStageConfig,
    *,
    sources: list[np.ndarray],
    seed: int,
    folder: Path | None = None,
    progress: Progress | None = None,
    only_load: bool = False,
    settings: dict | None = None,
) -> StageResult:
    """Trains a stage, or goes on with it, or loads what it has already learned.

    Adam with a linear warm-up over a twentieth of the steps and a cosine decay to zero; gradients clipped by their
    global norm.

    Args:
        model: the stage.
        batches: its examples.
        options: its settings.
        sources: the arrays that the result depends on, beside the settings and the model's initial weights.
        seed: int. Of heads, order and draws.
        folder: where the stage is saved after every epoch, or `SAVED` times; nothing is saved when None. A stage with
            the same settings, sources and initial weights is found there again: it goes on from where it was saved
            last, to the weights it would have come to uninterrupted, and one that was finished is loaded. While another
            process is at work on the very same stage, nothing is saved either.
        progress: called with (description, epochs done, epochs).
        only_load: bool. Leave the model as it is unless the stage was finished before.
        settings: further ones that the result depends on, as JSON has them: those of the model that is trained.

    Raises:
        RunError: when the loss is no longer a number, or a checkpoint is damaged.
    """
    start = time.perf_counter()
    name, epochs = options.stage, options.epochs
    tf_keras.utils.set_random_seed(seed)
    # Once with a batch, so that every weight exists before it is saved, loaded or hashed.
    model(batches.first(), training=True)
    checkpoint, state = None, {"epochs_done": 0, "finished": False, "history": {}}
    if folder is not None:
        told = {"options": options.model_dump(mode="json"), "seed": seed, "revision": 3, "model": settings}
        weights = [variable.numpy() for variable in model.trainable_variables]
        checkpoint = StageCheckpoint(folder, name, fingerprint(told, [*sources, *weights]))
        state = checkpoint.read()
    first, history = state["epochs_done"], state["history"]
    if state["finished"]:
        checkpoint.restore(model, first, finished=True)
        _tell(progress, name, epochs, epochs)
        return StageResult(history, epochs, first, time.perf_counter() - start)
    if only_load:
        return StageResult(history, epochs, first, time.perf_counter() - start)
    if checkpoint is not None and is_marked(checkpoint.folder):
        # Two processes that write the same epochs would delete each other's. Both come to the same weights.
        checkpoint, first, history = None, 0, {}
    _compile(model, batches.steps * epochs, options)
    with marked(checkpoint.folder) if checkpoint is not None else nullcontext():
        if first:
            sweep(checkpoint.folder)
            checkpoint.restore(model, first, finished=False)
        # To draw alike, an epoch after which a stage may be taken up is traced anew, which takes a second or more.
        apart = -(-epochs // SAVED) if model.draws_in_layers else 1
        keeper = _Keeper(name, epochs, history, checkpoint, progress, apart)
        _tell(progress, name, first, epochs)
        model.fit(
            batches.epochs(first, epochs),
            initial_epoch=first,
            epochs=epochs,
            steps_per_epoch=batches.steps,
            callbacks=[_SeedAgain(seed, apart), keeper] if model.draws_in_layers else [keeper],
            verbose=0,
        )
    return StageResult(keeper.history, epochs, first, time.perf_counter() - start)


def _compile(model, steps, options):
    schedule = warm_up_cosine(steps, options.learning_rate)
    model.compile(optimizer=FusedAdam(schedule, global_clipnorm=1.0), jit_compile=options.xla)
    # Its moments exist before they are loaded.
    model.optimizer.build(model.trainable_variables)


def _tell(progress, name, done, epochs):
    if progress is not None:
        progress(f"pretraining {name}", done, epochs)


class _SeedAgain(tf_keras.callbacks.Callback):
    """Makes what layers draw behind a save depend on the seed and the epoch alone, not on the epochs before it.

    TensorFlow counts draws inside a traced function, out of reach; a function that is traced anew counts from zero.
    """

    def __init__(self, seed, apart):
        super().__init__()
        self.seed, self.apart = seed, apart

    def on_epoch_begin(self, epoch, logs=None):
        if epoch % self.apart == 0:
            tf_keras.utils.set_random_seed((self.seed + 1 + epoch) % (2**31 - 1))
            self.model.make_train_function(force=True)


class _Keeper(tf_keras.callbacks.Callback):
    """After every epoch: writes the history down, refuses a loss that is no number, saves, reports."""

    def __init__(self, name, epochs, history, checkpoint, progress, apart):
        super().__init__()
        self.name, self.epochs, self.checkpoint, self.progress = name, epochs, checkpoint, progress
        self.apart = apart
        self.history = {key: list(values) for key, values in history.items()}

    def on_epoch_end(self, epoch, logs=None):
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(float(value))
        if not np.isfinite(self.history["loss"][-1]):
            raise RunError(
                f"the loss of pretraining stage {self.name} is {self.history['loss'][-1]} after epoch {epoch + 1}. "
                "Lower the stage's learning_rate (for example to a third)."
            )
        finished = epoch + 1 == self.epochs
        if self.checkpoint is not None and (finished or (epoch + 1) % self.apart == 0):
            self.checkpoint.write(self.model, epoch + 1, self.history, finished)
        _tell(self.progress, self.name, epoch + 1, self.epochs)
