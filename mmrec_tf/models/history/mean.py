"""Histories as means, weighted by how recent an item is."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.history.base import HistoryEncoder, by_distance, recency_start


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class MeanHistory(HistoryEncoder):
    """Averages the items so far, the recent ones with more weight.

        h_i = sum over j <= i of exp(r_(i-j)) x_j / sum over j <= i of exp(r_(i-j)),   over what is present

    The logits r by distance are learned. They start between 0 for the newest item and -2 for the oldest of a full
    history. Gaps are not looked at.

    See `HistoryEncoder` for arguments and shapes.

    Example:

        >>> history = MeanHistory(dim=3, length=4)
        >>> history(tf.ones([2, 4, 3]), tf.ones([2, 4], tf.bool), tf.zeros([2, 4], tf.int32)).shape
        TensorShape([2, 4, 3])

    Reference: Covington et al., Deep neural networks for YouTube recommendations (2016), where a history is the mean
    of its items.
    """

    def build(self, input_shape):
        if self.length:
            self.recency = self.add_weight(
                name="recency", shape=[self.length], initializer=recency_start, experimental_autocast=False
            )
        super().build(input_shape)

    def encode(self, items, present, gaps, training):
        weights = by_distance(self._weights(), items.shape[1])
        total = tf.matmul(tf.cast(present, tf.float32), weights, transpose_b=True)
        return tf.cast(tf.matmul(weights, tf.cast(items, tf.float32)) * _inverse(total)[..., None], items.dtype)

    def encode_latest(self, items, present, gaps, training):
        weights = tf.cast(present, tf.float32) * self._weights()[self.length - items.shape[1] :]
        weights *= _inverse(tf.reduce_sum(weights, axis=1, keepdims=True))
        return tf.cast(tf.matmul(weights[:, None, :], tf.cast(items, tf.float32))[:, 0], items.dtype)

    def _weights(self):
        # By the weight of the newest item, so that wherever there is one the total is at least 1, and in float32: its
        # inverse has a gradient that divides by the total's square, which half precision cannot hold.
        return tf.exp(self.recency - self.recency[-1])


def _inverse(total: tf.Tensor) -> tf.Tensor:
    return 1.0 / tf.where(total > 0.0, total, 1.0)
