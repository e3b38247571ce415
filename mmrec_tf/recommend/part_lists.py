"""Lists of an index that looks at parts of a catalogue: items that are scored one by one, and lists in order."""

from collections.abc import Callable

import tensorflow as tf

from mmrec_tf.recommend.exact_search import Wishes
from mmrec_tf.recommend.search import NOTHING, Lists

Pairs = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def raised_pairs(wishes: Wishes) -> Pairs:
    """What wishes add, as `[n]` rows, items and values; the entries that say nothing are left out."""
    batch, width = tf.shape(wishes.added)[0], tf.shape(wishes.added)[1]
    rows = tf.repeat(tf.range(batch), width)
    added, values = tf.reshape(wishes.added, [-1]), tf.reshape(wishes.values, [-1])
    counts = (values != 0.0) & (added > 0)
    return tuple(tf.boolean_mask(x, counts) for x in (rows, added, values))


def pair_keys(rows: tf.Tensor, items: tf.Tensor, size: tf.Tensor | int) -> tf.Tensor:
    """One int64 number for each pair of a row and an item, in the order of rows and then of items, below `size`."""
    return tf.cast(rows, tf.int64) * tf.cast(size, tf.int64) + tf.cast(items, tf.int64)


def scored_alone(
    queries: tf.Tensor,
    k: tf.Tensor,
    wishes: Wishes,
    pairs: Pairs,
    size: tf.Tensor | int,
    embeddings_of: Callable[[tf.Tensor], tf.Tensor],
    is_offered: Callable[[tf.Tensor], tf.Tensor],
) -> Lists:
    """The best k of pairs, with what is added to each summed; what is hidden, or not offered, has no place.

    Args:
        queries: `[batch, dim]` float32.
        k: int32 scalar.
        wishes: whose hidden pairs count.
        pairs: `[n]` rows, in ascending order, items and values.
        size: items of the catalogue, that of index 0 included.
        embeddings_of: function from `[n]` items to `[n, dim]` embeddings.
        is_offered: function from `[n]` items to `[n]` bool.

    Returns:
        `[batch, m]` items, 0 where a list has ended, and scores, m being at most k.
    """
    rows, items, values = pairs
    together = tf.concat([pair_keys(rows, items, size), pair_keys(wishes.rows, wishes.hidden, size)], axis=0)
    keys, pair = tf.unique(together)
    pair, hidden = pair[: tf.size(rows)], pair[tf.size(rows) :]
    # Pairs are numbered as they first appear: those that nothing is added to come behind.
    count = tf.reduce_max(tf.concat([[-1], pair], axis=0)) + 1
    size = tf.cast(size, tf.int64)
    rows, items = tf.cast(keys[:count] // size, tf.int32), tf.cast(keys[:count] % size, tf.int32)
    scores = tf.reduce_sum(tf.gather(queries, rows) * embeddings_of(items), axis=1)
    scores += tf.math.unsorted_segment_sum(values, pair, count)
    hidden = tf.boolean_mask(hidden, hidden < count)
    is_left = tf.tensor_scatter_nd_update(is_offered(items), hidden[:, None], tf.zeros_like(hidden, tf.bool))
    scores = tf.where(is_left, scores, NOTHING)
    batch = tf.cast(tf.shape(queries)[0], tf.int64)

    def by_row(flat, missing):
        ragged = tf.RaggedTensor.from_value_rowids(flat, tf.cast(rows, tf.int64), batch, validate=False)
        return ragged.to_tensor(missing)

    items, scores = by_row(items, 0), by_row(scores, NOTHING)
    scores, order = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
    return tf.gather(items, order, batch_dims=1), scores


def in_order(items: tf.Tensor, scores: tf.Tensor, k: tf.Tensor) -> Lists:
    """`[batch, n]` items and scores as lists of k, the best first and equal scores in the order of the items."""
    missing = [[0, 0], [0, tf.maximum(k - tf.shape(scores)[1], 0)]]
    items, scores = tf.pad(items, missing), tf.pad(scores, missing, constant_values=NOTHING)
    order = tf.argsort(items, axis=1)
    items, scores = tf.gather(items, order, batch_dims=1), tf.gather(scores, order, batch_dims=1)
    scores, order = tf.math.top_k(scores, k)
    return tf.where(scores > NOTHING, tf.gather(items, order, batch_dims=1), 0), scores
