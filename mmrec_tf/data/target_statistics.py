"""Target encoding: how often training has met each user, item and category, and what became of it.

Source: Micci-Barreca, A preprocessing scheme for high-cardinality categorical attributes (SIGKDD Explorations 2001); on
the leak that comes of a row's own label, Prokhorenkova et al., CatBoost (NeurIPS 2018); on what users and items add,
Koren, Factor in the neighbors: scalable and accurate collaborative filtering (TKDD 2010), section 2.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

FOLDS = 5
"""Parts of the training rows: each is told what the others say, so that no row's own label is a feature of it."""

SMOOTHING = 10.0
"""Rows of the overall mean that each mean is mixed with."""

MOST_CROSSED = 5_000_000
"""Users times categories of a feature, above which what users think of its categories is not kept."""

EFFECT_PASSES = 10
"""Rounds in which users and items are set beside each other; what changes later is in the third decimal."""

_BLOCK = 4_000_000
"""Numbers of lists that are looked at together."""

USER_COLUMNS = 3
ITEM_COLUMNS = 3


@dataclass(frozen=True)
class TargetStatistics:
    """Smoothed means and counts of the labels, looked up by table index; index 0, what is not known, has the mean.

    Of each of the item's categorical and multi-categorical features: the mean over the item's categories of each one's
    mean; and, where users times categories are not too many, of each one's mean and count among this user's rows, a
    category that the user has not met having its mean among all.

    Attributes:
        user: `[users + 1, 3]` float32: mean of the labels, log(1 + rows), and what the user adds to them beside the
            items that were met (see `additive_effects`).
        item: `[items + 1, 3 + features]` float32: the same, what the item adds beside the users who met it; then the
            means of the item's categories.
        lists: feature name -> `[items + 1, most values]` int32, categories of each item, 0 for none; those that are
            crossed with the users.
        crossed: feature name -> `[users + 1, categories, 2]` float32.
    """

    user: np.ndarray
    item: np.ndarray
    lists: Mapping[str, np.ndarray] = field(default_factory=dict)
    crossed: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        users: np.ndarray,
        items: np.ndarray,
        labels: np.ndarray,
        sizes: tuple[int, int],
        lists: Mapping[str, np.ndarray],
    ) -> "TargetStatistics":
        """Statistics of rows.

        Args:
            users, items: `[n]` int. Table indices, 1 or more.
            labels: `[n]` float; NaN where a row has none and tells nothing.
            sizes: numbers of user and of item indices, the unknown at 0 included.
            lists: feature name -> `[items + 1, most values]` int32, in the order in which they stand in `item`.
        """
        known = np.isfinite(labels)
        users, items, labels = users[known], items[known], labels[known]
        prior = float(labels.mean()) if len(labels) else 0.0
        effects = additive_effects(users, items, labels - prior, sizes)
        of_user, of_item = (
            np.column_stack([_mean_and_count(rows, labels, size, prior), effect])
            for rows, size, effect in zip((users, items), sizes, effects)
        )
        columns, crossed = [of_item], {}
        for name, values in lists.items():
            size = int(values.max(initial=0)) + 1
            place, flat = _with_values(items, values)
            plain = _mean_and_count(flat, labels[place], size, prior)[:, :1]
            columns.append(mean_of_lists(plain[values], values))
            if can_cross(sizes[0], values):
                prior_of = np.tile(plain[:, 0], sizes[0])
                found = _mean_and_count(
                    users[place].astype(np.int64) * size + flat, labels[place], sizes[0] * size, prior_of
                )
                crossed[name] = found.reshape(sizes[0], size, 2)
        return cls(
            user=of_user,
            item=np.concatenate(columns, axis=1),
            lists={name: lists[name] for name in crossed},
            crossed=crossed,
        )

    @classmethod
    def out_of_fold(
        cls,
        users: np.ndarray,
        items: np.ndarray,
        labels: np.ndarray,
        sizes: tuple[int, int],
        lists: Mapping[str, np.ndarray],
        seed: int,
    ) -> dict[str, np.ndarray]:
        """What each row is told of the others; see `of` and `fit`."""
        folds = np.random.default_rng(seed).integers(0, FOLDS, len(labels))
        told: dict[str, np.ndarray] = {}
        for fold in range(FOLDS):
            own = folds == fold
            others = cls.fit(users[~own], items[~own], labels[~own], sizes, lists).of(users[own], items[own])
            for name, values in others.items():
                told.setdefault(name, np.zeros((len(labels), values.shape[1]), np.float32))[own] = values
        return told

    def of(self, users: np.ndarray, items: np.ndarray) -> dict[str, np.ndarray]:
        """What is known of pairs.

        Args:
            users, items: `[n]` int. Table indices.

        Returns:
            dict of `user` `[n, 3]`, `item` `[n, 3 + features]` and `pair` `[n, 2 * crossed features]`, float32.
        """
        pairs = np.zeros((len(users), 2 * len(self.crossed)), np.float32)
        for column, (name, table) in enumerate(self.crossed.items()):
            lists = self.lists[name]
            # Lists are as wide as the longest, which may be of one item in a hundred thousand.
            for rows in _blocks_of(len(users), lists.shape[1]):
                values = lists[items[rows]]
                found = mean_of_lists(table[users[rows, None], values], values)
                pairs[rows, 2 * column : 2 * column + 2] = found
        return {"user": self.user[users], "item": self.item[items], "pair": pairs}


