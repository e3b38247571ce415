"""What a stage leaves on disk as it goes, so that a killed one goes on and a finished one is not run again.

<stage>-<first 12 digits of its fingerprint>/
    state.json            what is being done, epochs done, history
    epoch-<n>.index ...   weights after epoch n, and the optimizer's moments until the stage is finished
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from mmrec_tf.data.whole_files import hidden_name, is_marked, remove, sweep, write_whole
from mmrec_tf.errors import RunError
from mmrec_tf.pretraining.stage_model import StageModel

_STATE = "state.json"


class StageCheckpoint:
    """Saves and restores one stage.

    A state is written after the weights that it speaks of are whole, so that what is read is always consistent,
    whenever the process was killed.

    Args:
        folder: where stages are kept.
        name: str. The stage's name.
        fingerprint: hex digits of everything that the stage's result depends on; see `fingerprint`.
    """

    def __init__(self, folder: Path, name: str, fingerprint: str):
        self.folder = Path(folder) / f"{name}-{fingerprint[:12]}"
        self.name = name
        self.fingerprint = fingerprint

    def read(self) -> dict:
        """`epochs_done`, `finished` and `history`; of a stage that has not begun where there is nothing usable.

        Raises:
            RunError: if the state is damaged.
        """
        path = self.folder / _STATE
        nothing = {"epochs_done": 0, "finished": False, "history": {}}
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            if state["fingerprint"] != self.fingerprint:
                return nothing
            found = {key: state[key] for key in nothing}
            # The stages that were used last are those that `tidy` keeps.
            os.utime(path)
        except FileNotFoundError:
            return nothing
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(error) from error
        return found

    def write(self, model: StageModel, epochs_done: int, history: dict[str, list[float]], finished: bool) -> None:
        """Saves the model after an epoch; what earlier epochs left is deleted."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tracked(model, with_optimizer=not finished).write(str(self._weights(epochs_done, finished)))
        state = {
            "stage": self.name,
            "fingerprint": self.fingerprint,
            "epochs_done": epochs_done,
            "finished": finished,
            "history": history,
        }
        text = json.dumps(state, indent=2) + "\n"
        write_whole(self.folder / _STATE, lambda file: file.write(text.encode()))
        current = self._weights(epochs_done, finished).name
        for path in self.folder.glob("epoch-*"):
            if not path.name.startswith(f"{current}."):
                # TensorFlow writes into a folder of its own first, which a killed process leaves behind.
                remove(path)

    def restore(self, model: StageModel, epochs_done: int, finished: bool) -> None:
        """Loads what `write` saved into a model whose weights, and optimizer's if not finished, exist.

        Raises:
            RunError: if the files are damaged.
        """
        path = self._weights(epochs_done, finished)
        try:
            tracked(model, with_optimizer=not finished).read(str(path)).assert_existing_objects_matched()
        except (tf.errors.OpError, ValueError, AssertionError, IndexError) as error:
            # TensorFlow says of a file that is too short that an index is out of range.
            raise self._damaged(error) from error

    def _weights(self, epochs_done, finished):
        return self.folder / f"epoch-{epochs_done}{'-finished' if finished else ''}"

    def _damaged(self, error) -> RunError:
        return RunError(
            f"what pretraining stage {self.name} has left in {self.folder} cannot be read: {error}. "
            "Delete that folder, and the stage is run again."
        )


def tracked(model: StageModel, with_optimizer: bool) -> tf.train.Checkpoint:
    """The trained weights, heads included, by their place in the model; catalogues are left out."""
    parts = {"weights": list(model.trainable_variables)}
    if with_optimizer:
        # The object and not its variables, among which the loss scale of half precision is not.
        parts["optimizer"] = model.optimizer
    return tf.train.Checkpoint(**parts)


def fingerprint(settings: dict, arrays: Iterable[np.ndarray]) -> str:
    """64 hex digits of settings (as JSON) and arrays, their shapes and types included."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def tidy(folder: Path, kept: dict[str, int]) -> int:
    """Drops the stages that were not used for longest, which settings, data or weights of the past have left.

    What another process is at work on at this moment is left alone.

    Args:
        folder: where stages are kept.
        kept: name of a stage -> how many of that name are kept; those of other names stay as they are.

    Returns:
        Bytes freed.
    """
    freed = sweep(folder) if folder.is_dir() else 0
    found: dict[str, list[tuple[float, Path]]] = {}
    for stage in folder.glob("*-*"):
        name, state = stage.name.rpartition("-")[0], stage / _STATE
        if name in kept:
            # One that was killed in its first epoch has no state yet.
            found.setdefault(name, []).append(((state if state.exists() else stage).stat().st_mtime, stage))
    for name, stages in found.items():
        for _, stage in sorted(stages, reverse=True)[kept[name] :]:
            if not is_marked(stage):
                # Renamed first: half of a stage must not be taken for a damaged one.
                dropped = hidden_name(stage)
                stage.rename(dropped)
                freed += remove(dropped)
    return freed
