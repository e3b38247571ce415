"""Objectives that several stages have in common, worked out in float32 whatever the policy."""

import tensorflow as tf

_EXCLUDED = -1e9


def divergence(target_logits: tf.Tensor, logits: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    """KL divergence of two softmax distributions over the columns that count: sum_j p_j (log p_j - log q_j).

    Args:
        target_logits: `[batch, columns]`, of p. No gradient goes through it.
        logits: `[batch, columns]`, of q.
        counted: `[batch, columns]` bool. The other columns have no part in either.

    Returns:
        `[batch]` float32; 0 in a row in which nothing counts.
    """
    target, log = (
        tf.nn.log_softmax(tf.where(counted, tf.cast(given, tf.float32), _EXCLUDED), axis=1)
        for given in (tf.stop_gradient(target_logits), logits)
    )
    terms = tf.where(counted, tf.exp(target) * (target - log), 0.0)
    return tf.reduce_sum(terms, axis=1)


def masked_mean(values: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    """Mean of `[batch]` values over the rows that are counted, as a float32 scalar; 0 when there are none."""
    counted = tf.cast(counted, tf.float32)
    # What is not counted may be no number, and 0 * NaN is none either.
    values = tf.where(counted > 0.0, tf.cast(values, tf.float32), 0.0)
    return tf.reduce_sum(values * counted) / tf.maximum(tf.reduce_sum(counted), 1.0)


def squared_distance(found: tf.Tensor, wanted: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    """Mean of the squared distance of two `[batch, dim]` vectors over the rows that are counted, a float32 scalar."""
    wanted = tf.where(counted[:, None], tf.cast(wanted, tf.float32), 0.0)
    return masked_mean(tf.reduce_sum(tf.square(tf.cast(found, tf.float32) - wanted), axis=1), counted)
