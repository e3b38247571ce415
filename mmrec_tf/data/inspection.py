"""Looking at a folder of tables and media to write a first configuration (`mmrec init`).

Nobody should start from an empty file. The folder's tables show by the columns they share which one holds the
interactions, and by their values what the features are; the user then corrects what was guessed wrong.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from mmrec_tf.config_file import parse_config
from mmrec_tf.data.column_guess import TIME_NAMES, guess_column, is_unique, plain
from mmrec_tf.data.columns import parse_ids, parse_numbers
from mmrec_tf.data.first_config import render_config
from mmrec_tf.data.media import EXTENSIONS
from mmrec_tf.data.tables import is_table, read_column, read_table
from mmrec_tf.data.whole_files import write_whole
from mmrec_tf.errors import ConfigError

SAMPLE_ROWS = 200_000
"""Rows of each table that are looked at. Of longer ones, the items' ids and the label are then read in full."""

_USER_NAMES = ("user", "customer", "member", "visitor", "reviewer", "listener", "reader", "buyer", "account", "client",
               "viewer", "player", "subscriber", "person", "profile", "session")  # fmt: skip
_INTERACTION_FILES = ("interaction", "rating", "event", "click", "review", "purchase", "order", "play", "view", "log",
                      "transaction", "behavior", "behaviour", "train")  # fmt: skip
_LABEL_NAMES = ("rating", "score", "stars", "overall", "label", "like", "liked", "click", "clicked", "purchased",
                "isclick", "favorite")  # fmt: skip


def write_first_config(folder: Path | str, out: Path | str | None = None) -> Path:
    """Writes a commented configuration for the tables and media in a folder.

    Args:
        folder: where the tables are.
        out: the file to write. `config.yaml` in the folder when None.

    Returns:
        The path of the file that was written.

    Raises:
        ConfigError: when the file is there already, or the folder holds no tables that fit together.
        DataError: when a table cannot be read.
    """
    folder = Path(folder)
    out = folder / "config.yaml" if out is None else Path(out)
    if out.exists():
        raise ConfigError(f"{out} is there already and is not overwritten. Give another file, or move it away.")
    found = inspect_folder(folder)
    text = render_config(found, Path(os.path.relpath(folder.absolute(), out.absolute().parent)))
    parse_config(yaml.safe_load(text), out.parent, source=f"the configuration guessed for {folder}")
    write_whole(out, lambda file: file.write(text.encode()))
    return out


def inspect_folder(folder: Path | str) -> dict:
    """Guesses which table is which and what the columns are.

    Args:
        folder: where the tables (CSV or Parquet) are.

    Returns:
        dict with `interactions`, `items` and `users` (file names, `users` may be None), `user_id`, `item_id`,
        `timestamp` and `label` (column names, the last two may be None), `label_range` and `positive_from` (or None),
        `columns` (by table: dict of column to `ColumnGuess`, ids, label and timestamp left out), `media_folders` (list
        of dicts with `folder`, `kind`, `files`, `matching`, `example`) and `others` (tables not used).

    Raises:
        ConfigError: when there is no table, or none that can be the interactions or the items; says what was looked
            for and what was found.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder. Give the folder that holds the tables.")
    files = sorted(path for path in folder.iterdir() if path.is_file() and is_table(path))
    if not files:
        raise ConfigError(f"{folder} holds no table (CSV or Parquet). Put the interactions and items there.")
    tables = {path.name: read_table(path, SAMPLE_ROWS).rename(columns=str) for path in files}
    keys = {name: [column for column in frame.columns if _is_key(frame[column])] for name, frame in tables.items()}
    whole = _WholeColumns(folder, tables)

    best = max(
        (
            candidate
            for name in tables
            for user in tables[name].columns
            for item in tables[name].columns
            if (candidate := _judge(whole, keys, name, user, item)) is not None
        ),
        key=lambda candidate: candidate[0],
        default=None,
    )
    if best is None:
        listed = "\n".join(f"  {name}: {', '.join(map(str, frame.columns))}" for name, frame in tables.items())
        raise ConfigError(
            f"No interactions table was recognised in {folder}. Looked for a table with a user column (named after a "
            "user, customer, member, ..., or an id of a users table) and an item column that has the same name and "
            "values as a column of another table in which every value is there once (the items table). Found:\n"
            f"{listed}\nRename the columns so that both tables name the item alike."
        )
    _, name, user, item, items = best
    users = next((other for other in tables if other not in (name, items) and user in keys[other]), None)
    return _describe(folder, whole, {"interactions": name, "items": items, "users": users}, user, item)


class _WholeColumns:
    """Columns in full, where the first rows do not tell: from the samples that hold all rows, else read again.

    Args:
        folder: where the tables are.
        tables: dict of file name to its first `SAMPLE_ROWS` rows.
    """

    def __init__(self, folder: Path, tables: dict[str, pd.DataFrame]):
        self.folder = folder
        self.tables = tables
        self._ids: dict[tuple[str, str], set[str]] = {}

    def column(self, name: str, column: str) -> pd.Series:
        """All cells of a table's column."""
        is_cut = len(self.tables[name]) >= SAMPLE_ROWS
        return read_column(self.folder / name, column) if is_cut else self.tables[name][column]

    def ids(self, name: str, column: str) -> set[str]:
        """The distinct ids of a table's column; kept, since many pairs of columns ask for them."""
        if (name, column) not in self._ids:
            self._ids[name, column] = set(parse_ids(self.column(name, column)))
        return self._ids[name, column]


