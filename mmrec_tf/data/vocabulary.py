"""Strings to integers: models take integers, and index 0 is whatever training has not seen."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd


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
        order = np.lexsort((counts.index.to_numpy().astype(str), -counts.to_numpy()))
        return cls(counts.index[order].tolist())

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
