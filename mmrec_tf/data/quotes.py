"""Quotes in text tables that are opened and not closed, which join all rows up to the next quote into one cell.

A title such as `"Heroes` begins with a quote that belongs to the text. Written to a table as it is, it opens a quoted
cell, and the rows that follow are gone without a sign. A cell may hold line breaks, so that alone is no mistake; two
things are signs of one: that the closing quote stands in the middle of a cell, and that each of the lines that the cell
joins has as many cells as the header.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mmrec_tf.errors import DataError

_BLOCK_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass
class _Joined:
    """Lines that a quoted cell joins: the first and the last, counted from 1, and what speaks against them."""

    first: int
    last: int
    closed_inside_a_cell: bool = False
    are_rows: bool = False


def check_quotes(path: Path, file: BinaryIO, separator: str, rows: int) -> None:
    """Looks whether a table lost rows to a quote that is not closed.

    Args:
        path: of the table, for messages.
        file: its bytes, unpacked, from the beginning.
        separator: str. Between cells.
        rows: int. How many were read.

    Raises:
        DataError: when a quoted cell joins lines that are rows each and ends in the middle of a cell. One of these
            signs alone gives a warning; but that lines look like rows is none where commas are between the cells, as
            texts have them too.
    """
    if not _has_more_lines(file, rows + 1):
        return
    file.seek(0)
    suspects = [
        joined
        for joined in _joined(file, separator.encode())
        if joined.closed_inside_a_cell or (joined.are_rows and separator != ",")
    ]
    if not suspects:
        return
    certain = [joined for joined in suspects if joined.closed_inside_a_cell and joined.are_rows]
    worst = (certain or suspects)[0]
    said = (
        f"{path}: the quote that begins a cell in line {worst.first} is closed by the next one, in line {worst.last}, "
        "and all between them becomes one cell"
    )
    mend = 'Where a quote belongs to the text, put the cell in quotes and write it twice: """Heroes"" (live)".'
    if certain:
        raise DataError(f"{said}, though each of these lines is a row. {mend}")
    warnings.warn(
        f"{said}; so it is in {len(suspects)} {'place' if len(suspects) == 1 else 'places'}. If these are rows and no "
        f"text of several lines, they are lost. {mend}",
        stacklevel=4,
    )


def _has_more_lines(file: BinaryIO, count: int) -> bool:
    """Whether there are quotes, and more lines than that."""
    lines, has_quotes, last = 0, False, b"\n"
    while block := file.read(_BLOCK_BYTES):
        lines += block.count(b"\n")
        has_quotes = has_quotes or b'"' in block
        last = block[-1:]
    return has_quotes and lines + (last != b"\n") > count


def _joined(file: BinaryIO, separator: bytes) -> Iterator[_Joined]:
    """The quoted cells that go over several lines, as pandas reads them."""
    header = file.readline()
    cells = header.count(separator)
    file.seek(0)
    # In a text with commas, a line with a single one is no sign of a row.
    tells_rows = cells > (1 if separator == b"," else 0)
    first, are_rows = None, False
    for number, line in enumerate(file, start=1):
        if first is None and b'"' not in line:
            continue
        if number == 1:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        is_row = tells_rows and line.count(separator) == cells
        are_rows = are_rows and is_row
        place = 0
        while True:
            if first is None:
                place = _opening(line, place, separator)
                if place < 0:
                    break
                first, are_rows = number, is_row
            end = _closing(line, place)
            if end < 0:
                break
            is_inside = line[end : end + 1] not in (separator, b"\r", b"\n", b"")
            if first != number:
                yield _Joined(first, number, is_inside, are_rows)
            first = None
            # What follows a closing quote belongs to the cell, quotes too.
            place = line.find(separator, end)
            if place < 0:
                break
            place += 1


def _opening(line: bytes, place: int, separator: bytes) -> int:
    """Where the first quoted cell from `place`, the beginning of a cell, has its text; -1 when there is none."""
    while line[place : place + 1] != b'"':
        place = line.find(separator, place) + 1
        if place == 0:
            return -1
    return place + 1


def _closing(line: bytes, place: int) -> int:
    """What follows the quote that closes a cell; a doubled one does not. -1 when the cell goes on in the next line."""
    while (place := line.find(b'"', place) + 1) > 0:
        if line[place : place + 1] != b'"':
            return place
        place += 1
    return -1
