"""The configuration of what a ranker learns beside its main target.

models:
  ranking:
    model: mmoe
    targets:
      purchase: {column: purchased, after: click}
      rating: {kind: rating}
    order_by: {click: 1, purchase: 0.5}
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator

from mmrec_tf.errors import suggestion
from mmrec_tf.schema import StrictModel

SEVERAL_TARGETS = ["shared_bottom", "mmoe", "ple", "esmm"]
"""The rankers that learn several targets; `register_ranker` adds those whose init takes `targets`."""

ANSWERS = ("score", "order")
"""Outputs of the exported ranker, whose names no target may have."""

_LOSSES = {"click": ("log_loss",), "rating": ("mse", "huber")}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class TargetConfig(StrictModel):
    """One more target, beside the main one, which is `click` or `rating`.

    Args:
        column: str. The column of the interactions that says it; the target's name by default. An empty cell says
            nothing: the row is learned for its other targets.
        kind: `click` (it happens or not) or `rating` (a number).
        positive_from: float. Of a click, the smallest value that says it happened; anything above 0 by default.
        after: str. Of a click, the target that must happen first, as a purchase follows a click. What is predicted is
            then its chance once that has happened, learned from all rows, also those in which it has not.
        loss: of clicks `log_loss`; of ratings `mse` (the default) or `huber`, in units of the labels' spread.
        weight: float. Weight of its loss beside that of the main target; with `weighting: uncertainty`, the one it
            starts with.
    """

    column: str | None = None
    kind: Literal["click", "rating"] = "click"
    positive_from: float | None = None
    after: str | None = None
    loss: str | None = None
    weight: float = Field(default=1.0, ge=0.001, le=1000.0)

    @model_validator(mode="after")
    def _check(self):
        allowed = _LOSSES[self.kind]
        if self.loss is not None and self.loss not in allowed:
            raise ValueError(
                f"loss {self.loss!r} is none for the kind {self.kind}.{suggestion(self.loss, allowed)} "
                f"Allowed: {', '.join(allowed)}."
            )
        for name in ("positive_from", "after"):
            if self.kind == "rating" and getattr(self, name) is not None:
                raise ValueError(f"{name} is for what happens or not. Leave it out, or set kind to click.")
        return self


def check_targets(
    model: str, main: str, loss: str, targets: Mapping[str, TargetConfig], order_by: Mapping[str, float] | None
) -> None:
    """Refuses targets that the ranker cannot learn, or that do not go together.

    Args:
        model: the ranker's name.
        main: the main target, `click` or `rating`.
        loss: its loss.
        targets: by name; `after` filled in.
        order_by: what orders the lists; None for the main target.

    Raises:
        ValueError: naming what was asked for and what is allowed.
    """
    if targets and model not in SEVERAL_TARGETS:
        raise ValueError(
            f"targets: {model} learns one target only. Set model to one of {', '.join(SEVERAL_TARGETS)}, "
            "or leave targets out."
        )
    for name in targets:
        if name in (main, *ANSWERS) or not _NAME.fullmatch(name):
            raise ValueError(
                f"targets: {name!r} cannot be the name of a target. Take letters, digits and _, a letter first, and "
                f"none of {', '.join((main, *ANSWERS))}."
            )
    happening = [name for name, target in targets.items() if target.kind == "click"]
    if main == "click":
        happening = [main, *happening]
    for name, target in targets.items():
        if target.after is not None:
            _check_after(name, target.after, targets, happening)
            if target.after == main and loss != "log_loss":
                raise ValueError(
                    f"targets: {name} comes after {main}, whose loss {loss} gives no chances to go on from. "
                    "Set models.ranking.loss to log_loss."
                )
    if model == "esmm" and not any(target.after for target in targets.values()):
        raise ValueError(
            "esmm learns what comes after a click: set target to click, and name a target of kind click, as in "
            "targets: {purchase: {column: purchased}}."
        )
    _check_order(order_by, [main, *targets])


def target_columns(targets: Mapping[str, TargetConfig]) -> dict[str, str]:
    """Target -> the column of the interactions that says it."""
    return {name: target.column or name for name, target in targets.items()}


def check_columns(targets: Mapping[str, TargetConfig], taken: Mapping[str, str]) -> None:
    """Refuses targets whose column the models would see.

    Args:
        targets: by name.
        taken: column of the interactions -> what it is in the configuration.

    Raises:
        ValueError: naming the target, the column and its use.
    """
    for name, column in target_columns(targets).items():
        if column in taken:
            raise ValueError(
                f"models.ranking.targets: {name} is read from the column {column!r}, which is also "
                f"{taken[column]}; a model must not see its own answer. Take one of the two out."
            )


def _check_after(name: str, after: str, targets: Mapping[str, TargetConfig], happening: Sequence[str]):
    if after not in happening:
        others = [other for other in happening if other != name]
        raise ValueError(
            f"targets: {name} comes after {after!r}, which is no target of kind click.{suggestion(after, others)} "
            f"Allowed: {', '.join(others) or 'none'}."
        )
    passed = [name]
    while after in targets:
        if after in passed:
            raise ValueError(f"targets: {' after '.join([*passed, after])} goes in a circle. Take one `after` out.")
        passed.append(after)
        after = targets[after].after


def _check_order(order_by: Mapping[str, float] | None, names: Sequence[str]):
    if order_by is None:
        return
    for name, weight in order_by.items():
        if name not in names:
            raise ValueError(f"order_by: {name!r} is no target.{suggestion(name, names)} Allowed: {', '.join(names)}.")
        if not math.isfinite(weight):
            raise ValueError(f"order_by: the exponent of {name} is {weight}; give a finite number.")
    if not any(order_by.values()):
        raise ValueError(f"order_by has no exponent but 0, which orders nothing. Give one of {', '.join(names)} a 1.")
