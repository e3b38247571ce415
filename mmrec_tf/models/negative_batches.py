"""Training batches of positives beside items that their user did not consume, drawn in the graph."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from mmrec_tf.data.prefetched import prefetched

_TRIES = 4
"""Draws for each negative; the first that is no positive of the user is taken."""


def negative_batches(
    user_rows: np.ndarray,
    item_rows: np.ndarray,
    n_items: int,
    batch_size: int,
    negatives: int,
    seed: int = 0,
) -> tf.data.Dataset:
    """Batches of positives with negatives that are uniform over the items somebody consumed and the user did not.

    Items that nobody consumed are no negatives: a model that only ever meets them as such learns that whatever is new
    is bad. Each negative is drawn four times and the first draw that is no positive of the user is taken; where there
    is none (the user has nearly everything) its weight is 0. Membership is looked up by binary search among the pairs
    that occur, so that memory grows with the interactions and not with users times items. Positives are drawn with
    replacement, which costs nothing to shuffle; draws depend on the seed and the number of the batch alone.

    Args:
        user_rows, item_rows: `[n]` int. The positives.
        n_items: int. Number of items.
        batch_size: int. Positives a batch.
        negatives: int. For each positive.
        seed: int.

    Returns:
        An endless dataset of dicts: `user`, `item` `[batch]` int32, `negatives` `[batch, negatives]` int32, `weight`
        of the same shape, float32.
    """
    users, items = tf.constant(user_rows, tf.int32), tf.constant(item_rows, tf.int32)
    pairs = tf.constant(np.unique(user_rows.astype(np.int64) * n_items + item_rows))
    pool = tf.constant(np.unique(item_rows).astype(np.int32))

    def batch(step):
        examples = tf.random.stateless_uniform([batch_size], [seed, 2 * step], 0, len(users), tf.int32)
        user = tf.gather(users, examples)
        shape = [batch_size, negatives, _TRIES]
        places = tf.random.stateless_uniform(shape, [seed, 2 * step + 1], 0, len(pool), tf.int32)
        drawn = tf.gather(pool, places)
        asked = tf.reshape(tf.cast(user, tf.int64)[:, None, None] * n_items + tf.cast(drawn, tf.int64), [-1])
        nearest = tf.minimum(tf.searchsorted(pairs, asked), len(pairs) - 1)
        is_free = tf.reshape(tf.gather(pairs, nearest) != asked, shape)
        first = tf.argmax(tf.cast(is_free, tf.int32), axis=2)
        return {
            "user": user,
            "item": tf.gather(items, examples),
            "negatives": tf.gather(drawn, first, batch_dims=2),
            "weight": tf.cast(tf.reduce_any(is_free, axis=2), tf.float32),
        }

    return prefetched(tf.data.Dataset.counter().map(batch))
