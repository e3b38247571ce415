"""How a query and a candidate meet, pair by pair or all with all."""

from typing import NamedTuple

import tensorflow as tf


class Queries(NamedTuple):
    """Who asks, and when.

    Args:
        place: `[batch, dim]`, of unit length.
        gain: `[batch]`, how much what is popular at the moment counts for them; 1 for the average user.
        moment: `[batch]` int32, the period in which they ask; see `Trends`.
    """

    place: tf.Tensor
    gain: tf.Tensor
    moment: tf.Tensor


class Candidates(NamedTuple):
    """What may be shown.

    Args:
        place: `[items, dim]`, of unit length.
        popularity: `[items]`, what an item's id adds at any time.
        trend: `[items, periods]`, what being popular of late adds.
    """

    place: tf.Tensor
    popularity: tf.Tensor
    trend: tf.Tensor


def pair_scores(queries: Queries, candidates: Candidates) -> tf.Tensor:
    """`[batch]` scores of each query with the candidate in the same row."""
    nearness = tf.reduce_sum(queries.place * candidates.place, axis=1)
    trend = tf.gather(candidates.trend, queries.moment, axis=1, batch_dims=1)
    return nearness + candidates.popularity + queries.gain * trend


def all_scores(queries: Queries, candidates: Candidates) -> tf.Tensor:
    """`[batch, items]` scores of each query with each candidate."""
    # A product with some columns more is cheaper than going over all scores once more for each term.
    gain = queries.gain[:, None]
    if candidates.trend.shape[1] > 1:
        gain *= tf.one_hot(queries.moment, candidates.trend.shape[1])
    query = tf.concat([queries.place, tf.ones_like(queries.place[:, :1]), gain], axis=1)
    candidate = tf.concat([candidates.place, candidates.popularity[:, None], candidates.trend], axis=1)
    return tf.matmul(query, candidate, transpose_b=True)


def own_scores(queries: Queries, candidates: Candidates) -> tf.Tensor:
    """`[batch, n]` scores of each query with its own n candidates, whose fields have `[batch * n]` rows."""
    batch, dim = queries.place.shape[0] or tf.shape(queries.place)[0], queries.place.shape[1]
    place = tf.reshape(candidates.place, [batch, -1, dim])
    nearness = tf.einsum("bd,bnd->bn", queries.place, place)
    trend = tf.reshape(candidates.trend, [batch, -1, candidates.trend.shape[1]])
    trend = tf.gather(tf.transpose(trend, [0, 2, 1]), queries.moment, axis=1, batch_dims=1)
    return nearness + tf.reshape(candidates.popularity, [batch, -1]) + queries.gain[:, None] * trend
