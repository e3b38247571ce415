"""Finding the best of all items: exact, in blocks of items, and by TensorFlow's own ops."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

NOTHING = float(np.finfo(np.float32).min)
"""Score of a place in a list that no item fills; the item id there is empty. Finite, so that it is valid JSON."""

SCORES_AT_ONCE = 2**24
"""Scores that are held at a time: 64 MB. All of 256 requests over a million items would take a gigabyte."""

# Rows of a table are taken without copying them where a block begins at a multiple of these.
_ALIGNED = 64

Lists = tuple[tf.Tensor, tf.Tensor]


def in_item_blocks(
    scores_of: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    items: int,
    batch: tf.Tensor,
    k: tf.Tensor,
    most: int | None = None,
) -> Lists:
    """The best of all items, of which a block is scored after the other; equal scores in the order of the items.

    Args:
        scores_of: function from the first item of a block and the one after its last, int32 scalars, to `[batch, n]`
            float32 scores, `NOTHING` where an item is not to be returned.
        items: int. How many there are, index 0 included.
        batch: int32 scalar, the number of requests.
        k: int32 scalar, the length of the lists.
        most: int. Items of a block at most, beside what `SCORES_AT_ONCE` allows; None, the default, for no more.

    Returns:
        `[batch, k]` int32 indices, 0 where no item is left, and `[batch, k]` float32 scores, `NOTHING` there.
    """
    block = tf.maximum(SCORES_AT_ONCE // tf.maximum(batch, 1), 1)
    block = block if most is None else tf.minimum(block, most)
    block = tf.where(block >= _ALIGNED, block // _ALIGNED * _ALIGNED, block)

    def next_block(start, index, scores):
        end = tf.minimum(start + block, items)
        found, place = tf.math.top_k(scores_of(start, end), tf.minimum(k, end - start))
        # What was found before stands in front, as it would if all were sorted at once.
        scores, order = tf.math.top_k(tf.concat([scores, found], axis=1), k)
        return end, tf.gather(tf.concat([index, place + start], axis=1), order, batch_dims=1), scores

    lists = tf.TensorShape([None, None])
    _, index, scores = tf.while_loop(
        lambda start, *_: start < items,
        next_block,
        (tf.constant(0), tf.zeros([batch, k], tf.int32), tf.fill([batch, k], NOTHING)),
        shape_invariants=(tf.TensorShape([]), lists, lists),
        # Two blocks at a time would take twice the memory.
        parallel_iterations=1,
    )
    return tf.where(scores > NOTHING, index, 0), scores


def add_at(scores: tf.Tensor, start: tf.Tensor, columns: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """The scores of a block, `[batch, n]` from item `start`, with `[batch, m]` values added at `[batch, m]` items."""
    rows = tf.repeat(tf.range(tf.shape(columns)[0]), tf.shape(columns)[1])
    places, inside = _inside(scores, start, rows, tf.reshape(columns, [-1]))
    return tf.tensor_scatter_nd_add(scores, places, tf.boolean_mask(tf.reshape(values, [-1]), inside))


def hide(scores: tf.Tensor, start: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """The scores of a block with `NOTHING` at `[m]` rows and `[m]` items, which may be named repeatedly."""
    places, _ = _inside(scores, start, rows, columns)
    return tf.tensor_scatter_nd_update(scores, places, tf.fill(tf.shape(places)[:1], NOTHING))


def _inside(scores, start, rows, columns):
    columns -= start
    inside = (columns >= 0) & (columns < tf.shape(scores)[1])
    return tf.boolean_mask(tf.stack([rows, columns], axis=1), inside), inside
