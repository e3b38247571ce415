"""Strings to integers: models take integers, and index 0 is whatever training has not seen."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

MOST_LISTED = 128
"""Values of a row's list that are told of, in its order."""


class Vocabulary:
    """Maps the values of one feature to 1, 2, ...; everything else, and the missing value `""`, is 0.

    Args:
        values: the known values, in index order, without `""`.

    Raises:
        ValueError: if a value is doubled or empty.

    Example:

        >>> Vocabulary(["red", "blue"]).lookup(["blue", "green", ""]).tolist()
        [2, 0, 0]
    """

    def __init__(self, values: Sequence[str]):
        self.values = list(values)
        self._index = pd.Index(self.values, dtype=object)
        if not self._index.is_unique or "" in self.values:
            raise ValueError("a vocabulary needs distinct, non-empty values")

    @classmethod
    def fit(cls, values: Iterable[str], min_count: int = 1) -> "Vocabulary":
        """The values seen at least `min_count` times, most frequent first, ties in alphabetical order."""
        counts = pd.Series(list(values), dtype=object).value_counts()
        counts = counts[(counts >= min_count) & (counts.index != "")]
        # In Python, because NumPy would make every value as long as the longest.
        ordered = sorted(zip((-counts).tolist(), counts.index.tolist()))
        return cls([value for _, value in ordered])

    def __len__(self) -> int:
        return len(self.values)

    @property
    def size(self) -> int:
        """Rows that an embedding table for this feature needs: the values and the unknown."""
        return len(self.values) + 1

    def lookup(self, values: Iterable[str]) -> np.ndarray:
        """int32 indices of the values, 0 for those unknown."""
        values = pd.Index(list(values), dtype=object)
        return (self._index.get_indexer(values) + 1).astype(np.int32)

    def lookup_lists(self, lists: Sequence[Sequence[str]], width: int | None = None) -> np.ndarray:
        """`[rows, width]` int32 indices of the values of each list, 0 for those unknown and behind the last.

        Args:
            lists: the values of each row, of which the first `width` count.
            width: int. By default as many as the longest has, 1 at the least, and `MOST_LISTED` at the most, so that
                one endless row does not widen the table of all.
        """
        lists = [values[: MOST_LISTED if width is None else width] for values in lists]
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        padded = np.zeros((len(lists), max(int(lengths.max(initial=0)), 1) if width is None else width), np.int32)
        filled = np.arange(padded.shape[1])[None, :] < lengths[:, None]
        padded[filled] = self.lookup([value for values in lists for value in values])
        return padded