def _is_key(series: pd.Series) -> bool:
    first = series.iloc[0]
    return isinstance(first, (str, int, np.integer)) and len(str(first)) <= 200 and is_unique(series)


def _judge(whole: _WholeColumns, keys: dict, name: str, user: str, item: str) -> tuple | None:
    """(score, interactions, user column, item column, items table) when the table can be the interactions."""
    tables = whole.tables
    if user == item or item in keys[name] or user in keys[name]:
        return None
    is_user_name = plain(user).removesuffix("id") in _USER_NAMES
    is_user_key = any(user in keys[other] for other in tables if other != name)
    if not is_user_name and not is_user_key or plain(item).removesuffix("id") in _USER_NAMES:
        return None
    named = set(parse_ids(tables[name][item]))
    found = []
    for other, frame in tables.items():
        if other != name and item in keys[other]:
            # The first interactions name items from anywhere in their table.
            coverage = len(named & whole.ids(other, item)) / len(named)
            if coverage >= 0.5:
                found.append((coverage > 0.95, len(frame.columns), other))
    if not found:
        return None
    score = 4 * is_user_name + is_user_key
    score += 3 * any(word in name.lower() for word in _INTERACTION_FILES)
    score += any(plain(column) in TIME_NAMES for column in tables[name].columns)
    score += any(plain(column) in _LABEL_NAMES for column in tables[name].columns)
    return (score, len(tables[name])), name, user, item, max(found)[2]


def _describe(folder: Path, whole: _WholeColumns, roles: dict, user: str, item: str) -> dict:
    tables = whole.tables
    guesses = {
        role: {
            column: guess_column(column, tables[name][column], folder)
            for column in tables[name].columns
            if column not in {"interactions": (user, item), "items": (item,), "users": (user,)}[role]
        }
        for role, name in roles.items()
        if name is not None
    }
    moments = [column for column, guess in guesses["interactions"].items() if guess.kind == "timestamp"]
    moments.sort(key=lambda column: plain(column) not in TIME_NAMES)
    label = next(
        (
            column
            for wanted in _LABEL_NAMES
            for column, guess in guesses["interactions"].items()
            if plain(column) == wanted and guess.kind == "number"
        ),
        None,
    )
    for column in (*moments, label):
        guesses["interactions"].pop(column, None)
    used = {name for name in roles.values() if name is not None}
    return {
        **roles,
        "user_id": user,
        "item_id": item,
        "timestamp": moments[0] if moments else None,
        "label": label,
        # Of all rows: those with a label beyond the range would be dropped.
        **_label_values(None if label is None else whole.column(roles["interactions"], label)),
        "columns": guesses,
        "media_folders": _media_folders(folder, whole.ids(roles["items"], item)),
        "others": [name for name in tables if name not in used],
    }


def _label_values(labels: pd.Series | None) -> dict:
    if labels is None:
        return {"label_range": None, "positive_from": None}
    values, _ = parse_numbers(labels)
    values = np.unique(values[~np.isnan(values)])
    low, high = float(values[0]), float(values[-1])
    if low == high:
        return {"label_range": None, "positive_from": None}
    # The upper third of a scale of stars; for a flag that is its upper value.
    return {"label_range": (low, high), "positive_from": float(values[values >= low + 0.7 * (high - low)][0])}


def _media_folders(folder: Path, ids: set[str]) -> list[dict]:
    """Folders beside the tables whose files are named by item ids."""
    found = []
    for inside in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for kind, extensions in EXTENSIONS.items():
            files = sorted(path for path in inside.iterdir() if path.suffix.lower() in extensions)
            matching = [path for path in files if path.stem in ids]
            if matching and len(matching) > 0.5 * len(files):
                found.append(
                    {
                        "folder": inside.name,
                        "kind": kind,
                        "files": len(files),
                        "matching": len(matching),
                        "example": matching[0].name,
                    }
                )
    return found