def additive_effects(
    users: np.ndarray, items: np.ndarray, labels: np.ndarray, sizes: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """How much users and items add to the labels, each judged beside the other: labels are nearly b_u + b_i.

    A mean takes a user who has met good items for a friendly one, and an item that strict users have met for a bad one.
    By turns each effect is the mean, mixed with `SMOOTHING` rows of 0, of what the other side's leave of its labels.

    Args:
        users, items: `[n]` int. Table indices.
        labels: `[n]` float, less their mean.
        sizes: numbers of user and of item indices.

    Returns:
        `[users + 1]` and `[items + 1]` float32, 0 for what was not met.
    """
    of_user = np.zeros(sizes[0])
    user_rows, item_rows = (np.bincount(rows, minlength=size) + SMOOTHING for rows, size in zip((users, items), sizes))
    for _ in range(EFFECT_PASSES):
        of_item = np.bincount(items, labels - of_user[users], sizes[1]) / item_rows
        of_user = np.bincount(users, labels - of_item[items], sizes[0]) / user_rows
    return of_user.astype(np.float32), of_item.astype(np.float32)


def can_cross(users: int, values: np.ndarray) -> bool:
    """Whether what users think of a feature's categories is kept."""
    return users * (int(values.max(initial=0)) + 1) <= MOST_CROSSED


def mean_of_lists(found: np.ndarray, values: np.ndarray) -> np.ndarray:
    """`[n, columns]` float32: the mean of `[n, most values, columns]` over the `[n, most values]` that are not 0.

    Where all are, what was found of 0, which is what is known of none.
    """
    there = values > 0
    there[:, :1] |= ~there.any(axis=1, keepdims=True)
    return (found * there[..., None]).sum(axis=1) / np.maximum(there.sum(axis=1), 1)[:, None].astype(np.float32)


def _blocks_of(rows: int, width: int) -> list[slice]:
    """Rows of so many numbers in blocks that hold `_BLOCK` numbers or few more."""
    step = max(_BLOCK // max(width, 1), 1)
    return [slice(start, start + step) for start in range(0, rows, step)]


def _with_values(items, values):
    """`[m]` each: the row of every value that the rows' items have, and the value; as many as there are."""
    counts = (values > 0).sum(axis=1)
    starts, flat = np.cumsum(counts) - counts, values[values > 0].astype(np.int64)
    place = np.repeat(np.arange(len(items)), counts[items])
    ends = np.cumsum(counts[items])
    within = np.arange(len(place)) - np.repeat(ends - counts[items], counts[items])
    return place, flat[np.repeat(starts[items], counts[items]) + within]


def _mean_and_count(values, labels, size, prior):
    counts = np.bincount(values, minlength=size)
    sums = np.bincount(values, weights=labels, minlength=size)
    means = (sums + SMOOTHING * prior) / (counts + SMOOTHING)
    return np.stack([means, np.log1p(counts)], axis=1).astype(np.float32)
