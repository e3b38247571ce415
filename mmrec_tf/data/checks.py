"""The checks of one table: each finds its rows, applies the policy and leaves a line for the report."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd

from mmrec_tf.config import Policies
from mmrec_tf.data import columns, media
from mmrec_tf.data.file_memory import FileMemory
from mmrec_tf.data.problems import NOTES, Action, Problem, ProblemKind
from mmrec_tf.schema import MEDIA_KINDS, Feature

GOVERNED_BY = {
    "no_media": "missing_media",
    "unreadable_media": "missing_media",
    "bad_vector": "undecodable_media",
    "bad_label": "label_out_of_range",
    "missing_number": "non_finite_number",
}
"""The policy of kinds that have none of their own name."""

_ACTIONS: dict[str, Action] = {"drop": "dropped", "keep": "kept", "fill": "filled", "stop": "stops", "note": "noted"}
SPLIT_NAMES = ("train", "validation", "test")
_DAY = 86400.0


class TableChecks:
    """Collects what is wrong with one table and which rows go.

    Args:
        table: str. `interactions`, `items` or `users`.
        frame: the table as it was read.
        policies: what to do with each kind of problem.
        strict: bool. Anything wrong stops.
        progress: called with (description, files done, files in all) while media are opened.
    """

    def __init__(
        self,
        table: str,
        frame: pd.DataFrame,
        policies: Policies,
        strict: bool = False,
        progress: Callable[[str, int, int], None] | None = None,
        memory: FileMemory | None = None,
    ):
        self.table = table
        self.frame = frame
        self.policies = policies
        self.strict = strict
        self.progress = progress
        self.memory = memory
        self.problems: list[Problem] = []
        # By feature, the files that rows name and that cannot be found or read.
        self.files_away: dict[str, list[Path]] = {}
        # Of a table in which each is there once; None before they have been checked.
        self.ids: np.ndarray | None = None
        # Rows without a usable id are out of every later count; rows that a policy drops go at the end, so that each
        # problem is counted in full whatever the others do.
        self.identified = np.ones(len(frame), dtype=bool)
        self.dropped = np.zeros(len(frame), dtype=bool)

    @property
    def kept(self) -> np.ndarray:
        """`[rows]` bool: rows that stay."""
        return self.identified & ~self.dropped

    def found(
        self,
        kind: ProblemKind,
        column: str,
        bad: np.ndarray,
        remedy: str,
        policy: str | None = None,
        reasons: dict[int, str] | None = None,
        feature: str | None = None,
    ) -> np.ndarray:
        """Records the rows where `bad` ([rows] bool) is true, and returns those that the policy fills or keeps.

        Args:
            policy: `drop`, `keep`, `fill`, `stop` or `note`; from the configured policies when None.
            reasons: dict of row to what to show instead of the cell.
            feature: name of the feature that the column was read for; several may read one column.
        """
        bad = bad & self.identified
        rows = np.flatnonzero(bad)
        if len(rows) == 0:
            return bad
        if policy is None:
            name = GOVERNED_BY.get(kind, kind)
            policy = getattr(self.policies, name)
            others = [choice for choice in get_args(Policies.model_fields[name].annotation) if choice != policy]
            remedy += f" Or set data.policies.{name}: {' or '.join(others)}."
        if self.strict and kind not in NOTES:
            policy = "stop"
        if policy == "drop":
            self.dropped |= bad
        first = int(rows[0])
        value = (reasons or {}).get(first) or _shown(self.frame[column].iloc[first])
        affected = 0 if policy in ("stop", "note") else len(rows)
        self.problems.append(
            Problem(kind, self.table, column, len(rows), first, value, remedy, _ACTIONS[policy], affected, feature)
        )
        return bad if policy in ("fill", "keep") else np.zeros_like(bad)

    def check_ids(self, column: str, unique: bool) -> np.ndarray:
        """The column's ids, `[rows]` object of str; rows without one, or (if `unique`) with a repeated one, go."""
        ids = columns.parse_ids(self.frame[column])
        empty = ids == ""
        self.found("empty_id", column, empty, "Give every row an id.", policy="drop")
        self.identified &= ~empty
        if unique:
            self.ids = ids
            repeated = pd.Series(ids).duplicated(keep="first").to_numpy()
            self.found("duplicate_id", column, repeated, "Keep one row per id; the first one counts.")
            self.identified &= ~repeated
        return ids

    def check_feature(self, feature: Feature, folder: Path) -> np.ndarray:
        """The feature's values by the rules of `RecData`; `folder` is where relative media paths start."""
        series = self.frame[feature.column]
        if feature.kind == "categorical":
            return columns.parse_text(series)
        if feature.kind == "multi_categorical":
            return columns.parse_lists(series, feature.separator)
        if feature.kind == "number":
            return self._number(feature.column)
        if feature.kind == "timestamp":
            return self._optional_moment(feature.column)
        if feature.kind == "text":
            return self._text(feature)
        if feature.kind == "vector":
            return self._vector(feature)
        return self._media(feature, folder)

    def check_moment(self, column: str) -> np.ndarray:
        """The time of each interaction, float64 seconds; rows without one, or with one that is yet to come, go."""
        moments = columns.parse_timestamps(self.frame[column])
        remedy = "Give seconds (or ms, us, ns) since 1970, or ISO 8601 such as 2024-01-31T12:00:00Z."
        self.found("bad_timestamp", column, np.isnan(moments), remedy)
        known = moments[~np.isnan(moments)]
        now = time.time()
        # A single row of the year 2034 would end the time that the trends cover, and all that is recent would be old.
        # Where most rows are yet to come, the data is made up or counts from another year, and is sound in itself.
        if len(known) and np.median(known) < now:
            # A day, as a moment written without a zone may be ahead by some hours.
            latest = now + _DAY
            until = time.strftime("%Y-%m-%d %H:%M", time.gmtime(latest))
            remedy = (
                f"What is later than {until} UTC, a day from now, lies in the future, and most of the table does not. "
                "Mend the moments, or the clock that wrote them."
            )
            self.found("bad_timestamp", column, moments > latest, remedy)
        return moments

    def check_label(self, column: str, label_range: tuple[float, float] | None) -> np.ndarray:
        """The labels, float32. One that is no number cannot be filled, so its row goes unless the policy stops."""
        labels, _ = columns.parse_numbers(self.frame[column])
        unusable = np.isnan(labels)
        policy = "stop" if self.policies.label_out_of_range == "stop" else "drop"
        remedy = "Give every interaction a finite number as its label." + self._comma_hint(column, unusable)
        self.found("bad_label", column, unusable, remedy, policy)
        if label_range is not None:
            low, high = label_range
            outside = ~unusable & ((labels < low) | (labels > high))
            remedy = f"Labels go from {low:g} to {high:g} (data.label_range); mend them or widen the range."
            if self.found("label_out_of_range", column, outside, remedy).any():
                labels = np.clip(labels, low, high)
        return labels.astype(np.float32)

    def check_target(self, column: str) -> np.ndarray:
        """What a ranker learns beside the label, float64; NaN where a cell says nothing. All text stops the run."""
        numbers, bad = columns.parse_numbers(self.frame[column])
        remedy = "A target is a number, 0 or 1 for what happens or not; give one, or leave the cell empty."
        remedy += self._comma_hint(column, bad)
        is_text = bool(bad.any()) and not np.isfinite(numbers).any()
        self.found("non_finite_number", column, bad, remedy, policy="stop" if is_text else None)
        empty = np.isnan(numbers) & ~bad
        self.found("missing_number", column, empty, "These rows do not teach this target.", policy="note")
        return numbers

    def check_split(self, column: str) -> np.ndarray:
        """The user's own split, `[rows]` object of `train`, `validation` or `test`."""
        names = np.array([text.strip().lower() for text in columns.parse_text(self.frame[column])], dtype=object)
        remedy = f"Write {', '.join(SPLIT_NAMES)} in the column, and leave out rows that belong to none."
        self.found("bad_split", column, ~np.isin(names.astype(str), SPLIT_NAMES), remedy, policy="stop")
        return names

    def _number(self, column: str) -> np.ndarray:
        numbers, bad = columns.parse_numbers(self.frame[column])
        remedy = "Give a finite number, or leave the cell empty." + self._comma_hint(column, bad)
        self.found("non_finite_number", column, bad, remedy)
        empty = np.isnan(numbers) & ~bad
        self.found("missing_number", column, empty, "Empty numbers count as the training mean.", policy="note")
        return numbers

    def _comma_hint(self, column: str, bad: np.ndarray) -> str:
        """What to do about a decimal comma, where the first of the cells that are no numbers has one."""
        first = columns.parse_text(self.frame[column][bad & self.identified].iloc[:1])
        has_comma = len(first) == 1 and columns.NUMBER_WITH_COMMA.fullmatch(first[0])
        return f" Write numbers with a decimal point, not as {first[0].strip()}." if has_comma else ""

    def _optional_moment(self, column: str) -> np.ndarray:
        # A film without a release date is still a film: unlike an interaction's time, this one may be missing.
        moments = columns.parse_timestamps(self.frame[column])
        bad = np.isnan(moments) & (columns.parse_text(self.frame[column]) != "")
        policy = "stop" if self.policies.bad_timestamp == "stop" else "fill"
        self.found(
            "bad_timestamp", column, bad, "Give seconds since 1970 or an ISO 8601 date; else it is missing.", policy
        )
        return moments

    def _text(self, feature: Feature) -> np.ndarray:
        parts = [columns.parse_text(self.frame[column]) for column in feature.columns]
        text = np.array([" ".join(" ".join(row).split()) for row in zip(*parts)], dtype=object)
        joined = " + ".join(feature.columns)
        remedy = f"Fill {joined}; without text the item is judged by the rest of its features."
        self.found("empty_text", feature.column, text == "", remedy)
        return text

    def _vector(self, feature: Feature) -> np.ndarray:
        vectors, reasons, dim = columns.parse_vectors(self.frame[feature.column], feature.separator)
        if self.ids is not None:
            reasons = {row: f"{self.ids[row]!r}: {reason}" for row, reason in reasons.items()}
        bad = _mask(reasons, len(vectors))
        remedy = f"Give {dim} finite numbers separated by {feature.separator!r}, or a list of them."
        self.found("bad_vector", feature.column, bad, remedy, reasons=reasons)
        self._absent(feature, np.array([vector is None for vector in vectors]) & ~bad)
        return vectors

    def _media(self, feature: Feature, folder: Path) -> np.ndarray:
        sources = media.parse_media(self.frame[feature.column], folder)
        sources[~self.identified] = None
        report = None
        if self.progress is not None:
            description = f"checking {feature.name} ({feature.kind})"

            def report(done: int, total: int):
                self.progress(description, done, total)

        found = media.check_media(sources, feature.kind, report, self.memory)
        self._absent(feature, np.array([source is None for source in sources]), found.absent)
        remedy = f"Paths are absolute or relative to {folder}."
        if any(str(self.frame[feature.column].iloc[row]).startswith(("http://", "https://")) for row in found.missing):
            remedy = "Addresses are not downloaded: fetch the files first and put their paths in the column."
        name, rows = feature.name, len(sources)
        self.found("missing_media", feature.column, _mask(found.missing, rows), remedy, None, found.missing, name)
        remedy = "Let these files be read; they are tried again the next time."
        unread = found.unreadable
        self.found("unreadable_media", feature.column, _mask(unread, rows), remedy, None, unread, name)
        remedy = f"Replace the {feature.kind} file, or empty the cell."
        self.found("undecodable_media", feature.column, _mask(found.broken, rows), remedy, None, found.broken, name)
        self.files_away[name] = [path for path in sources[[*found.missing, *unread]] if isinstance(path, Path)]
        sources[[*found.missing, *unread, *found.broken, *found.absent]] = None
        return sources

    def _absent(self, feature: Feature, empty: np.ndarray, reasons: dict[int, str] | None = None):
        """Notes the rows that have no content: those without a cell and those whose file holds none of this kind."""
        absent = empty | _mask(reasons or {}, len(empty))
        remedy = f"These items have no {feature.name}; that is allowed."
        self.found("no_media", feature.column, absent, remedy, reasons=reasons, feature=feature.name)


def empty_values(feature: Feature, count: int) -> np.ndarray:
    """What a feature holds in `count` rows of which nothing but the id is known."""
    if feature.kind in ("number", "timestamp"):
        return np.full(count, np.nan)
    out = np.empty(count, dtype=object)
    for position in range(count):
        out[position] = [] if feature.kind == "multi_categorical" else None
    if feature.kind not in (*MEDIA_KINDS, "vector", "multi_categorical"):
        out[:] = ""
    return out


def _mask(rows: dict[int, str], length: int) -> np.ndarray:
    mask = np.zeros(length, dtype=bool)
    mask[list(rows)] = True
    return mask


def _shown(value) -> str:
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value):,} bytes"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
