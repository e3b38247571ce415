"""How much an interaction was liked, where its label says more than whether it was."""

from dataclasses import dataclass

import numpy as np

MOST_GRADES = 10
"""Grades that are told apart; where labels have more values, neighbours are put together, with as many rows in each."""


@dataclass(frozen=True)
class Grades:
    """Labels as ordered grades, some of them positive.

    Attributes:
        starts: `[grades - 1]` float32, rising. The smallest label of each grade but the lowest.
        like: int. The place in `starts` of the smallest label that is positive.
        shares: `[grades]` float64. How often each grade comes in training.
    """

    starts: np.ndarray
    like: int
    shares: np.ndarray

    @classmethod
    def fit(cls, labels: np.ndarray, is_positive: np.ndarray) -> "Grades | None":
        """Grades of the labels of the training interactions; None where they tell nothing beyond who is positive.

        Args:
            labels: `[n]` float; NaN where there is none.
            is_positive: `[n]` bool. All labels from some value on are positive.
        """
        known = np.isfinite(labels)
        labels, is_positive = np.asarray(labels, np.float32)[known], np.asarray(is_positive, bool)[known]
        starts = np.unique(labels)[1:]
        if len(starts) < 2 or is_positive.all() or not is_positive.any():
            return None
        first = labels[is_positive].min()
        if len(starts) >= MOST_GRADES:
            shares = np.linspace(0.0, 1.0, MOST_GRADES + 1)[1:-1]
            quantiles = np.unique(np.quantile(labels, shares, method="higher"))
            # The positive labels must begin where a grade does: of the starts, the nearest one makes room for theirs.
            nearest = np.argmin(np.abs(np.searchsorted(np.sort(labels), quantiles) - (labels < first).sum()))
            starts = np.unique(np.concatenate([np.delete(quantiles, nearest), [first]]))
            starts = starts[starts > labels.min()]
            if len(starts) < 2:
                return None
        counts = np.bincount(np.searchsorted(starts, labels, side="right"), minlength=len(starts) + 1)
        return cls(starts, int(np.searchsorted(starts, first)), counts / counts.sum())

    @property
    def places(self) -> np.ndarray:
        """`[grades]` float32: the share of the training labels that lie below each grade, and half of those within.

        A number for each grade that asks of the labels no more than their order: how likely it is to be above a label
        drawn at random. Reference: Bross, How to use ridit analysis (Biometrics 1958).
        """
        return (np.cumsum(self.shares) - 0.5 * self.shares).astype(np.float32)

    def places_of(self, labels: np.ndarray) -> np.ndarray:
        """`[n]` float32 places of labels; NaN where there is no label."""
        grades = self.of(labels)
        return np.where(grades >= 0, self.places[grades], np.float32(np.nan))

    def of(self, labels: np.ndarray) -> np.ndarray:
        """`[n]` int32 grades of labels, the lowest 0; -1 where there is no label."""
        labels = np.asarray(labels, np.float32)
        grades = np.searchsorted(self.starts, labels, side="right")
        return np.where(np.isfinite(labels), grades, -1).astype(np.int32)
