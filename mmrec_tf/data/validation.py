"""Validation: tables in, `RecData` and a report of everything that was wrong out.

All problems are found before anything is decided, because a user who mends one problem per run gives up. Nothing is
dropped or changed without a line in the report.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_tf.config import Config, Policies
from mmrec_tf.config_targets import target_columns
from mmrec_tf.data.checks import TableChecks, empty_values
from mmrec_tf.data.file_memory import FileMemory, file_memory
from mmrec_tf.data.problems import Problem, ValidationReport
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.data.tables import read_table
from mmrec_tf.errors import ConfigError, DataError, suggestion
from mmrec_tf.schema import Feature, Schema

Progress = Callable[[str, int, int], None]


def load_data(config: Config, progress: Progress | None = None) -> tuple[RecData, ValidationReport]:
    """Reads the tables that `config.data` names and validates them.

    Media paths are relative to the items table's folder. What is found of the files is kept in the feature store's
    folder, so that those that have not changed are not opened again.

    Args:
        config: the configuration, its paths resolved (as `load_config` does).
        progress: called with (description, done, total) while media files are opened.

    Raises:
        DataError: when a table cannot be read, a column is missing, or a problem stops the run.
    """
    data = config.data
    return validate_frames(
        config.features,
        read_table(data.interactions),
        read_table(data.items),
        None if data.users is None else read_table(data.users),
        media_folder=data.items.parent,
        label=data.label,
        label_range=data.label_range,
        positive_from=data.positive_from,
        split_column=config.split.column if config.split.method == "column" else None,
        targets=list(target_columns(config.models.ranking.targets).values()),
        strict=data.strict,
        policies=data.policies,
        progress=progress,
        memory=file_memory(config.store),
    )


def validate_frames(
    schema: Schema,
    interactions: pd.DataFrame,
    items: pd.DataFrame,
    users: pd.DataFrame | None = None,
    *,
    media_folder: Path | str | None = None,
    label: str | None = None,
    label_range: tuple[float, float] | None = None,
    positive_from: float | None = None,
    split_column: str | None = None,
    targets: Sequence[str] = (),
    strict: bool = False,
    policies: Policies | Mapping[str, str] | None = None,
    progress: Progress | None = None,
    memory: FileMemory | None = None,
) -> tuple[RecData, ValidationReport]:
    """Validates DataFrames. They are not changed.

    Items and users are checked first, so that an interaction that names a dropped item is dropped with it and counted
    (`dropped_item`), apart from one that names an item that no table has (`unknown_item`).

    Args:
        schema: what the columns are.
        interactions: one row per interaction.
        items: one row per item.
        users: one row per user, or None when only their ids are known.
        media_folder: where relative media paths start. The current folder when None.
        label: column of `interactions` with a rating or a click flag. Every row is a positive when None.
        label_range: lowest and highest label allowed. Not checked when None.
        positive_from: smallest label that counts as positive.
        split_column: column of `interactions` that says train, validation or test.
        targets: columns of `interactions` that say what else a ranker learns; numbers, or empty where nothing is known.
        strict: bool. Stop at anything wrong instead of following the policies.
        policies: `Policies`, or a mapping such as `{"unknown_item": "keep"}`.
        progress: called with (description, done, total) while media files are opened.
        memory: what is known of media files that have not changed; they are not opened again.

    Returns:
        `RecData` and a `ValidationReport`.

    Raises:
        ConfigError: when the schema, the label, the split column and the targets claim one name of the interactions.
        DataError: when a column is missing, a problem stops the run, or no interaction is left; with all problems.

    Example:

        >>> schema = Schema(user={"user_id": "id"}, item={"item_id": "id", "title": "text"})
        >>> data, report = validate_frames(
        ...     schema,
        ...     pd.DataFrame({"user_id": [1, 1], "item_id": [7, 8]}),
        ...     pd.DataFrame({"item_id": [7], "title": ["Seven"]}),
        ... )
        >>> print(report.summary())
        items: 1 rows read, 1 kept
        users: 0 rows read, 1 kept, 1 added from the interactions
        interactions: 2 rows read, 1 kept
        - interactions.item_id: unknown_item, 1 row, first in row 1: 8. Add these items to the items table. \
