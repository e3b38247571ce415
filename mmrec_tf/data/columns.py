"""One table column into what its feature kind means: ids, numbers, moments, lists, vectors.

Each parser takes a Series as it came from a file or a DataFrame and never raises on a cell: cells that cannot be used
are marked, and validation decides what to do with them.
"""

import re

import numpy as np
import pandas as pd

FLOAT32_MAX = float(np.finfo(np.float32).max)
NO_NUMBER = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""Words, in lower case, that say in a number's place that there is none."""

NUMBER_WITH_COMMA = re.compile(r"\s*[-+]?\d+(\.\d{3})*,\d+\s*")
"""A number as `3,5` or `1.234,50`. It may be 3.5 or, as `1,234`, one with groups of thousands, so it is not read."""

_FLOAT_ID = re.compile(r"-?(0|[1-9]\d*)\.0")
_LATEST = 1e11
"""Seconds since 1970 that no real moment exceeds (the year 5138); above it the unit is a smaller one."""
_WRITTEN_AS_NUMBERS = (
    (19000101, 21001231, "%Y%m%d"),
    (19000101000000, 21001231235959, "%Y%m%d%H%M%S"),
)
"""Dates written without signs: smallest and largest, and their form. As milliseconds the latter lie after 2570."""


def parse_text(series: pd.Series) -> np.ndarray:
    """Strings, `[rows]` object; "" where the cell holds nothing. A whole float such as 1.0 becomes "1"."""
    values = series.to_numpy(dtype=object, na_value=None) if len(series) else np.empty(0, dtype=object)
    if pd.api.types.infer_dtype(values, skipna=False) == "string":
        return values
    out = np.empty(len(values), dtype=object)
    out[:] = [_cell_text(value) for value in values]
    return out


def _cell_text(value) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", errors="replace")
    if isinstance(value, (float, np.floating)):
        if np.isnan(value):
            return ""
        return str(int(value)) if np.isfinite(value) and value == int(value) else str(float(value))
    if isinstance(value, (list, tuple, np.ndarray)):
        return " ".join(_cell_text(part) for part in value)
    return "" if value is pd.NaT or value is pd.NA else str(value)


def parse_ids(series: pd.Series) -> np.ndarray:
    """Ids as strings, `[rows]` object; "" where there is none.

    A column whose every cell reads like 12.0 was written by a program that made floats of its integers; it gives "12",
    as the same ids do elsewhere. Any other text stays as it is, leading zeros and spaces included.
    """
    ids = parse_text(series)
    known = [text for text in ids[:1000] if text]
    if known and all(map(_FLOAT_ID.fullmatch, known)) and all(_FLOAT_ID.fullmatch(text) for text in ids if text):
        ids = np.array([text[:-2] for text in ids], dtype=object)
    return ids


