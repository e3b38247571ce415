"""Dividing interactions into train, validation and test.

What a model may learn from must lie before what it is judged by, or the figures flatter it. The temporal split keeps
that for all users together, leave-one-out for each user by itself (other users' later interactions are in train, as
in most papers); random keeps it not at all and is there for data without time.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmrec_tf.config import SplitConfig
from mmrec_tf.data.columns import parse_timestamps
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.errors import ConfigError, DataError


@dataclass
class Split:
    """Disjoint rows of `RecData.interactions`, with their index, each part sorted by time (ties in the table's order).

    Args:
        train: what models, vocabularies and statistics come from.
        validation: what early stopping looks at; may be empty.
        test: what the final figures come from.
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


def split_interactions(data: RecData, config: SplitConfig, seed: int = 42) -> Split:
    """Divides the interactions.

    - `leave_one_out`: of each user's positives in order of time, the last is test and the one before validation; a
      user with two has only a test row, a user with one only a train row. Rows that are no positives stay in train
      when they lie before the user's first held-out row, and are left out of all parts after it.
    - `temporal`: rows from `test_from` on are test, rows from `validation_from` on validation. Without the moments,
      they are set so that the shares `test` and `validation` come out; rows of one moment stay together, so that a
      part can be a little larger than its share. With `test_from` alone, validation is its share of all rows, the
      latest before the test.
    - `random`: shares of the rows, drawn with `seed`.
    - `column`: as the column says.

    Args:
        data: validated data.
        config: the method and its settings.
        seed: int. For `random`.

    Raises:
        ConfigError: when the method needs a timestamp or a column that is not there, or a moment cannot be read.
        DataError: when train or test comes out empty, with the reason.
    """
    frame = data.interactions
    time = None if data.schema.timestamp is None else frame[data.schema.timestamp].to_numpy()
    if time is None and config.method in ("leave_one_out", "temporal"):
        raise ConfigError(
            f"split.method {config.method} needs a timestamp feature in schema.context. "
            "Declare one, or set split.method to random or column."
        )
    if config.method == "leave_one_out":
        part = _leave_one_out(data, time)
    elif config.method == "temporal":
        part = _temporal(time, config)
    elif config.method == "random":
        part = _random(len(frame), config, seed)
    else:
        part = _by_column(frame, config.column)
    order = np.arange(len(frame)) if time is None else np.argsort(time, kind="stable")
    parts = [frame.iloc[order[part[order] == number]] for number in (_TRAIN, _VALIDATION, _TEST)]
    for name, rows in (("train", parts[0]), ("test", parts[2])):
        if len(rows) == 0:
            raise DataError(f"split.method {config.method} leaves no {name} interactions. {_why(config, time)}")
    return Split(*parts)


_TRAIN, _VALIDATION, _TEST, _NONE = 0, 1, 2, 3


def _leave_one_out(data: RecData, time: np.ndarray) -> np.ndarray:
    users = data.user_rows(data.interactions[data.schema.user_id])
    positive = data.is_positive(data.interactions)
    order = np.lexsort((time, users))
    users, positive = users[order], positive[order]

    spots = np.flatnonzero(positive)
    _, starts, counts = np.unique(users[spots], return_index=True, return_counts=True)
    count = np.repeat(counts, counts)
    from_end = np.repeat(starts + counts, counts) - 1 - np.arange(len(spots))

    part = np.zeros(len(users), dtype=np.int8)
    part[spots[(from_end == 0) & (count >= 2)]] = _TEST
    part[spots[(from_end == 1) & (count >= 3)]] = _VALIDATION
    # Within a user, everything after the first held-out row that is not held out itself lies in the future.
    held = np.cumsum(part != _TRAIN)
    before_user = np.concatenate([[0], held])[np.searchsorted(users, users, side="left")]
    part[(part == _TRAIN) & (held > before_user)] = _NONE

    out = np.empty_like(part)
    out[order] = part
    return out


def _temporal(time: np.ndarray, config: SplitConfig) -> np.ndarray:
    ordered = np.sort(time)
    rows = len(time)
    if config.test_from is None:
        if config.validation_from is not None:
            raise ConfigError("split.validation_from needs split.test_from too.")
        test_from = ordered[max(0, rows - max(1, round(rows * config.test)))]
    else:
        test_from = _moment(config.test_from, "test_from")
    if config.validation_from is None:
        before = int(np.searchsorted(ordered, test_from, side="left"))
        wanted = min(before, round(rows * config.validation))
        validation_from = ordered[before - wanted] if wanted else test_from
    else:
        validation_from = _moment(config.validation_from, "validation_from")
        if validation_from >= test_from:
            raise ConfigError(
                f"split.validation_from {config.validation_from} must lie before split.test_from {config.test_from}."
            )
    return np.where(time >= test_from, _TEST, np.where(time >= validation_from, _VALIDATION, _TRAIN))


def _moment(value: float | str, name: str) -> float:
    seconds = parse_timestamps(pd.Series([value]))[0]
    if np.isnan(seconds):
        raise ConfigError(f"split.{name} {value!r} is no moment; give an ISO date such as 2024-01-31, or seconds.")
    return float(seconds)


def _random(rows: int, config: SplitConfig, seed: int) -> np.ndarray:
    order = np.random.default_rng(seed).permutation(rows)
    test = round(rows * config.test)
    validation = round(rows * config.validation)
    part = np.zeros(rows, dtype=np.int8)
    part[order[:test]] = _TEST
    part[order[test : test + validation]] = _VALIDATION
    return part


def _by_column(frame: pd.DataFrame, column: str) -> np.ndarray:
    if column not in frame.columns:
        raise ConfigError(
            f"split.column {column!r} is not among the interactions' columns ({', '.join(frame.columns)}). "
            "In Python, pass split_column to validate_frames."
        )
    names = {"train": _TRAIN, "validation": _VALIDATION, "test": _TEST}
    unknown = sorted({str(value) for value in frame[column].unique()} - set(names))
    if unknown:
        raise DataError(f"Column {column!r} holds {unknown[0]!r}; allowed: {', '.join(names)}.")
    return frame[column].map(names).to_numpy()


def _why(config: SplitConfig, time: np.ndarray | None) -> str:
    if config.method == "leave_one_out":
        return "It needs users with two positives or more; lower data.positive_from, or set split.method to temporal."
    if config.method == "temporal":
        first, last = (str(np.datetime64(int(moment), "s")) for moment in (time.min(), time.max()))
        return f"The interactions run from {first} to {last} (UTC); choose other moments or shares."
    if config.method == "random":
        return f"There are too few interactions for the shares validation {config.validation} and test {config.test}."
    return f"Write train and test in column {config.column!r}."
