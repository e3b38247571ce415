"""What a search has tried, kept in a file that is whole at any moment.

trials.json         the configuration that the search began with, and every trial with its settings, score and time
oracle.json         what KerasTuner knows of them
best.yaml           the configuration with the best settings so far
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmrec_tf.config import Config
from mmrec_tf.data.whole_files import sweep, write_whole
from mmrec_tf.errors import RunError

_FILE = "trials.json"
_BUDGET = ("trials", "minutes")
_SHOWN = 5
"""Differences between two configurations that a message names."""


@dataclass
class Trial:
    """One combination of settings.

    Attributes:
        number: int. 0 is the configuration as it is.
        settings: setting -> value; of trial 0 the values that the configuration has.
        status: `running`, `done`, `failed` (training ended with an error) or `refused` (it could not begin).
        score: float. The mean of `scores`.
        scores: list of float. One for each repeat.
        epochs: int. Passes over the data, of all stages, repeats averaged.
        ration: int. Epochs that it was given, where the method gives them out.
        seconds: float.
        message: str. Why it failed.
        key: str. The oracle's name for it; None for a trial 0 that lies outside of the space.
        begun: int. Times that it was begun.
    """

    number: int
    settings: dict[str, Any]
    status: str = "running"
    score: float | None = None
    scores: list[float] = field(default_factory=list)
    epochs: int | None = None
    ration: int | None = None
    seconds: float = 0.0
    message: str | None = None
    key: str | None = None
    begun: int = 0


class TrialLog:
    """The trials of a search's folder.

    Args:
        folder: the folder, which is made when something is written.
        config: what the search is about, encoders resolved.
        overwrite: bool. Forget an earlier search in it.

    Raises:
        RunError: if the folder is something else, or holds a search that began with another configuration.
    """

    def __init__(self, folder: str | Path, config: Config, overwrite: bool = False):
        self.folder = Path(folder)
        self.trials: list[Trial] = []
        self.interactions: str | None = None
        self._config = config.model_dump(mode="json", by_alias=True)
        path = self.folder / _FILE
        # Hidden files are what a process that was killed may leave.
        if self.folder.exists() and not path.is_file() and (self.folder.is_file() or any(self.folder.glob("[!.]*"))):
            raise RunError(f"{folder} exists and is no search. Name another folder with --out.")
        self._overwrites = overwrite
        if path.is_file():
            sweep(self.folder)
            if not overwrite:
                self._read(path)

    def begin(self) -> None:
        """Writes the search, in the place of an earlier one that is to be forgotten: only now that it can begin.

        What else is in the folder is not the search's own, and stays.
        """
        if self._overwrites:
            for name in (_FILE, "oracle.json", "best.yaml", "retrieval.weights.h5"):
                (self.folder / name).unlink(missing_ok=True)
        self.write()

    def write(self) -> None:
        content = {
            "interactions": self.interactions,
            "trials": [asdict(trial) for trial in self.trials],
            "config": self._config,
        }
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_whole(self.folder / _FILE, lambda file: file.write(text.encode()))

    def check_interactions(self, fingerprint: str) -> None:
        """Refuses to go on with other data, on which the scores would be others.

        Raises:
            RunError: if they are not those that the search began with.
        """
        if self.interactions not in (None, fingerprint):
            raise RunError(
                f"the interactions have changed since the search in {self.folder} began, so that scores cannot be "
                "compared. Search anew: name another folder with --out, or add --overwrite."
            )
        self.interactions = fingerprint

    @property
    def done(self) -> list[Trial]:
        """The trials that have a score."""
        return [trial for trial in self.trials if trial.status == "done"]

    @property
    def best(self) -> Trial | None:
        """The trial with the highest score, of equal ones the first; None before there is any."""
        return max(self.done, key=lambda trial: trial.score, default=None)

    def _read(self, path: Path) -> None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            self.trials = [Trial(**trial) for trial in content["trials"]]
            began_with, self.interactions = content["config"], content["interactions"]
            changed = _differences(_without_budget(began_with), _without_budget(self._config))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{path} is damaged ({error}). Search anew: name another folder with --out, or add --overwrite."
            ) from error
        if changed and all(trial.status == "running" for trial in self.trials):
            # Nothing has come of it yet: most likely it ended with a mistake that has been mended since.
            self._overwrites = True
            self.trials, self.interactions = [], None
        elif changed:
            more = f"\n  and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            raise RunError(
                f"the search in {self.folder} began with another configuration:\n  "
                + "\n  ".join(changed[:_SHOWN])
                + f"{more}\nSet them back to go on with it (search.trials and search.minutes may change). To search "
                "anew, name another folder with --out, or add --overwrite."
            )


def _without_budget(config: dict) -> dict:
    search = {name: value for name, value in config["search"].items() if name not in _BUDGET}
    return {**config, "search": search}


def _differences(one, other, name: str = "") -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [*one, *(key for key in other if key not in one)]
        found = [_differences(one.get(key), other.get(key), f"{name}.{key}" if name else str(key)) for key in keys]
        return [line for lines in found for line in lines]
    return [] if one == other else [f"{name} was {one!r} and is {other!r}"]
