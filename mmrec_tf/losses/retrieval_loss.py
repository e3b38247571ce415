"""The contract of the losses that judge a positive among negatives."""

import tensorflow as tf
import tf_keras

MASKED = -1e9
"""Score of what does not count: its exponential is 0, and unlike infinity it has a gradient."""


class RetrievalLoss(tf_keras.layers.Layer):
    """How far a query's own candidate is from being ahead of its negatives.

    A subclass implements `judge(positive, negatives, counted, log_expected)` on float32 tensors.

    Negatives come from somewhere: popular items stand among the items of a batch more often than rare ones. Each loss
    undoes that with `log_expected`, so that it estimates what it would be over the whole catalogue, each item once.

    Call arguments:
        positive: `[batch]` scores, divided by the temperature.
        negatives: `[batch, n]` scores, likewise.
        counted: bool, broadcastable to `[batch, n]`: False for what is no negative of an example, such as its own item.
        log_expected: float, broadcastable to `[batch, n]`: log of how often each candidate is expected among the
            negatives; 0 where every item stands there exactly once.

    Returns:
        `[batch]` float32 losses, 0 for an example without negatives.

    Attributes:
        policy: `BehaviourPolicy` of a loss that asks who has made the log, None of all others. Such a loss is called
            with `log_behaviour` too.
    """

    policy = None

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, positive, negatives, counted, log_expected=0.0):
        positive, negatives, log_expected = (tf.cast(x, tf.float32) for x in (positive, negatives, log_expected))
        return self.judge(positive, negatives, counted, log_expected)

    def judge(self, positive, negatives, counted, log_expected):
        raise NotImplementedError


def mean_over_catalogue(values: tf.Tensor, counted: tf.Tensor, log_expected: tf.Tensor) -> tf.Tensor:
    """`[batch]` means of `[batch, n]` values, each item of the catalogue counting alike: weighted by 1 / expected."""
    shape = tf.shape(values)
    weights = tf.where(counted, tf.broadcast_to(tf.exp(-log_expected), shape), 0.0)
    return tf.math.divide_no_nan(tf.reduce_sum(weights * values, axis=1), tf.reduce_sum(weights, axis=1))
