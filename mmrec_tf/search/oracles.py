"""KerasTuner's oracles, which say what is to be tried next: the one place where KerasTuner is reached.

KerasTuner is made for Keras 3, which it imports, while the models here are Keras 2 ones. Its oracles know nothing of
models: they are asked for values and told scores. Nothing else of it is used.
"""

import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from mmrec_tf.data.whole_files import write_whole
from mmrec_tf.errors import RunError
from mmrec_tf.search.space import Choices, Space, Span

_SCORE = "score"
_TUNER = "mmrec"
_EPOCHS = "tuner/epochs"
_NOISE = 0.01
"""Variance of a score among trainings with the same settings, as a share of that among settings."""


@dataclass(frozen=True)
class Proposal:
    """What is to be tried next.

    Attributes:
        key: str. Its name, by which the score is told.
        settings: setting -> value.
        epochs: int. How long to train, where the method says so; None for as long as the configuration says.
    """

    key: str
    settings: dict[str, Any]
    epochs: int | None = None


class Oracle:
    """Asked for settings, told their scores; kept in a file, so that a search that was killed goes on.

    A proposal that was asked for and not told of before the process ended is made again.

    Args:
        method: `bayesian`, `random` or `hyperband`.
        space: what may be tried.
        start: setting -> value, proposed first; None where it is no part of the space.
        path: the file.
        seed: int.
        epochs: int. The longest training, for `hyperband`.
        initial: int. Random proposals before the model of `bayesian` is asked.

    Raises:
        RunError: if the file is damaged.
    """

    def __init__(
        self,
        method: str,
        space: Space,
        start: dict[str, Any] | None,
        path: Path,
        seed: int = 0,
        epochs: int = 1,
        initial: int = 8,
    ):
        self.space = space
        options = {
            "objective": keras_tuner.Objective(_SCORE, "max"),
            "hyperparameters": _hyperparameters(space),
            # 0 would be drawn anew by every process.
            "seed": seed + 1,
            "max_consecutive_failed_trials": math.inf,
        }
        own = {
            "bayesian": {"num_initial_points": initial, "alpha": _NOISE, "max_trials": None},
            "random": {"max_trials": None},
            "hyperband": {"max_epochs": epochs, "hyperband_iterations": 0},
        }
        self._oracle = _KINDS[method](**options, **own[method])
        self._oracle.verbose = 0
        self._oracle.path = path
        self._oracle.first = None if start is None else {name: _code(space[name], start[name]) for name in space}
        self._oracle.bring_back()

    @property
    def proposes_start(self) -> bool:
        """Whether what it is asked for first is the start."""
        return self._oracle.first is not None

    def ask(self) -> Proposal | None:
        """The next settings to try; None where the space holds nothing more."""
        trial = self._oracle.create_trial(_TUNER)
        if trial.status != "RUNNING":
            return None
        values = trial.hyperparameters.values
        settings = {name: _value(domain, values[name]) for name, domain in self.space.items()}
        return Proposal(trial.trial_id, settings, values.get(_EPOCHS))

    def tell(self, key: str, score: float) -> None:
        """Takes the score, higher is better, of a proposal."""
        self._oracle.update_trial(key, {_SCORE: score})
        trial = self._oracle.get_trial(key)
        trial.status = "COMPLETED"
        self._oracle.end_trial(trial)
        # What it has saved in `end_trial` still counts the trial among the ongoing ones.
        self._oracle.save()


def _hyperparameters(space: Space) -> keras_tuner.HyperParameters:
    found = keras_tuner.HyperParameters()
    for name, domain in space.items():
        if isinstance(domain, Choices):
            # By their places, as values may be lists, None, or of several types, which KerasTuner does not take.
            found.Choice(name, list(range(len(domain.values))))
        else:
            make = found.Int if domain.is_whole else found.Float
            make(name, domain.low, domain.high, sampling="log" if domain.is_log else "linear")
    return found


def _code(domain: Choices | Span, value):
    return domain.values.index(value) if isinstance(domain, Choices) else value


def _value(domain: Choices | Span, code):
    if isinstance(domain, Choices):
        return domain.values[code]
    if domain.is_whole:
        return int(code)
    # Three digits are as many as anybody wants to read, and more than make a difference.
    return min(max(float(f"{code:.3g}"), domain.low), domain.high)


class _Kept:
    """An oracle that is written as a whole: KerasTuner's own files may be found half-written after a kill."""

    path: Path
    first: dict | None

    def save(self):
        content = {"state": self.get_state(), "trials": [trial.get_state() for trial in self.trials.values()]}
        write_whole(self.path, lambda file: file.write(json.dumps(content).encode()))

    def _save_trial(self, trial):
        """Nothing: all trials are a part of what `save` writes, which follows every call of this."""

    def bring_back(self):
        """Goes on where the file, if there is one, says that the search was."""
        if not self.path.is_file():
            return
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            self.trials = {state["trial_id"]: Trial.from_state(state) for state in content["trials"]}
            self.set_state(content["state"])
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{self.path} is damaged ({error}). Search anew: name another folder with --out, or add --overwrite."
            ) from error
        self._retry_queue += [trial.trial_id for trial in self.ongoing_trials.values()]
        self.ongoing_trials = {}

    def populate_space(self, trial_id):
        if not self.trials and self.first is not None:
            return {"status": "RUNNING", "values": dict(self.first)}
        return self.propose(super().populate_space, trial_id)

    def propose(self, populate: Callable, trial_id: str) -> dict:
        return populate(trial_id)


class _Random(_Kept, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Hyperband(_Kept, keras_tuner.oracles.HyperbandOracle):
    pass


class _Bayesian(_Kept, keras_tuner.oracles.BayesianOptimizationOracle):
    def propose(self, populate, trial_id):
        # By the trial's number, so that a search that was killed goes on as it would have gone on.
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        with warnings.catch_warnings():
            # The Gaussian process warns where the scores so far say nothing of a setting, which is common and no news.
            warnings.simplefilter("ignore")
            found = populate(trial_id)
        if found["values"] is not None and self._duplicate(found["values"]):
            # Where all settings are choices, the best guess is often one whose score is known.
            return self._random_populate_space()
        return found


_KINDS = {"bayesian": _Bayesian, "random": _Random, "hyperband": _Hyperband}
