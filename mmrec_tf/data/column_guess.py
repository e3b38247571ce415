"""Guessing what a column holds, from its name and a sample of its values, for the first configuration.

A guess is a proposal that the user reads and edits; nothing but `mmrec init` uses it.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_tf.data.columns import NUMBER_WITH_COMMA, parse_numbers, parse_text, parse_timestamps
from mmrec_tf.data.media import EXTENSIONS

TIME_NAMES = ("timestamp", "time", "ts", "date", "datetime", "unixtime", "unixreviewtime", "eventtime", "createdat",
              "created", "playedat", "viewedat", "orderdate", "purchasedate")  # fmt: skip
_TEXT_NAMES = ("title", "name", "description", "text", "plot", "summary", "overview", "abstract", "headline", "lyrics")
_MAGIC = (
    (b"\xff\xd8\xff", "image"),
    (b"\x89PNG", "image"),
    (b"GIF8", "image"),
    (b"BM", "image"),
    (b"OggS", "audio"),
    (b"fLaC", "audio"),
    (b"ID3", "audio"),
    (b"\xff\xfb", "audio"),
    (b"\x1aE\xdf\xa3", "video"),
)


@dataclass(frozen=True)
class ColumnGuess:
    """What a column seems to hold.

    Args:
        kind: str. A feature kind, or `skip` for a column that helps no model.
        separator: str or None. For `multi_categorical` and `vector`.
        reason: str. Why it is skipped.
    """

    kind: str
    separator: str | None = None
    reason: str = ""


def plain(name: str) -> str:
    """The name in lower case without punctuation, so that `movie_id`, `movieId` and `Movie ID` are one."""
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def is_unique(series: pd.Series) -> bool:
    """Whether every cell holds something and no two the same."""
    text = parse_text(series)
    return bool((text != "").all()) and len(set(text)) == len(text)


def guess_column(name: str, series: pd.Series, folder: Path) -> ColumnGuess:
    """Guesses one column that is no id.

    Args:
        name: the column's name.
        series: a sample of its cells.
        folder: where relative media paths start.
    """
    cells = [cell for cell in series.to_numpy(dtype=object, na_value=None)[:5000] if not _is_empty(cell)]
    if not cells:
        return ColumnGuess("skip", reason="it is empty")
    if isinstance(cells[0], (bytes, bytearray, dict)):
        kind = _kind_of_bytes(cells[0])
        return ColumnGuess(kind) if kind else ColumnGuess("skip", reason="it holds bytes of an unknown kind")
    if isinstance(cells[0], (list, tuple, np.ndarray)):
        is_numeric = all(isinstance(part, (int, float, np.number)) for part in list(cells[0])[:10])
        return ColumnGuess("vector" if is_numeric else "multi_categorical")
    if pd.api.types.is_datetime64_any_dtype(series):
        return ColumnGuess("timestamp")
    text = [str(part) for part in parse_text(pd.Series(cells, dtype=object))]
    return _guess_text(name, text, folder)


def _guess_text(name: str, text: list[str], folder: Path) -> ColumnGuess:
    distinct = set(text)
    media = _media_kind(distinct, folder)
    if media:
        return ColumnGuess(media)
    if _share(value.startswith(("http://", "https://")) for value in text) > 0.5:
        return ColumnGuess("skip", reason="it holds addresses; download the files and give their paths")
    if len(distinct) == 1 and len(text) > 1:
        return ColumnGuess("skip", reason="every row holds the same value")
    series = pd.Series(text, dtype=object)
    is_numeric = parse_numbers(series)[1].mean() < 0.05
    is_named_id = re.search(r"(_id|Id|ID|_key|_code|^id|zip(_?code)?|isbn)$", name) is not None
    if plain(name) in TIME_NAMES or not is_numeric:
        # Years alone are better as numbers, hence the size.
        moments = parse_timestamps(series)
        if np.isnan(moments).mean() < 0.05 and np.nanmax(np.abs(moments)) > 1e6:
            return ColumnGuess("timestamp")
    if is_named_id:
        if len(distinct) > 0.5 * len(text):
            return ColumnGuess("skip", reason="it looks like a key of another source")
        return ColumnGuess("categorical")
    if is_numeric:
        return ColumnGuess("number")
    with_comma = [bool(NUMBER_WITH_COMMA.fullmatch(value)) for value in text]
    if any(with_comma) and parse_numbers(series[~np.array(with_comma)])[1].sum() < 0.05 * len(text):
        example = text[with_comma.index(True)].strip()
        return ColumnGuess("skip", reason=f"its numbers have a comma, as in {example}; write them with a decimal point")
    vector = next((sep for sep in ("|", ";", ",", " ") if _is_vector(text, sep)), None)
    if vector:
        return ColumnGuess("vector", vector)
    separator = next((sep for sep in ("|", ";", ",") if _is_list(text, sep)), None)
    if separator:
        return ColumnGuess("multi_categorical", separator)
    words = np.mean([len(value.split()) for value in text])
    is_varied = len(distinct) > 0.5 * len(text)
    if (is_varied and words >= 2) or words >= 6 or (is_varied and plain(name) in _TEXT_NAMES):
        return ColumnGuess("text")
    if is_varied and len(distinct) > 20:
        return ColumnGuess("skip", reason="nearly every row holds another value, and none is text")
    return ColumnGuess("categorical")


def _is_empty(cell) -> bool:
    return cell is None or (isinstance(cell, float) and np.isnan(cell)) or (isinstance(cell, str) and not cell.strip())


def _kind_of_bytes(cell) -> str | None:
    if isinstance(cell, dict):
        cell = cell.get("bytes") or b""
    head = bytes(cell[:16])
    if head[:4] == b"RIFF":
        return {b"WAVE": "audio", b"WEBP": "image", b"AVI ": "video"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return "video"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def _media_kind(values: set[str], folder: Path) -> str | None:
    for kind, extensions in EXTENSIONS.items():
        matching = [value for value in values if value.lower().endswith(extensions)]
        # One file that is there tells a path from a title that ends in .mp3; a few dozen looks are enough.
        if len(matching) > 0.5 * len(values) and any(os.path.isfile(folder / value) for value in matching[:50]):
            return kind
    return None


def _is_vector(text: list[str], separator: str) -> bool:
    try:
        lengths = {len([float(part) for part in value.strip("[] ").split(separator)]) for value in text[:20]}
    except ValueError:
        return False
    return len(lengths) == 1 and lengths.pop() >= 8


def _is_list(text: list[str], separator: str) -> bool:
    """Whether short values that come back again and again stand between separators."""
    if _share(separator in value for value in text) < 0.1:
        return False
    parts = [part.strip() for value in text for part in value.split(separator)]
    is_repeating = len(set(parts)) <= (0.2 if separator == "," else 0.5) * len(parts) or len(set(parts)) <= 30
    return (
        is_repeating and np.mean([len(part) for part in parts]) <= 25 and max(len(part.split()) for part in parts) <= 6
    )


def _share(flags: Iterable[bool]) -> float:
    return float(np.mean(list(flags)))