Or set data.policies.unknown_item: keep or stop. [dropped 1 row]
    """
    if not isinstance(policies, Policies):
        policies = Policies(**(policies or {}))
    folder = Path.cwd() if media_folder is None else Path(media_folder).absolute()
    # A target may be another reading of the label, such as the stars of what is liked from four stars on.
    targets = [column for column in dict.fromkeys(targets) if column != label]
    own_schema = _renamed(schema, label, split_column, targets)
    tables = {
        name: read_table(frame).rename(columns=str)
        for name, frame in (("items", items), ("users", users), ("interactions", interactions))
        if frame is not None
    }
    _require_columns(schema, tables, label, split_column, targets)
    checks = {name: TableChecks(name, frame, policies, strict, progress, memory) for name, frame in tables.items()}

    item_table, item_ids = _entities(checks["items"], schema.item, folder)
    user_table, user_ids = _entities(checks["users"], schema.user, folder) if users is not None else (None, None)

    check = checks["interactions"]
    columns = _references(check, schema, own_schema, (item_ids, item_table), (user_ids, user_table))
    for feature in schema.context:
        is_moment = feature.kind == "timestamp"
        columns[feature.name] = (
            check.check_moment(feature.column) if is_moment else check.check_feature(feature, folder)
        )
    if label is not None:
        columns[label] = check.check_label(label, label_range)
    if split_column is not None:
        columns[split_column] = check.check_split(split_column)
    columns |= {column: check.check_target(column) for column in targets}
    interaction_table = _frame(columns, check.kept)
    report = ValidationReport([problem for check in checks.values() for problem in check.problems])
    report.files_away = checks["items"].files_away
    _stop_if_asked(report, strict)

    item_table = _with_new(item_table, own_schema.item, interaction_table[own_schema.item_id])
    user_table = _with_new(user_table, own_schema.user, interaction_table[own_schema.user_id])
    report.rows = {
        "items": (len(items), len(item_table)),
        "users": (0 if users is None else len(users), len(user_table)),
        "interactions": (len(interactions), len(interaction_table)),
    }
    if len(interaction_table) == 0:
        raise DataError(f"No interaction is left after validation.\n{report.summary()}")
    return RecData(own_schema, interaction_table, item_table, user_table, label, positive_from), report


def _renamed(schema: Schema, label: str | None, split_column: str | None, targets: Sequence[str]) -> Schema:
    """The schema of the validated frames, where every feature's column has the feature's name."""

    def own(features: list[Feature]) -> list[Feature]:
        return [feature.model_copy(update={"columns": [feature.name]}) for feature in features]

    renamed = schema.model_copy(
        update={"user": own(schema.user), "item": own(schema.item), "context": own(schema.context)}
    )
    names = [renamed.user_id, renamed.item_id, *(feature.name for feature in schema.context)]
    if label in names:
        raise ConfigError(
            f"data.label {label!r} is also a feature of the interactions; a model must not see its own answer. "
            "Remove it from schema.context."
        )
    names += [label, split_column, *targets]
    doubled = next((name for name in names if name is not None and names.count(name) > 1), None)
    if doubled is not None:
        raise ConfigError(
            f"{doubled!r} names two columns of the interactions (ids, context features, label, split column "
            "and targets). Give each its own name in the schema; `columns` says which column it is read from."
        )
    return renamed


def _require_columns(
    schema: Schema,
    tables: dict[str, pd.DataFrame],
    label: str | None,
    split_column: str | None,
    targets: Sequence[str],
):
    wanted = {
        "items": [column for feature in schema.item for column in feature.columns],
        "users": [column for feature in schema.user for column in feature.columns],
        "interactions": [
            schema.user_id,
            schema.item_id,
            *(feature.column for feature in schema.context),
            *(column for column in (label, split_column, *targets) if column is not None),
        ],
    }
    problems = []
    for table, frame in tables.items():
        for column in dict.fromkeys(wanted[table]):
            if column not in frame.columns:
                remedy = f"The table has: {', '.join(frame.columns)}.{suggestion(column, frame.columns)}"
                problems.append(Problem("missing_column", table, column, len(frame), None, "", remedy, "stops", 0))
    if "users" not in tables and len(schema.user) > 1:
        for feature in schema.user:
            if feature.kind != "id":
                remedy = "There is no users table: name one in data.users, or remove the feature from schema.user."
                problems.append(Problem("missing_column", "users", feature.column, 0, None, "", remedy, "stops", 0))
    _stop_if_asked(ValidationReport(problems), strict=False)


def _stop_if_asked(report: ValidationReport, strict: bool):
    stopping = [problem for problem in report.problems if problem.action == "stops"]
    if not stopping:
        return
    others = [problem for problem in report.problems if problem.action != "stops"]
    lines = [
        f"Validation found {len(stopping)} {'problem' if len(stopping) == 1 else 'problems'} that must be mended"
        + (" (data.strict is true)" if strict else "")
        + ":"
    ]
    lines += [f"- {problem.describe()}" for problem in stopping]
    if others:
        lines += ["Also found, which would not stop the run:", *(f"- {problem.describe()}" for problem in others)]
    raise DataError("\n".join(lines))


def _entities(check: TableChecks, features: list[Feature], folder: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The items or users that stay, and every id that the table has, those of dropped rows too."""
    id_feature = next(feature for feature in features if feature.kind == "id")
    ids = check.check_ids(id_feature.column, unique=True)
    values = {
        feature.name: ids if feature.kind == "id" else check.check_feature(feature, folder) for feature in features
    }
    return _frame(values, check.kept), ids


