"""Histories as means weighted by how much an item has to do with the latest one."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.history.attention import attended_by, attention
from mmrec_tf.models.history.base import by_distance, recency_start
from mmrec_tf.models.history.residual import ResidualHistory


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class AttentionPoolingHistory(ResidualHistory):
    """Lets the latest item choose which of the earlier ones matter now.

    Whoever looks at a tent is better told by the sleeping bag of last month than by the book of yesterday. With x the
    normalised items, gaps added:

        a_ij = softmax over present j <= i of (Q x_i + q) . K x_j / sqrt(dim) + r_(i-j),   s_i = [sum_j a_ij x_j; x_i]

    The bias r by distance is learned, and starts as the recency of `MeanHistory` does. The first item of a history has
    none but itself to attend to.

    See `ResidualHistory` for what is made of the states, `HistoryEncoder` for arguments and shapes.

    Example:

        >>> history = AttentionPoolingHistory(dim=3, length=4)
        >>> history(tf.ones([2, 4, 3]), tf.ones([2, 4], tf.bool), tf.zeros([2, 4], tf.int32)).shape
        TensorShape([2, 4, 3])

    Reference: Li et al., Neural attentive session-based recommendation (CIKM 2017); Liu et al., STAMP: short-term
    attention/memory priority model for session-based recommendation (KDD 2018).
    """

    def __init__(self, dim: int, length: int, **kwargs):
        super().__init__(dim=dim, length=length, **kwargs)
        self.query = tf_keras.layers.Dense(dim, name="query")
        # Without a bias, which would move all scores of a query alike.
        self.key = tf_keras.layers.Dense(dim, use_bias=False, name="key")

    def build(self, input_shape):
        if self.length:
            self.distance = self.add_weight(
                name="distance", shape=[self.length], initializer=recency_start, experimental_autocast=False
            )
        super().build(input_shape)

    def states(self, steps, present, training):
        bias = by_distance(self.distance, steps.shape[1])
        weights = attention(self.query(steps), self.key(steps), bias, attended_by(present))
        return tf.concat([tf.matmul(weights, steps), steps], axis=2)

    def latest_states(self, steps, present, training):
        latest, bias = steps[:, -1:], self.distance[self.length - steps.shape[1] :]
        weights = attention(self.query(latest), self.key(steps), bias, present[:, None, :])
        return tf.concat([tf.matmul(weights, steps), latest], axis=2)[:, 0]
