"""Who touched what, in order: the histories that the query tower reads, without looking ahead."""

import numpy as np

from mmrec_tf.data.time_gaps import gap_buckets

_BLOCK = 2**16


def first_of_pairs(user_rows: np.ndarray, item_rows: np.ndarray) -> np.ndarray:
    """`[n]` bool: the first of the rows that name the same user and the same item, which stand in the order of time."""
    is_first = np.zeros(len(user_rows), bool)
    is_first[np.unique(pair_keys(user_rows, item_rows), return_index=True)[1]] = True
    return is_first


def pair_keys(user_rows: np.ndarray, item_rows: np.ndarray) -> np.ndarray:
    """`[n]` int64, the same for the same user and item."""
    return np.asarray(user_rows, np.int64) << 32 | np.asarray(item_rows, np.int64)


class Sequences:
    """Interactions sorted by user and time, sliced into histories by position.

    The history of the interaction at position p is what the same user did before it, never what came after, so
    training examples cannot leak the future. Indices are table indices: row + 1, and 0 for padding.

    Args:
        user_rows: `[n]` int. Row of each interaction's user.
        item_rows: `[n]` int. Row of each interaction's item.
        times: `[n]` float. Seconds, or anything else that orders the interactions.
        users: int. Number of users.
        length: int. The longest history, in items.
    """

    def __init__(self, user_rows, item_rows, times, users: int, length: int):
        user_rows = np.asarray(user_rows, np.int64)
        times = np.asarray(times)
        # lexsort is stable: interactions of one moment keep the order of the table.
        self.order = np.lexsort((times, user_rows))
        self.user_rows = user_rows[self.order]
        self.user_index = (self.user_rows + 1).astype(np.int32)
        self.item_index = (np.asarray(item_rows)[self.order] + 1).astype(np.int32)
        self.times = times[self.order]
        self.length = length
        self.starts = np.searchsorted(self.user_rows, np.arange(users + 1))
        seconds = np.diff(self.times.astype(np.float64), prepend=np.nan)
        seconds[np.diff(self.user_rows, prepend=-1) != 0] = np.nan
        self.gaps = gap_buckets(seconds)

    def __len__(self) -> int:
        return len(self.item_index)

    def before(self, positions: np.ndarray) -> np.ndarray:
        """`[len(positions), length]` int32: the items before each position, oldest first, padded in front with 0."""
        positions = np.asarray(positions, np.int64)
        return self._window(positions, self.starts[self.user_rows[positions]])

    def asked_at(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """What was known of each position's user when the interaction there came about.

        Returns:
            dict of `user_index` `[n]`, `history` `[n, length]` as `before` gives it, `gaps` `[n, length]`, the bucket
            of the time between each item of the history and the one before it (see `mmrec_tf.data.time_gaps`), and
            `since` `[n]`, the bucket of the time since the last one; all int32.
        """
        positions = np.asarray(positions, np.int64)
        starts = self.starts[self.user_rows[positions]]
        return {
            "user_index": self.user_index[positions],
            "history": self._window(positions, starts),
            "gaps": self._window(positions, starts, self.gaps),
            "since": self.gaps[positions],
        }

    def asked_now(self, user_rows: np.ndarray, times: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """What is known of users after all of these interactions; see `asked_at`.

        Args:
            user_rows: `[n]` int.
            times: `[n]` float, the moments at which they ask. Without them `since` is unknown.
        """
        user_rows = np.asarray(user_rows, np.int64)
        starts, ends = self.starts[user_rows], self.starts[user_rows + 1]
        seconds = np.full(len(user_rows), np.nan)
        if times is not None and len(self):
            seconds = np.where(ends > starts, np.asarray(times, np.float64) - self.times[ends - 1], np.nan)
        return {
            "user_index": (user_rows + 1).astype(np.int32),
            "history": self._window(ends, starts),
            "gaps": self._window(ends, starts, self.gaps),
            "since": gap_buckets(seconds),
        }

    def moment_starts(self) -> np.ndarray:
        """`[n]` int64: behind how many interactions in all each one's moment begins for its user.

        What came about in a user's first moment has nothing before it, and so the interactions before its own place.
        """
        places = np.arange(len(self))
        is_later = (np.diff(self.times, prepend=np.nan) != 0.0) | (np.diff(self.user_rows, prepend=-1) != 0)
        begins = np.maximum.accumulate(np.where(is_later, places, 0))
        return np.where(begins > self.starts[self.user_rows], begins, places)

    def is_first(self) -> np.ndarray:
        """`[n]` bool: where a user touches an item that the same user has not touched before."""
        return first_of_pairs(self.user_rows, self.item_index)

    def window_ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Every user's interactions cut into windows of `length`, from the end: only the first is shorter.

        Returns:
            `[windows]` int64, the position behind each window's last interaction; and `[windows]` int64, its user's
            row.
        """
        counts = np.diff(self.starts)
        each = -(-counts // max(self.length, 1))
        user_rows = np.repeat(np.arange(len(counts)), each)
        number = np.arange(len(user_rows)) - np.repeat(np.cumsum(each) - each, each)
        return self.starts[user_rows + 1] - number * self.length, user_rows

    def before_moment(self, user_rows: np.ndarray, times: np.ndarray) -> np.ndarray:
        """`[n, length]` int32: the items that each user touched strictly before a moment, oldest first."""
        user_rows, times = np.asarray(user_rows, np.int64), np.asarray(times)
        queries = np.arange(len(user_rows) + len(self)) >= len(self)
        users = np.concatenate([self.user_rows, user_rows])
        # Sorted together, a query stands in front of the interactions of its own moment (False sorts before True).
        order = np.lexsort((~queries, np.concatenate([self.times, times]), users))
        ends = np.empty(len(queries), np.int64)
        ends[order] = np.cumsum(~queries[order])
        return self._window(ends[len(self) :], self.starts[user_rows])

    def latest(self, user_rows: np.ndarray) -> np.ndarray:
        """`[len(user_rows), length]` int32: each user's latest items, oldest first, padded in front with 0."""
        user_rows = np.asarray(user_rows, np.int64)
        return self._window(self.starts[user_rows + 1], self.starts[user_rows])

    def items_by_user(self) -> tuple[np.ndarray, np.ndarray]:
        """All items of each user as (item indices, row splits): a ragged array."""
        return self.item_index, self.starts

    def profiles(self, items: int):
        """What each user touched: a sparse `[users, items]` matrix of counts by row."""
        from scipy.sparse import csr_matrix

        shape = (len(self.starts) - 1, items)
        # The starts may not serve as row pointers as they are: an item touched twice must be summed, not listed twice.
        return csr_matrix((np.ones(len(self), np.float32), (self.user_rows, self.item_index - 1)), shape=shape)

    def _window(self, ends: np.ndarray, starts: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
        found = np.zeros((len(ends), self.length), np.int32)
        values = self.item_index if values is None else values
        # By blocks, because the places are several times as large as what stands there.
        for first in range(0, len(ends) if len(values) else 0, _BLOCK):
            block = slice(first, first + _BLOCK)
            wanted = ends[block, None] - np.arange(self.length, 0, -1)[None, :]
            inside = wanted >= starts[block, None]
            found[block] = np.where(inside, values[np.where(inside, wanted, 0)], 0)
        return found
