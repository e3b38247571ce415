"""The configuration's section about the search for settings."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from mmrec_tf.errors import suggestion
from mmrec_tf.schema import StrictModel


class RangeConfig(StrictModel):
    """Numbers between two ends, both included.

    Args:
        low, high: float. Two whole numbers, for a setting that is one, stand for the whole numbers between them.
        scale: `linear`, or `log` where a factor counts for as much at either end.
    """

    low: int | float
    high: int | float
    scale: Literal["linear", "log"] = "linear"


class SearchConfig(StrictModel):
    """What `mmrec tune` tries, and for how long.

    Args:
        stage: `retrieval`, `ranking` (on one retrieval model, as configured) or `both`.
        method: `bayesian` (a Gaussian process says where a better score may be), `random`, or `hyperband` (many short
            trainings, of which the better ones are done again with more epochs).
        trials: int. Trainings, the first of which is the configuration as it is; of `hyperband`, whose trainings differ
            in length, as many epochs as these have at most. None for no limit but that of time.
        minutes: float. No training is begun after these, those of earlier calls included; None for no limit.
        repeats: int. Trainings of every trial, with one seed each, whose mean is its score.
        space: setting, such as `models.retrieval.dim`, -> a list of values, or `low`, `high` and `scale` of a range.
            Empty for a space that suits the stage.
    """

    stage: Literal["retrieval", "ranking", "both"] = "retrieval"
    method: Literal["bayesian", "random", "hyperband"] = "bayesian"
    trials: int | None = Field(default=20, ge=1)
    minutes: float | None = Field(default=None, gt=0.0)
    repeats: int = Field(default=1, ge=1, le=20)
    space: dict[str, list[Any] | RangeConfig] = Field(default_factory=dict)

    @field_validator("space", mode="before")
    @classmethod
    def _well_formed(cls, space):
        if not isinstance(space, dict):
            return space
        problems = []
        for name, entry in space.items():
            problem = _problem_of(entry)
            if problem:
                problems.append(f"{name}: {problem}")
        if problems:
            raise ValueError("\n  ".join(problems))
        return space

    @model_validator(mode="after")
    def _check(self):
        if self.trials is None and self.minutes is None:
            raise ValueError("a search ends after trials or minutes: give one of them a number.")
        return self


def _problem_of(entry) -> str | None:
    """What is wrong with the form of a setting's values; None where nothing is."""
    if isinstance(entry, RangeConfig):
        entry = entry.model_dump()
    if isinstance(entry, list):
        different = [value for place, value in enumerate(entry) if value not in entry[:place]]
        if len(different) < len(entry):
            return f"the list {entry} names a value twice."
        if len(entry) < 2:
            return f"the list {entry} leaves nothing to choose. List two or more values, or set the one with --set."
        return None
    if not isinstance(entry, dict):
        return f"takes a list of values or {{low: ..., high: ...}}, got {entry!r}."
    allowed = list(RangeConfig.model_fields)
    for key in entry:
        if key not in allowed:
            return f"a range has no {key!r}.{suggestion(key, allowed)} Allowed: {', '.join(allowed)}."
    low, high = (_number(entry.get(key)) for key in ("low", "high"))
    if low is None or high is None:
        return f"a range needs two numbers, low and high; they are {entry.get('low')!r} and {entry.get('high')!r}."
    if not low < high:
        return f"the range from {low:g} to {high:g} is empty; low must be below high."
    if entry.get("scale") == "log" and low <= 0:
        return f"a logarithmic range begins above 0, got low: {low:g}. Raise it, or take scale: linear."
    return None


def _number(value) -> float | None:
    """A finite number; YAML reads 5e-4, without a point, as a string."""
    try:
        number = float("nan" if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None
