"""The best of all items by their dot products with queries, every one of them scored."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mmrec_tf.recommend.item_rows import PlainRows, QuantizedRows
from mmrec_tf.recommend.search import NOTHING, Lists, add_at, hide, in_item_blocks


class Wishes(NamedTuple):
    """What a batch of searches says beside its queries.

    Attributes:
        rows, hidden: `[n]` int32 each: items that are not to be found, and in the lists of which queries. 0 for none.
        added: `[batch, m]` int32 items whose scores are raised, 0 for none; an item may be named repeatedly. None for
            no item.
        values: `[batch, m]` float32, by how much.
        shares: `[batch, width]` float32 queries of a second product, whose other side the search is given; None for
            none.
    """

    rows: tf.Tensor
    hidden: tf.Tensor
    added: tf.Tensor | None = None
    values: tf.Tensor | None = None
    shares: tf.Tensor | None = None


Second = tf.Variable | PlainRows | QuantizedRows | None
"""The other side of a second product, in the order of the items' rows."""


class ExactSearch(tf.Module):
    """Scores every item for every query, in blocks of items, and keeps the best.

        score(q, i) = q . x_i + what was added to i

    Args:
        embeddings: `[items, dim]` float32 variable, or the rows of `item_rows`.
        is_offered: `[items]` bool variable. Items that are not offered are never found.

    Call arguments:
        queries: `[batch, dim]` float32.
        k: int32 scalar, the length of the lists.
        wishes: `Wishes`.
        second: `[items, width]` variable, or rows, the other side of the wishes' `shares`; None without them.

    Attributes:
        rows: `PlainRows` or `QuantizedRows`.

    Returns:
        `[batch, k]` int32 items, best first and equal scores in the order of the items, 0 where none is left; and
        `[batch, k]` float32 scores, `NOTHING` there.
    """

    def __init__(self, embeddings: tf.Variable | PlainRows | QuantizedRows, is_offered: tf.Variable):
        super().__init__()
        self.rows = _rows(embeddings)
        self.is_offered = is_offered

    @property
    def order(self) -> np.ndarray:
        """Which item each row of the table is."""
        return np.arange(self.rows.shape[0])

    def embeddings_of(self, items: tf.Tensor) -> tf.Tensor:
        """`[n, dim]` embeddings of `[n]` items."""
        return self.rows.of(items)

    def __call__(self, queries: tf.Tensor, k: tf.Tensor, wishes: Wishes, second: Second = None) -> Lists:
        second = None if second is None else _rows(second)

        def scores_of(start, end):
            scores = self.rows.scores(queries, start, end)
            if wishes.shares is not None:
                scores += second.scores(wishes.shares, start, end)
            if wishes.added is not None:
                scores = add_at(scores, start, wishes.added, wishes.values)
            return hide(tf.where(self.is_offered[start:end], scores, NOTHING), start, wishes.rows, wishes.hidden)

        most = [rows.most_at_once for rows in (self.rows, second) if rows is not None and rows.most_at_once is not None]
        return in_item_blocks(scores_of, self.rows.shape[0], tf.shape(queries)[0], k, min(most, default=None))


def _rows(embeddings):
    return PlainRows(embeddings) if isinstance(embeddings, tf.Variable) else embeddings
