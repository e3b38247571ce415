"""How popular each item was at each moment, of late and in the long run, by what was known then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DAY = 86_400.0
_MOST_NUMBERS = 2**26
"""Numbers that a table may hold: 256 MB. A large catalogue is divided into fewer periods."""


@dataclass
class Trends:
    """Popularity by period and item, of several half-lives.

    Time is cut into periods of about equally many interactions. What a period says of an item counts only what came
    before the period began, so a training example never sees itself or what came after it:

        mass_h(i, t) = sum over interactions with i at t_j < t of 2^(-(t - t_j) / h)
        trend_h(i, t) = log(1 + mass_h(i, t) / mean over items that had been touched by then)

    An item that nobody has touched has 0 everywhere; one as popular as the average has log 2. Between two interactions
    all masses fall alike, and the mean with them, so a trend holds until the next period as it is.

    Args:
        starts: `[at most periods]` float64, ascending, in seconds: when each period began. Whatever lies before the
            first belongs to the first; the last one is open: it begins after the last known interaction.
        table: `[size, periods, half-lives]` float32; row 0 is no item. Periods without a start repeat the last.
        half_lives: days; infinity for all that is known.
    """

    starts: np.ndarray
    table: np.ndarray
    half_lives: tuple[float, ...]

    @classmethod
    def build(
        cls,
        item_index: np.ndarray,
        times: np.ndarray,
        size: int,
        half_lives: tuple[float, ...],
        periods: int = 64,
        starts: np.ndarray | None = None,
    ) -> Trends:
        """Counts the interactions.

        Args:
            item_index: `[n]` int, table indices.
            times: `[n]` float, seconds.
            size: int. Number of item indices, 0 (no item) included.
            half_lives: days, above 0; infinity for all that is known.
            periods: int. Of the table; see `table_periods`. Time is cut into fewer where interactions share moments.
            starts: periods that are kept as they are, but for the last, which begins after the last interaction given
                here; with interactions that came after a model was trained, its trends are brought up to date. By
                default they are worked out from `times`.
        """
        half_lives = tuple(float(days) for days in half_lives)
        times = np.asarray(times, np.float64)
        order = np.argsort(times, kind="stable")
        times, item_index = times[order], np.asarray(item_index)[order]
        end = np.nextafter(times[-1], np.inf) if len(times) else 0.0
        if starts is None:
            cuts = np.linspace(0, len(times), periods - 1, endpoint=False).astype(np.int64)
            starts = np.append(np.unique(times[cuts]) if len(times) else [], end)
        else:
            starts = np.append(starts[:-1], max(end, starts[-1]))
        table = np.zeros((size, periods, len(half_lives)), np.float32)
        masses = np.zeros((len(half_lives), size))
        rates = np.log(2.0) / (np.array(half_lives) * DAY)
        done, before = 0, starts[0]
        for period, start in enumerate(starts):
            until = np.searchsorted(times, start, side="left")
            items, ages = item_index[done:until], start - times[done:until]
            for mass, rate in zip(masses, rates):
                mass *= np.exp(-rate * (start - before))
                mass += np.bincount(items, np.exp(-rate * ages), minlength=size)
            done, before = until, start
            table[:, period:, :] = _trends(masses).T[:, None, :]
        table[0] = 0.0
        return cls(np.asarray(starts, np.float64), table, half_lives)

    def periods(self, times: np.ndarray) -> np.ndarray:
        """`[n]` int32: the period that each moment lies in."""
        places = np.searchsorted(self.starts, np.asarray(times, np.float64), side="right") - 1
        return np.clip(places, 0, len(self.starts) - 1).astype(np.int32)


def table_periods(size: int, half_lives: int, most: int) -> int:
    """The periods that a catalogue's table has: as many as are wanted, but for a large catalogue.

    Args:
        size: int. Number of item indices.
        half_lives: int. How many.
        most: int. What is wanted.
    """
    return max(2, min(most, _MOST_NUMBERS // max(size * half_lives, 1)))


def _trends(masses: np.ndarray) -> np.ndarray:
    touched = np.maximum((masses[:, 1:] > 0.0).sum(axis=1), 1)
    means = masses[:, 1:].sum(axis=1) / touched
    return np.log1p(masses / np.where(means > 0.0, means, 1.0)[:, None])