def _references(
    check: TableChecks,
    schema: Schema,
    own_schema: Schema,
    items: tuple[np.ndarray, pd.DataFrame],
    users: tuple[np.ndarray | None, pd.DataFrame | None],
) -> dict[str, np.ndarray]:
    """The interactions' two id columns, by the names they keep; those that name what is not there are reported."""
    sides = (
        ("user", schema.user_id, own_schema.user_id, *users),
        ("item", schema.item_id, own_schema.item_id, *items),
    )
    named = {own_name: check.check_ids(column, unique=False) for _, column, own_name, _, _ in sides}
    for side, column, own_name, listed, kept in sides:
        if kept is None:
            continue
        is_listed = pd.Series(named[own_name]).isin(listed).to_numpy()
        is_kept = pd.Series(named[own_name]).isin(kept[own_name]).to_numpy()
        remedy = f"They name {side}s that were dropped above and go with them."
        check.found(f"dropped_{side}", column, is_listed & ~is_kept, remedy, policy="drop")
        check.found(f"unknown_{side}", column, ~is_listed, f"Add these {side}s to the {side}s table.")
    return named


def _with_new(table: pd.DataFrame | None, features: list[Feature], named: pd.Series) -> pd.DataFrame:
    """The table and, after it, a row for each named id that it lacks, in the order in which they are named."""
    id_name = next(feature.name for feature in features if feature.kind == "id")
    ids = named.unique() if table is None else named[~named.isin(table[id_name])].unique()
    if table is not None and len(ids) == 0:
        return table
    values = {
        feature.name: np.asarray(ids, dtype=object) if feature.kind == "id" else empty_values(feature, len(ids))
        for feature in features
    }
    new = _frame(values, np.ones(len(ids), dtype=bool))
    return new if table is None else pd.concat([table, new], ignore_index=True)


def _frame(values: dict[str, np.ndarray], kept: np.ndarray) -> pd.DataFrame:
    # Object columns are made one by one as such: pandas would otherwise guess that a column of None is one of numbers.
    return pd.DataFrame({name: pd.Series(column[kept], dtype=column.dtype) for name, column in values.items()})
