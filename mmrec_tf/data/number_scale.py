"""Numbers of any size and unit, brought to a common one."""

from typing import NamedTuple

import numpy as np

_MOST = 5.0

_MANY = 1000
"""Values of which a thousandth at either end is one or more."""


class NumberScale(NamedTuple):
    """What training has seen of a number.

    Args:
        mean: float.
        deviation: float. 0 for a number that was constant in training, or never there.
    """

    mean: float
    deviation: float

    @classmethod
    def fit(cls, values: np.ndarray) -> "NumberScale":
        """The scale of `[n]` values, of which those that are not finite are missing.

        Of a thousand and more, the outermost thousandth at either end count as far as the others reach: one absurd
        price would make all the others one and the same.
        """
        known = values[np.isfinite(values)]
        # Told by the extremes: the deviation of equal numbers may be off zero by rounding.
        if not len(known) or known.min() == known.max():
            return cls(0.0, 0.0)
        if len(known) >= _MANY:
            within = np.clip(known, *np.quantile(known, [0.001, 0.999]))
            # A number that nearly all have alike is told by the few.
            known = within if within.min() < within.max() else known
        return cls(float(known.mean()), float(known.std()))

    def apply(self, values: np.ndarray) -> np.ndarray:
        """`[n, 2]` float32: the standardised value, at most 5 either way and 0 where missing, and whether it is there.

        What was constant in training carries nothing: no weight is trained for the other values that new rows may have.
        """
        there = np.isfinite(values)
        scaled = np.zeros(len(values))
        if self.deviation > 0.0:
            scaled[there] = np.clip((values[there] - self.mean) / self.deviation, -_MOST, _MOST)
        return np.stack([scaled, there], axis=1).astype(np.float32)