def parse_numbers(series: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and which cells are wrong.

    Returns:
        `[rows]` float64, NaN where there is none, and `[rows]` bool: cells that hold something that is no number, or
        one that is not finite as a float32. An empty cell is not wrong, merely missing. true and false are 1 and 0.
    """
    if pd.api.types.is_bool_dtype(series) or pd.api.types.is_numeric_dtype(series):
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        bad = np.abs(values) > FLOAT32_MAX
    else:
        text = pd.Series(parse_text(series), dtype=object)
        values = np.array(pd.to_numeric(text, errors="coerce"), dtype=np.float64)
        odd = np.flatnonzero(~np.isfinite(values))
        bad = np.zeros(len(values), dtype=bool)
        if len(odd):
            # Distinct words only: a column without numbers mostly says the same, such as nothing, or true and false.
            codes, words = pd.factorize(text.to_numpy(dtype=object)[odd])
            words = [word.strip().lower() for word in words]
            flags = {"true": 1.0, "false": 0.0}
            values[odd] = np.array([flags.get(word, np.nan) for word in words])[codes]
            bad[odd] = np.array([word not in NO_NUMBER and word not in flags for word in words])[codes]
        bad |= np.abs(values) > FLOAT32_MAX
    values = np.where(bad, np.nan, values)
    return values, bad


def parse_timestamps(series: pd.Series) -> np.ndarray:
    """Moments as seconds since 1970 UTC, `[rows]` float64; NaN where a cell is no moment.

    Takes datetimes (without a zone: UTC), ISO 8601 dates and times, whole dates written as 20240131, and numbers of
    seconds, milliseconds, microseconds or nanoseconds. The unit of numbers is one for the whole column and follows
    from the median's magnitude, so that one broken cell cannot change it: below 1e11 seconds (until the year 5138),
    below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. What then lies after the year 5138 is no moment.
    """
    if pd.api.types.is_datetime64_any_dtype(series):
        return _seconds(series)
    if pd.api.types.is_numeric_dtype(series):
        numbers, moments = series.to_numpy(dtype=np.float64, na_value=np.nan), None
    else:
        values = pd.Series(series.to_numpy(dtype=object, na_value=None), dtype=object)
        numbers = np.array(pd.to_numeric(values.map(_number_or_none), errors="coerce"), dtype=np.float64)
        rest = np.isnan(numbers)
        moments = np.full(len(numbers), np.nan)
        if rest.any():
            # Distinct strings only: a column of dates repeats itself.
            unique, codes = np.unique(np.array(list(map(_cell_text, values[rest])), dtype=object), return_inverse=True)
            parsed = pd.to_datetime(pd.Series(unique, dtype=object), format="ISO8601", utc=True, errors="coerce")
            moments[rest] = _seconds(parsed)[codes]
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    seconds = _scaled(numbers)
    return seconds if moments is None else np.where(np.isnan(seconds), moments, seconds)


def _number_or_none(value):
    # Kept from `to_numeric`: a datetime would silently become nanoseconds, a flag a second.
    return (
        value if isinstance(value, (str, int, float, np.integer, np.floating)) and not isinstance(value, bool) else None
    )


def _seconds(series: pd.Series) -> np.ndarray:
    if series.dt.tz is not None:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    values = series.to_numpy()
    if values.dtype.kind != "M":
        values = series.astype("datetime64[us]").to_numpy()
    unit = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[np.datetime_data(values.dtype)[0]]
    seconds = np.where(np.isnat(values), np.nan, values.astype(np.int64) / unit)
    # 9999-12-31 is how databases write that there is no such moment.
    return np.where(np.abs(seconds) > _LATEST, np.nan, seconds)


def _scaled(numbers: np.ndarray) -> np.ndarray:
    known = numbers[~np.isnan(numbers)]
    if len(known) == 0:
        return numbers
    for earliest, latest, form in _WRITTEN_AS_NUMBERS:
        if known.min() < earliest or known.max() > latest or (known != np.floor(known)).any():
            continue
        unique, codes = np.unique(known, return_inverse=True)
        text = pd.Series(unique.astype(np.int64).astype(str), dtype=object)
        dates = pd.to_datetime(text, format=form, utc=True, errors="coerce")
        if not dates.isna().any():
            out = numbers.copy()
            out[~np.isnan(numbers)] = _seconds(dates)[codes]
            return out
    size = np.median(np.abs(known))
    unit = 1.0 if size < _LATEST else 1e3 if size < 1e14 else 1e6 if size < 1e17 else 1e9
    seconds = numbers / unit
    return np.where(np.abs(seconds) > _LATEST, np.nan, seconds)


def parse_lists(series: pd.Series, separator: str) -> np.ndarray:
    """Lists of distinct strings, `[rows]` object, empty where the cell holds nothing.

    A cell is text with `separator` between the values, or already a list. Spaces around a value are cut.
    """
    seen: dict[str, list[str]] = {}
    out = np.empty(len(series), dtype=object)
    for position, cell in enumerate(series.to_numpy(dtype=object, na_value=None)):
        if isinstance(cell, (list, tuple, set, np.ndarray)):
            out[position] = _distinct(map(_cell_text, cell))
        else:
            text = _cell_text(cell)
            if text not in seen:
                seen[text] = _distinct(text.split(separator))
            out[position] = list(seen[text])
    return out


def _distinct(values) -> list[str]:
    return [value for value in dict.fromkeys(value.strip() for value in values) if value]


def parse_vectors(series: pd.Series, separator: str) -> tuple[np.ndarray, dict[int, str], int]:
    """Vectors, what is wrong with some, and their length.

    Returns:
        `[rows]` object (float32 `[dim]` array, or None where there is none or it is wrong), dict of row to reason, and
        the length `dim`, which is the one that most cells have (0 when no cell is a vector).
    """
    out = np.empty(len(series), dtype=object)
    reasons: dict[int, str] = {}
    for position, cell in enumerate(series.to_numpy(dtype=object, na_value=None)):
        if cell is None or (isinstance(cell, float) and np.isnan(cell)) or (isinstance(cell, str) and not cell.strip()):
            continue
        try:
            parts = cell
            if isinstance(cell, str):
                text = cell.strip("[] ")
                parts = text.split(separator) if text else []
            # Finite as float64 may still be infinite as float32; that is reported below, not warned of.
            with np.errstate(over="ignore"):
                vector = np.asarray(parts, dtype=np.float64).astype(np.float32)
        except (TypeError, ValueError):
            reasons[position] = f"{str(cell)[:40]!r} is not a list of numbers"
            continue
        if vector.size == 0:
            continue
        if vector.ndim != 1 or not np.isfinite(vector).all():
            reasons[position] = "not finite" if vector.ndim == 1 else f"{vector.ndim} dimensions instead of one"
        else:
            out[position] = vector
    lengths = [len(vector) for vector in out if vector is not None]
    dim = int(np.bincount(lengths).argmax()) if lengths else 0
    for position, vector in enumerate(out):
        if vector is not None and len(vector) != dim:
            reasons[position] = f"{len(vector)} numbers where most have {dim}"
            out[position] = None
    return out, dict(sorted(reasons.items())), dim
