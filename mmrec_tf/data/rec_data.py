"""Validated data: the three frames that every later part works on.

Everything that follows validation may rely on what is said here, and checks none of it again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from mmrec_tf.schema import Schema


@dataclass
class RecData:
    """Users, items and interactions that passed validation.

    Columns carry the schema's feature names, and `schema` is the one that describes these frames: where a feature was
    read from a column of another name, or a text from several, its `columns` here are just its name. Hence
    `interactions[data.schema.user_id]` and `interactions[data.schema.timestamp]` always work.

    By kind: `id` and `categorical` -> str ("" = missing); `multi_categorical` -> list of str; `number` -> float64, NaN
    = missing; `timestamp` -> float64 seconds since 1970 UTC; `text` -> str ("" = missing); `image`, `audio`, `video`
    -> absolute `pathlib.Path`, bytes or None (not there or of no use); `vector` -> float32 `[dim]` array or None.

    Args:
        schema: the schema of these frames.
        interactions: one row per interaction: the two ids, the context features, the label (float32) and the split
            column (str) where there are such. RangeIndex, in the table's order.
        items: one row per item, unique ids, RangeIndex. A row's position is the "item row" used everywhere.
        users: one row per user, also of users known from interactions alone. Its position is the "user row".
        label: str or None. The label's column in `interactions`.
        positive_from: float or None. The smallest label that counts as positive.
    """

    schema: Schema
    interactions: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame
    label: str | None = None
    positive_from: float | None = None

    def is_positive(self, frame: pd.DataFrame) -> np.ndarray:
        """Which rows of `frame` count as positives: `[rows]` bool.

        Without a label every row does. With one and no `positive_from`, labels above 0 do, so that a click flag means
        what it says.
        """
        if self.label is None:
            return np.ones(len(frame), dtype=bool)
        labels = frame[self.label].to_numpy()
        return labels > 0 if self.positive_from is None else labels >= np.float32(self.positive_from)

    def positives(self, frame: pd.DataFrame | None = None) -> pd.DataFrame:
        """The rows of `frame` (all interactions when None) that count as positives."""
        frame = self.interactions if frame is None else frame
        return frame[self.is_positive(frame)]

    def item_rows(self, ids: Iterable[str]) -> np.ndarray:
        """Positions in `items`, `[len(ids)]` int64; -1 for an id that is not there."""
        return self._item_index.get_indexer(pd.Index(ids, dtype=object)).astype(np.int64)

    def user_rows(self, ids: Iterable[str]) -> np.ndarray:
        """Positions in `users`, `[len(ids)]` int64; -1 for an id that is not there."""
        return self._user_index.get_indexer(pd.Index(ids, dtype=object)).astype(np.int64)

    @cached_property
    def tells_time(self) -> bool:
        """Whether interactions tell which came first: they have a timestamp, and not all of them the same."""
        column = self.schema.timestamp
        return column is not None and self.interactions[column].nunique() > 1

    @cached_property
    def _item_index(self) -> pd.Index:
        return pd.Index(self.items[self.schema.item_id], dtype=object)

    @cached_property
    def _user_index(self) -> pd.Index:
        return pd.Index(self.users[self.schema.user_id], dtype=object)
