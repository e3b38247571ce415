"""The contract of the collaborative, content-based and hybrid recommenders, and what they are fitted on and asked.

A recommender that stands beside the two-tower model has two methods: `fit(TrainingData)` and `score(Asked)`. Both
arguments hold everything that any of the models may need; a model takes what it needs, says in one sentence when that
is missing, and never looks at the rest. Whoever has only a matrix of interactions gives only that.

Every model serves strangers: somebody without a row in training is known by what the profile holds, and somebody with
an empty profile gets what is popular.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mmrec_tf.errors import DataError, MmrecError
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.rows_at_once import rows_at_once

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Progress = Callable[[str, int, int], None]

_ROWS = 256
"""The most users scored at a time, so that memory does not grow with their number."""


@dataclass
class Asked:
    """Whom the scores are for, and what was known of them at that moment.

    Args:
        profiles: CSR `[batch, n_items]`, what each has had to do with before. Every stored entry is something seen;
            its value is the number of positive interactions, so that a stored zero is an item seen and not liked.
        user_rows: `[batch]` int. Rows of the users as in training, -1 for somebody who has none; None when nobody is
            known by anything but the profile.
        times: `[batch]` float. The moment of each request, in seconds; None for the moment at which training ended.
    """

    profiles: csr_matrix
    user_rows: np.ndarray | None = None
    times: np.ndarray | None = None

    def __post_init__(self):
        for name in ("user_rows", "times"):
            array = getattr(self, name)
            if array is not None and np.shape(array) != (len(self),):
                raise DataError(f"{name} must be one number for each of the {len(self)} profiles, got {array!r:.80}.")

    def __len__(self) -> int:
        return self.profiles.shape[0]

    def __getitem__(self, positions) -> Asked:
        """Some of them, by positions or a slice."""
        return Asked(
            self.profiles[positions],
            None if self.user_rows is None else np.asarray(self.user_rows)[positions],
            None if self.times is None else np.asarray(self.times)[positions],
        )


@dataclass
class HeldOut:
    """Validation users, by which models choose what interactions alone do not say: weights, or when to stop.

    Args:
        asked: the users, as they were before what is held out.
        judge: takes `[len(asked), k]` int lists of item rows, best first, -1 for none, gives their score, higher is
            better: NDCG@k everywhere in this package.
        k: int. Length of the lists.
    """

    asked: Asked
    judge: Callable[[np.ndarray], float]
    k: int = 10


@dataclass
class TrainingData:
    """What the models are fitted on. Only the first is always there.

    Args:
        positives: CSR `[n_users, n_items]`, how often each user had to do with each item, positives only.
        user_rows, item_rows: `[n]` int. The single interactions of training, those that were not liked among them.
        is_positive: `[n]` bool. Which of them count as positives.
        times: `[n]` float. Their moments in seconds.
        labels: `[n]` float. Their ratings.
        items: the items' `FeatureTable`, whose row `r + 1` is item row `r`.
        user_segments: feature of the users -> `[n_users]` int, 0 where it is not known.
        held_out: validation users.
    """

    positives: csr_matrix
    user_rows: np.ndarray | None = None
    item_rows: np.ndarray | None = None
    is_positive: np.ndarray | None = None
    times: np.ndarray | None = None
    labels: np.ndarray | None = None
    items: FeatureTable | None = None
    user_segments: Mapping[str, np.ndarray] = field(default_factory=dict)
    held_out: HeldOut | None = None

    def __post_init__(self):
        given = {name: getattr(self, name) for name in ("user_rows", "item_rows", "is_positive", "times", "labels")}
        lengths = {name: len(array) for name, array in given.items() if array is not None}
        if len(set(lengths.values())) > 1:
            raise DataError(f"the arrays of the interactions differ in length: {lengths}. Give one value for each.")
        if self.times is not None and not np.isfinite(self.times).all():
            raise DataError("a moment of an interaction is not finite. Give seconds, or leave times out.")
        if self.items is not None and len(self.items.ids) != self.positives.shape[1]:
            raise DataError(f"the item table holds {len(self.items.ids)} items, the matrix {self.positives.shape[1]}.")

    @property
    def n_users(self) -> int:
        return self.positives.shape[0]

    @property
    def n_items(self) -> int:
        return self.positives.shape[1]


class RecommenderModel(abc.ABC):
    """A recommender that is fitted in one call and scores the whole catalogue for a batch of users.

    Subclasses keep their settings as attributes of the same names.

    Attributes:
        SEARCH: settings that are worth trying and their values in rising order, for `choose_settings`.
    """

    SEARCH: ClassVar[dict[str, tuple]] = {}

    def check(self, training: TrainingData) -> None:
        """Refuses data that the model cannot be fitted on, without fitting it; by default it takes all.

        `fit` refuses the same, but where hours of training other models come first, nobody wants to wait for that.

        Args:
            training: what `fit` will be given.

        Raises:
            DataError: saying what the data lack.
        """

    @abc.abstractmethod
    def fit(self, training: TrainingData, progress: Progress | None = None) -> RecommenderModel:
        """Learns from the training interactions.

        Args:
            training: what there is to learn from.
            progress: called with (description, done, total).

        Returns:
            Itself.

        Raises:
            DataError: when the data lack something that the model needs.
        """

    def bring_up_to_date(self, interactions: TrainingData) -> None:
        """Takes interactions after training too, as far as they are counted and nothing is learned of them.

        What is popular is counted, also by models that only fall back on it; by default nothing is, and a model stays
        as it is.

        Args:
            interactions: those of training and what came after them.
        """

    @abc.abstractmethod
    def score(self, asked: Asked) -> np.ndarray:
        """How much each user may want each item.

        Args:
            asked: whom the scores are for.

        Returns:
            `[batch, n_items]` float32, higher is better. What the profile holds is scored too; leaving it out is up
            to whoever makes the list.
        """

    def recommend(self, asked: Asked, k: int = 10) -> np.ndarray:
        """The k best items that are not in the profile.

        Args:
            asked: whom the lists are for.
            k: int. Length of the lists. Defaults to 10.

        Returns:
            `[batch, k]` int32 item rows, best first, equal scores in row order, -1 where fewer than k are left.
        """
        lists = np.full((len(asked), k), -1, np.int32)
        rows = rows_at_once(_ROWS, asked.profiles.shape[1])
        for start in range(0, len(asked), rows):
            some = asked[start : start + rows]
            scores = np.array(self.score(some), np.float32)
            scores[stored_entries(some.profiles)] = -np.inf
            best = best_columns(scores, min(k, scores.shape[1]))
            is_left = np.take_along_axis(scores, best, axis=1) > -np.inf
            lists[start : start + len(some), : best.shape[1]] = np.where(is_left, best, -1)
        return lists


def consumed(matrix: csr_matrix) -> csr_matrix:
    """A copy with 1 where the matrix is above zero, and nothing stored elsewhere: repeats count once."""
    ones = occurrences(matrix)
    ones.data = (ones.data > 0).astype("float32")
    ones.eliminate_zeros()
    return ones


def occurrences(matrix: csr_matrix) -> csr_matrix:
    """A float32 copy with entries of one place summed and nothing stored where there is zero."""
    counts = matrix.tocsr().astype("float32", copy=True)
    counts.sum_duplicates()
    counts.eliminate_zeros()
    return counts


def tells_nothing(scores: np.ndarray, profiles: csr_matrix) -> np.ndarray:
    """`[batch]` bool: whose scores are zero for every item that is not in the profile, one without repeated entries."""
    rows, columns = stored_entries(profiles)
    seen = np.bincount(rows, scores[rows, columns] != 0.0, minlength=len(scores))
    return np.count_nonzero(scores, axis=1) == seen


def item_counts(matrix: csr_matrix) -> np.ndarray:
    """`[n_items]` float32, the sum of each column: how popular the items are."""
    return np.asarray(matrix.sum(axis=0), dtype="float32").ravel()


def best_columns(scores: np.ndarray, k: int) -> np.ndarray:
    """`[batch, k]` int64 columns of the k highest scores, best first, equal scores in column order.

    Raises:
        MmrecError: when a score is NaN, which has no place in an order.
    """
    if np.isnan(scores).any():
        row, column = np.argwhere(np.isnan(scores))[0]
        raise MmrecError(
            f"the score of column {column} (an item) in row {row} (a user) is NaN; every score must be a number, or "
            "minus infinity for what is never recommended. A model that gives NaN was trained with exploding gradients "
            "or on numbers that are not finite: lower the learning rate, or look at the features."
        )
    if k < scores.shape[1]:
        least = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
        chosen = scores >= least
        # Of the columns that share the k-th score, the first ones complete the list.
        for row in np.flatnonzero(chosen.sum(axis=1) > k):
            level = np.flatnonzero(scores[row] == least[row])
            chosen[row, level[k - np.count_nonzero(scores[row] > least[row]) :]] = False
        columns = np.nonzero(chosen)[1].reshape(len(scores), k)
    else:
        columns = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def stored_entries(matrix: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of all stored entries, zeros among them."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices
