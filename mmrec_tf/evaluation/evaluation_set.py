"""Whom an evaluation asks, what they did before, and what they should get."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mmrec_tf.data.rec_data import RecData
from mmrec_tf.errors import DataError, MmrecError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass
class EvaluationSet:
    """The users of an evaluation, in one order that everything else follows.

    Repeat consumption is not counted: what a user had already seen can neither be recommended to them nor be found.

    Args:
        user_rows: `[n]` int64. The users' rows in `RecData.users`, ascending.
        profiles: CSR `[n, n_items]` float32, what each user did before. Every stored entry is something seen, and
            masked when items are ranked. Its value is the number of positive interactions: a stored zero is an item
            seen and not liked, which models that score from profiles leave out by themselves.
        relevant: CSR `[n, n_items]` float32 of ones, what each user should get. No row is empty, and no entry is in
            the profile.
        is_cold_item: `[n_items]` bool. Items without any interaction in training.
        is_warm_user: `[n]` bool. Users with interactions in training.
    """

    user_rows: np.ndarray
    profiles: csr_matrix
    relevant: csr_matrix
    is_cold_item: np.ndarray
    is_warm_user: np.ndarray

    def __len__(self) -> int:
        return len(self.user_rows)

    @property
    def item_count(self) -> int:
        return self.relevant.shape[1]

    @cached_property
    def unseen_counts(self) -> np.ndarray:
        """`[n]` int64. How many items can still be recommended to each user."""
        return self.item_count - np.diff(self.profiles.indptr).astype(np.int64)

    def sampled(self, most: int, seed: int) -> EvaluationSet:
        """The set with no more users than `most`, drawn where there are more."""
        if len(self) <= most:
            return self
        rows = np.sort(np.random.default_rng(seed).choice(len(self), most, replace=False))
        by_user = {name: getattr(self, name)[rows] for name in ("user_rows", "profiles", "relevant", "is_warm_user")}
        return replace(self, **by_user)

    def check_anybody(self) -> None:
        """Refuses a set that nobody is in.

        Raises:
            MmrecError: saying why there may be nobody.
        """
        if not len(self):
            raise MmrecError(
                "the evaluation set holds no user: none has a positive interaction with an item not seen before. "
                "Hold out more in the split, or check data.positive_from."
            )


def build_evaluation_set(data: RecData, seen: pd.DataFrame, target: pd.DataFrame, train: pd.DataFrame) -> EvaluationSet:
    """The evaluation set of one part of a split.

    Args:
        data: the validated data.
        seen: interactions that came before: the training part, and the validation part too when testing. Negatives
            belong in it, as an item that was disliked was seen as well.
        target: interactions to be found, of which only the positives count. Items that the user has already seen are
            left out, and users with nothing left to find are dropped.
        train: interactions that the models were trained on; they say what is warm.

    Returns:
        The evaluation set; it may hold no user at all.

    Raises:
        DataError: when an interaction names an item or a user that is not in `data`.
    """
    wanted = interaction_matrix(data, target)
    wanted.data[:] = 1.0
    profiles = _seen_matrix(data, seen)
    everywhere_seen = profiles.copy()
    everywhere_seen.data[:] = 1.0
    wanted = wanted - wanted.multiply(everywhere_seen)
    wanted = wanted.tocsr()
    wanted.eliminate_zeros()
    wanted.sort_indices()
    user_rows = np.flatnonzero(np.diff(wanted.indptr))
    train_users, train_items = _places(data, train)
    return EvaluationSet(
        user_rows=user_rows.astype(np.int64),
        profiles=profiles[user_rows],
        relevant=wanted[user_rows],
        is_cold_item=~np.isin(np.arange(len(data.items)), train_items),
        is_warm_user=np.isin(user_rows, train_users),
    )


def interaction_matrix(data: RecData, frame: pd.DataFrame) -> csr_matrix:
    """How often each user had to do with each item, positives only: what the baselines are fitted on.

    Args:
        data: the validated data.
        frame: rows of its interactions.

    Returns:
        CSR `[n_users, n_items]` float32 with sorted indices.

    Raises:
        DataError: when an interaction names an item or a user that is not in `data`.
    """
    positives = data.positives(frame)
    return _matrix(data, positives, np.ones(len(positives), np.float32))


def _seen_matrix(data, frame):
    return _matrix(data, frame, data.is_positive(frame).astype(np.float32))


def _matrix(data, frame, values):
    from scipy.sparse import coo_matrix

    users, items = _places(data, frame)
    matrix = coo_matrix((values, (users, items)), shape=(len(data.users), len(data.items)), dtype=np.float32).tocsr()
    # Adds repeats up and, unlike arithmetic on the matrix, keeps entries whose sum is zero.
    matrix.sum_duplicates()
    return matrix


def _places(data, frame):
    users = data.user_rows(frame[data.schema.user_id])
    items = data.item_rows(frame[data.schema.item_id])
    for name, rows, table in ((data.schema.user_id, users, "users"), (data.schema.item_id, items, "items")):
        if (rows < 0).any():
            value = frame[name].iloc[int(np.argmax(rows < 0))]
            raise DataError(
                f"an interaction names {name} {value!r}, which the {table} of this data do not hold. "
                "Give interactions that went through the same validation."
            )
    return users, items
