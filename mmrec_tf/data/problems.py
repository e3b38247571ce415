"""What validation found: each problem with its count, an example, the remedy, and what was done about it.

People mend data faster when they see everything that is wrong at once, and they trust a run only when it says which
rows it changed. A `Problem` is one line of that; a `ValidationReport` is the whole.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

ProblemKind = Literal[
    "missing_column",
    "empty_id",
    "duplicate_id",
    "unknown_item",
    "unknown_user",
    "dropped_item",
    "dropped_user",
    "bad_timestamp",
    "non_finite_number",
    "missing_number",
    "label_out_of_range",
    "bad_label",
    "bad_split",
    "missing_media",
    "unreadable_media",
    "undecodable_media",
    "no_media",
    "empty_text",
    "bad_vector",
]
Action = Literal["dropped", "kept", "filled", "noted", "stops"]

NOTES = ("no_media", "missing_number", "dropped_item", "dropped_user")
"""Kinds that say how things are rather than that something is wrong; `strict` does not stop at them."""


@dataclass(frozen=True)
class Problem:
    """One kind of problem in one column of one table.

    Args:
        kind: str, one of `ProblemKind`.
        table: str. `interactions`, `items` or `users`.
        column: str. The table's own column.
        count: int. Rows that have it.
        row: int or None. Position of the first such row, counted from 0 after the header.
        value: str. What that row holds, shortened.
        remedy: str. What the user can do about it.
        action: str. What was done: `dropped` (the rows), `kept`, `filled`, `noted`, or `stops` (the run).
        affected: int. Rows that were dropped or changed.
        feature: str or None. The feature that the column was read for, where that is known.
    """

    kind: ProblemKind
    table: str
    column: str
    count: int
    row: int | None
    value: str
    remedy: str
    action: Action
    affected: int
    feature: str | None = None

    @property
    def place(self) -> str:
        """Table and column, and the feature where its name is another one."""
        other = self.feature not in (None, self.column)
        return f"{self.table}.{self.column}" + (f" ({self.feature})" if other else "")

    @property
    def is_note(self) -> bool:
        return self.kind in NOTES

    @property
    def done(self) -> str:
        """What was done to how many rows, in words."""
        rows = f"{self.affected:,} {'row' if self.affected == 1 else 'rows'}"
        return {
            "dropped": f"dropped {rows}",
            "kept": f"kept {rows}",
            "filled": f"filled {rows}",
            "noted": "noted",
            "stops": "stops the run",
        }[self.action]

    def describe(self) -> str:
        """The problem and its remedy in one sentence or two."""
        where = self.place
        example = "" if self.row is None else f", first in row {self.row}: {self.value}"
        return f"{where}: {self.kind}, {self.count:,} {'row' if self.count == 1 else 'rows'}{example}. {self.remedy}"


@dataclass
class ValidationReport:
    """Everything that validation found and did.

    Args:
        problems: list of `Problem`, items first, then users, then interactions.
        rows: dict of table name to (rows read, rows kept).
        files_away: dict of item feature to the files that items name and that cannot be found or read.
    """

    problems: list[Problem] = field(default_factory=list)
    rows: dict[str, tuple[int, int]] = field(default_factory=dict)
    files_away: dict[str, list[Path]] = field(default_factory=dict)

    HEADER = ("problem", "where", "count", "example", "done", "remedy")
    """Titles of the columns that `to_rows` gives."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong. Notes are not wrong."""
        return all(problem.is_note for problem in self.problems)

    def of_kind(self, kind: ProblemKind) -> list[Problem]:
        return [problem for problem in self.problems if problem.kind == kind]

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return {
            "ok": self.ok,
            "rows": {table: {"read": read, "kept": kept} for table, (read, kept) in self.rows.items()},
            "problems": [asdict(problem) for problem in self.problems],
        }

    def to_rows(self) -> list[tuple[str, ...]]:
        """One tuple of strings a problem, in the order of `HEADER`, for a table on the screen."""
        return [
            (
                problem.kind,
                problem.place,
                f"{problem.count:,}",
                "" if problem.row is None else f"row {problem.row}: {problem.value}",
                problem.done,
                problem.remedy,
            )
            for problem in self.problems
        ]

    def summary(self) -> str:
        """Plain text: rows read and kept, then one line a problem. Rows are counted from 0 after the header."""
        lines = [
            f"{table}: {read:,} rows read, {kept:,} kept"
            + (f", {kept - read:,} added from the interactions" if kept > read else "")
            for table, (read, kept) in self.rows.items()
        ]
        lines += [f"- {problem.describe()} [{problem.done}]" for problem in self.problems]
        if not self.problems:
            lines.append("No problems found.")
        return "\n".join(lines)
