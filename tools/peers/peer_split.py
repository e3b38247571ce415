"""The split as plain arrays, for peers whose environments hold NumPy and SciPy and nothing of this package."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

PARTS = ("validation", "test")


@dataclass
class Part:
    """Users of the validation or test part as they stand at the moment they are asked.

    Attributes:
        users: `[n]` int64 user rows.
        seen: CSR `[n, n_items]`, what is masked; its value counts the positives, zero for what was seen and not liked.
        relevant: CSR `[n, n_items]` of ones, what is to be found.
        times: `[n]` float, when each asks; NaN where the data have no timestamp.
        history: CSR-like pair of `[n + 1]` starts and item rows: what each user liked before, in order of time.
    """

    users: np.ndarray
    seen: csr_matrix
    relevant: csr_matrix
    times: np.ndarray
    history: tuple[np.ndarray, np.ndarray]

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def liked(self) -> csr_matrix:
        """CSR `[n, n_items]` of ones: what each user liked before, for models that take users in by their items."""
        ones = self.seen.copy()
        ones.data = (ones.data > 0).astype(np.float32)
        ones.eliminate_zeros()
        return ones

    def latest(self, position: int, length: int) -> np.ndarray:
        """The last `length` items of a user's history, oldest first."""
        starts, items = self.history
        return items[starts[position] : starts[position + 1]][-length:]


@dataclass
class SplitArrays:
    """What the exporter wrote; see `export_split`.

    Attributes:
        n_users, n_items: int.
        train_user, train_item: `[rows]` int32 rows of all training interactions, in order of time.
        train_time, train_label: `[rows]` float; NaN where the data have none.
        train_positive: `[rows]` bool.
        later_user, later_item, later_time, later_positive: likewise of the validation part, for what counts what is
            popular when the test users ask.
        item_features: CSR `[n_items, features]` of ones: the items' categories.
        item_vectors: `[n_items, width]` float32: the encoders' vectors, side by side; width 0 without any.
        parts: `validation` and `test`.
    """

    n_users: int
    n_items: int
    train_user: np.ndarray
    train_item: np.ndarray
    train_time: np.ndarray
    train_label: np.ndarray
    train_positive: np.ndarray
    later_user: np.ndarray
    later_item: np.ndarray
    later_time: np.ndarray
    later_positive: np.ndarray
    item_features: csr_matrix
    item_vectors: np.ndarray
    parts: dict[str, Part] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> SplitArrays:
        with np.load(path, allow_pickle=False) as arrays:
            n_users, n_items = (int(arrays[name]) for name in ("n_users", "n_items"))
            parts = {}
            for part in PARTS:
                users = arrays[f"{part}_users"]
                parts[part] = Part(
                    users,
                    _csr(arrays, f"{part}_seen", (len(users), n_items)),
                    _csr(arrays, f"{part}_relevant", (len(users), n_items)),
                    arrays[f"{part}_times"],
                    (arrays[f"{part}_history_starts"], arrays[f"{part}_history_items"]),
                )
            names = ["train_user", "train_item", "train_time", "train_label", "train_positive"]
            names += ["later_user", "later_item", "later_time", "later_positive"]
            features = _csr(arrays, "item_features", (n_items, int(arrays["n_features"])))
            return cls(
                n_users,
                n_items,
                *(arrays[name] for name in names),
                item_features=features,
                item_vectors=arrays["item_vectors"],
                parts=parts,
            )

    @cached_property
    def positives(self) -> tuple[np.ndarray, np.ndarray]:
        """User rows and item rows of the training positives, in order of time."""
        return self.train_user[self.train_positive], self.train_item[self.train_positive]

    @cached_property
    def matrix(self) -> csr_matrix:
        """CSR `[n_users, n_items]` float32: how often each user liked each item in training."""
        users, items = self.positives
        matrix = csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=(self.n_users, self.n_items))
        matrix.sum_duplicates()
        return matrix

    @cached_property
    def popularity(self) -> np.ndarray:
        """`[n_items]` float32 training positives of each item."""
        return np.asarray(self.matrix.sum(axis=0), np.float32).ravel()

    def popularity_of(self, part: str) -> np.ndarray:
        """`[n_items]` float32 positives of each item that whoever is asked in a part knows of, as our models count."""
        if part == "validation":
            return self.popularity
        later = np.bincount(self.later_item[self.later_positive], minlength=self.n_items)
        return self.popularity + later.astype(np.float32)


def csr_arrays(name: str, matrix: csr_matrix) -> dict[str, np.ndarray]:
    """A matrix as the three arrays that `SplitArrays.load` reads back."""
    matrix = matrix.tocsr()
    return {f"{name}_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}


def top_items(scores: np.ndarray, k: int) -> np.ndarray:
    """`[batch, k]` int32 columns of the highest scores, equal ones in column order, -1 where only -inf is left."""
    lists = np.full((len(scores), k), -1, np.int32)
    k = min(k, scores.shape[1])
    least = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
    for row, (values, level) in enumerate(zip(scores, least)):
        columns = np.flatnonzero((values >= level) & (values > -np.inf))
        best = columns[np.argsort(-values[columns], kind="stable")][:k]
        lists[row, : len(best)] = best
    return lists


def ndcg(lists: np.ndarray, relevant: csr_matrix, k: int = 10) -> np.ndarray:
    """`[n]` NDCG@k with binary relevance (Jarvelin and Kekalainen 2002), which every peer is tuned by."""
    places = np.arange(len(lists))[:, None] * relevant.shape[1] + lists[:, :k].astype(np.int64)
    wanted = np.repeat(np.arange(len(lists)), np.diff(relevant.indptr)) * relevant.shape[1] + relevant.indices
    hits = np.isin(places, wanted) & (lists[:, :k] >= 0)
    discounts = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))[np.minimum(np.diff(relevant.indptr), k) - 1]
    return hits @ discounts / ideal


def _csr(arrays, name, shape):
    return csr_matrix(tuple(arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr")), shape=shape)
