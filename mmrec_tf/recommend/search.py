"""Finding the best of all items: exact, in blocks of requests, and by TensorFlow's own ops."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

NOTHING = float(np.finfo(np.float32).min)
"""Score of a place in a list that no item fills; the item id there is empty. Finite, so that it is valid JSON."""

SCORES_AT_ONCE = 2**24
"""Scores that are held at a time: 64 MB. All of 256 requests over a million items would take a gigabyte."""

Lists = tuple[tf.Tensor, tf.Tensor]


def rows_at_once(items: int) -> int:
    """Requests that are answered at a time, by the size of the catalogue."""
    return max(1, SCORES_AT_ONCE // max(items, 1))


def in_row_blocks(search: Callable[..., Lists], rows: int, k: tf.Tensor, *tensors: tf.Tensor) -> Lists:
    """What `search` gives of all rows, asked for a block of rows after the other.

    A list needs the scores of its own row alone, so that the answer is the same as in one go, for every kind of score.

    Args:
        search: function from `[n, ...]` tensors, n up to `rows`, to `[n, k]` int32 indices and float32 scores.
        rows: int. Rows of a block.
        k: int32 scalar, the length of the lists.
        tensors: `[batch, ...]`.

    Returns:
        `[batch, k]` int32 indices and `[batch, k]` float32 scores.
    """
    count = tf.shape(tensors[0])[0]

    def next_block(start, indices, scores):
        index, score = search(*(tensor[start : start + rows] for tensor in tensors))
        return start + rows, tf.concat([indices, index], axis=0), tf.concat([scores, score], axis=0)

    lists = tf.TensorShape([None, None])
    _, indices, scores = tf.while_loop(
        lambda start, *_: start < count,
        next_block,
        (tf.constant(0), tf.zeros([0, k], tf.int32), tf.zeros([0, k], tf.float32)),
        shape_invariants=(tf.TensorShape([]), lists, lists),
        # Two blocks at a time would take twice the memory.
        parallel_iterations=1,
    )
    batch = tensors[0].shape[0]
    return tf.ensure_shape(indices, [batch, None]), tf.ensure_shape(scores, [batch, None])


def best(scores: tf.Tensor, k: tf.Tensor) -> Lists:
    """`[batch, k]` indices and scores of the highest of `[batch, n]`; index 0 where the score is `NOTHING`."""
    scores, index = tf.math.top_k(scores, k)
    return tf.where(scores > NOTHING, index, 0), scores


def hide(scores: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """`[batch, n]` scores with `NOTHING` at the places `[m]` rows and `[m]` columns, which may be named repeatedly."""
    places = tf.stack([rows, columns], axis=1)
    return tf.tensor_scatter_nd_update(scores, places, tf.fill(tf.shape(rows), NOTHING))
