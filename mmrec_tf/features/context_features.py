"""The circumstances of interactions and of requests as numbers: device, place, hour, and what else the schema names."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmrec_tf.data.number_scale import NumberScale
from mmrec_tf.data.vocabulary import MOST_LISTED, Vocabulary
from mmrec_tf.schema import Feature, Schema

Context = dict[str, dict[str, np.ndarray]]
"""`categorical` (name -> `[n]` int32), `multi_categorical` (name -> `[n, most values]` int32, padded with 0) and
`numbers` (name -> `[n, 2]` float32: value and presence), the groups of `SideFeatures`. Zeros are what is not known."""

CLOCK = {"hour_of_day": 24, "day_of_week": 7, "month": 12}
"""What a moment tells by itself (UTC; the week begins on Monday), and how many values each has."""


@dataclass
class ContextFeatures:
    """Encodes what is known at the moment of an interaction or of a request.

    Vocabularies and scales come from the training interactions. What the schema's context holds must be known before
    anything is recommended: a column that tells the outcome (seconds watched, money spent) does not belong there.

    Attributes:
        categorical, multi_categorical: feature name -> `Vocabulary`.
        widths: multi-categorical feature name -> the most values that are kept of it.
        numbers: feature name -> `NumberScale`.
        clock: names of `CLOCK`, read from the timestamp.
        timestamp: name of the timestamp feature; None where there is none.
    """

    categorical: dict[str, Vocabulary] = field(default_factory=dict)
    multi_categorical: dict[str, Vocabulary] = field(default_factory=dict)
    widths: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, NumberScale] = field(default_factory=dict)
    clock: list[str] = field(default_factory=list)
    timestamp: str | None = None

    @classmethod
    def fit(
        cls, frame: pd.DataFrame, schema: Schema, clock: list[str], without: str | None = None
    ) -> "ContextFeatures | None":
        """What the training interactions say of the schema's context; None where it names nothing to encode.

        Args:
            frame: validated training interactions.
            schema: their schema.
            clock: names of `CLOCK`.
            without: name of a feature that is left out. Defaults to None.
        """
        features = {kind: _named(schema, kind, without) for kind in ("categorical", "multi_categorical", "number")}
        found = cls(clock=list(clock) if schema.timestamp is not None else [], timestamp=schema.timestamp)
        for feature in features["categorical"]:
            found.categorical[feature.name] = Vocabulary.fit(frame[feature.name], feature.min_count)
        for feature in features["multi_categorical"]:
            lists = frame[feature.name]
            vocabulary = Vocabulary.fit(lists.explode().dropna(), feature.min_count)
            found.multi_categorical[feature.name] = vocabulary
            found.widths[feature.name] = min(max(int(lists.map(len).max()), 1), MOST_LISTED)
        for feature in features["number"]:
            found.numbers[feature.name] = NumberScale.fit(frame[feature.name].to_numpy(float))
        return found if found.clock or any(features.values()) else None

    @property
    def spec(self) -> dict[str, Any]:
        """What a model has to know: group -> feature name -> rows of its embedding; for `numbers`, names only."""
        clock = {name: CLOCK[name] + 1 for name in self.clock}
        return {
            "categorical": {name: vocabulary.size for name, vocabulary in self.categorical.items()} | clock,
            "multi_categorical": {name: vocabulary.size for name, vocabulary in self.multi_categorical.items()},
            "numbers": sorted(self.numbers),
        }

    def encode(self, frame: pd.DataFrame) -> Context:
        """The rows of a frame of interactions, in their order."""
        context: Context = {"categorical": {}, "multi_categorical": {}, "numbers": {}}
        for name, vocabulary in self.categorical.items():
            context["categorical"][name] = vocabulary.lookup(frame[name])
        if self.clock:
            seconds = frame[self.timestamp].to_numpy(float)
            context["categorical"] |= {name: clock_values(name, seconds) for name in self.clock}
        for name, vocabulary in self.multi_categorical.items():
            context["multi_categorical"][name] = vocabulary.lookup_lists(frame[name], self.widths[name])
        for name, scale in self.numbers.items():
            context["numbers"][name] = scale.apply(frame[name].to_numpy(float))
        return context

    def save(self, path: Path) -> None:
        """Writes everything to a JSON file."""
        content = {
            "categorical": {name: vocabulary.values for name, vocabulary in self.categorical.items()},
            "multi_categorical": {name: vocabulary.values for name, vocabulary in self.multi_categorical.items()},
            "widths": self.widths,
            "numbers": {name: list(scale) for name, scale in self.numbers.items()},
            "clock": self.clock,
            "timestamp": self.timestamp,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "ContextFeatures | None":
        """Reads what `save` wrote; None where there is no such file, as of a run that knows nothing of requests."""
        if not path.is_file():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        for group in ("categorical", "multi_categorical"):
            content[group] = {name: Vocabulary(values) for name, values in content[group].items()}
        content["numbers"] = {name: NumberScale(*scale) for name, scale in content["numbers"].items()}
        return cls(**content)


def clock_values(name: str, seconds: np.ndarray) -> np.ndarray:
    """`[n]` int32 values of one of `CLOCK` at moments in seconds since 1970, from 1; 0 for a moment that is no number.

    Raises:
        ValueError: for a name that is not in `CLOCK`.
    """
    seconds = np.asarray(seconds, np.float64)
    there = np.isfinite(seconds)
    moments = pd.to_datetime(np.where(there, seconds, 0.0), unit="s")
    if name == "hour_of_day":
        values = moments.hour + 1
    elif name == "day_of_week":
        values = moments.dayofweek + 1
    elif name == "month":
        values = moments.month
    else:
        raise ValueError(f"the clock has no {name!r}. Allowed: {', '.join(CLOCK)}.")
    return np.where(there, values, 0).astype(np.int32)


def _named(schema: Schema, kind: str, without: str | None) -> list[Feature]:
    return [feature for feature in schema.context if feature.kind == kind and feature.name != without]
