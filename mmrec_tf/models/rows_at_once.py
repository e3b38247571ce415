"""How many rows of scores of the whole catalogue are held at a time."""

MOST_SCORES = 2**26
"""Scores that are held at a time: 256 MB in float32, of which those who work on them make a few copies."""


def rows_at_once(most: int, width: int, tables: int = 1) -> int:
    """How many rows of scores to work out at a time, so that memory does not grow with the catalogue.

    Args:
        most: int. Rows at a time where they are short.
        width: int. Scores of a row: the items of the catalogue.
        tables: int. Tables of scores that are held together. Defaults to 1.

    Returns:
        Between 1 and `most`.
    """
    return max(1, min(most, MOST_SCORES // max(width * tables, 1)))
