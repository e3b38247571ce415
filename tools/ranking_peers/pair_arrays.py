"""Labelled pairs as plain arrays, for peers whose environment holds NumPy and SciPy and nothing of this package."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

PARTS = ("train", "validation", "test")

DAY = 86400.0


@dataclass
class Pairs:
    """The pairs of one part, row-aligned.

    Attributes:
        user, item: `[n]` int32 rows of the tables.
        time: `[n]` float64, seconds since 1970; NaN where the data have none.
        label: `[n]` float32 of 0 and 1.
        grade: `[n]` float32 from 0 to 1, how much was liked, where the data's labels say that; None where not.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    label: np.ndarray
    grade: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.label)


@dataclass
class PairArrays:
    """What the exporter wrote; see `export_pairs`.

    Attributes:
        parts: `train`, `validation` and `test`.
        tables: `user` and `item` -> kind (`id`, `categorical`, `multi_categorical`, `number`) -> feature -> array with
            a row for each user or item. Categories are `[rows]` or `[rows, most values]` int32, 0 for none and for what
            training does not know; so are ids, which count what training has a pair of. Numbers are `[rows, 2]`: the
            standardised value and whether it is there.
        context: part -> kind -> feature -> array with a row for each pair.
        widths: our ranker's `dim`, `hidden` and `batch_size`, for timing peers of the same size.
    """

    parts: dict[str, Pairs]
    tables: dict[str, dict[str, dict[str, np.ndarray]]]
    context: dict[str, dict[str, dict[str, np.ndarray]]]
    widths: dict = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> PairArrays:
        parts, tables, context = {}, {"user": {}, "item": {}}, {part: {} for part in PARTS}
        with np.load(path, allow_pickle=False) as arrays:
            for part in PARTS:
                known = (arrays[f"{part}/{name}"] for name in ("user", "item", "time", "label"))
                parts[part] = Pairs(*known, grade=arrays.get(f"{part}/grade"))
            for key in arrays.files:
                group, *names = key.split("/", 3)
                if group == "table":
                    tables[names[0]].setdefault(names[1], {})[names[2]] = arrays[key]
                elif group == "context":
                    context[names[0]].setdefault(names[1], {})[names[2]] = arrays[key]
            widths = {
                "dim": int(arrays["widths/dim"]),
                "hidden": [int(width) for width in arrays["widths/hidden"]],
                "batch_size": int(arrays["widths/batch_size"]),
            }
        return cls(parts, tables, context, widths)

    @cached_property
    def has_times(self) -> bool:
        return all(bool(np.isfinite(pairs.time).all()) for pairs in self.parts.values())

    def categories(self, part: str, with_clock: bool = False) -> dict[str, np.ndarray]:
        """Feature -> `[n]` int32, ids among them, 0 for none; with the clock the hour and the day of the week too."""
        found = {f"{side}_id": values for side in ("user", "item") for values in self._of(part, side, "id").values()}
        found |= self._joined(part, "categorical")
        if with_clock and self.has_times:
            found |= clock(self.parts[part].time)
        return found

    def lists(self, part: str) -> dict[str, np.ndarray]:
        """Feature -> `[n, most values]` int32, padded with 0."""
        return self._joined(part, "multi_categorical")

    def numbers(self, part: str) -> dict[str, np.ndarray]:
        """Feature -> `[n]` float32, 0 where it is missing."""
        return {name: values[:, 0].astype(np.float32) for name, values in self._joined(part, "number").items()}

    def size(self, name: str, with_clock: bool = False) -> int:
        """Rows that an embedding of a category or a list needs."""
        tables = [{**self.categories(part, with_clock), **self.lists(part)}[name].max(initial=0) for part in PARTS]
        return int(max(tables)) + 1

    def _joined(self, part, kind):
        found = {}
        for side in ("user", "item"):
            found |= {f"{side}_{name}": values for name, values in self._of(part, side, kind).items()}
        return found | {f"context_{name}": values for name, values in self.context[part].get(kind, {}).items()}

    def _of(self, part, side, kind):
        rows = getattr(self.parts[part], side)
        return {name: values[rows] for name, values in self.tables[side].get(kind, {}).items()}


def clock(times: np.ndarray) -> dict[str, np.ndarray]:
    """Hour of the day and day of the week (UTC, Thursday first, as time counts), each from 1."""
    return {
        "clock_hour": (times % DAY // 3600).astype(np.int32) + 1,
        "clock_day": (times // DAY % 7).astype(np.int32) + 1,
    }


def auc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve from ranks, ties counting half; None where one of the two classes is absent.

    Peers stop and are tuned by it. The table's figures are those of `mmrec_tf.evaluation`.
    """
    positive = np.asarray(labels) > 0
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return None
    return float((rankdata(scores)[positive].sum() - count * (count + 1) / 2.0) / (count * others))
