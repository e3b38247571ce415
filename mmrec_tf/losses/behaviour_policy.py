"""Who decided what was shown: the policy that the log comes from."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.losses.retrieval_loss import MASKED


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class BehaviourPolicy(tf_keras.layers.Layer):
    """How likely each item was to be logged, which a model that learns from the log divides by.

    Counted, it is the item's share of the log, whoever asked:

        beta(i) = share_i

    Learned, it is a softmax that starts from there and comes to tell users apart:

        beta(i | u) = softmax_i(log share_i + stop(q_u) . e_i)

    fitted to the logged examples beside the model, whose query q_u it reads and does not change.

    Args:
        size: int. Number of item indices, 0 (no item) included.
        dim: int. Width of the queries, for a learned policy; 0, the default, for a counted one.

    Call arguments:
        queries: `[batch, dim]` float.
        item_index: `[batch]` int32, what was logged; 0 where a window is padded.
        pool: `[n]` int32, items that stand for the catalogue.
        counted: bool, broadcastable to `[batch, n]`; see `RetrievalLoss`.
        log_expected: float, broadcastable to `[batch, n]`; see `RetrievalLoss`.

    Returns:
        `[batch]` float32 log beta, without a gradient; and a float32 scalar, the loss that fits the policy, the mean of
        -log beta; 0 for a counted one.

    Reference: Chen et al., Top-K off-policy correction for a REINFORCE recommender system (WSDM 2019).
    """

    def __init__(self, size: int, dim: int = 0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs}, autocast=False)
        self.size = size
        self.dim = dim
        self.log_shares = self.add_weight(
            name="log_shares",
            shape=[size],
            initializer=tf_keras.initializers.Constant(-np.log(size)),
            trainable=False,
        )
        if dim:
            self.items = self.add_weight(name="items", shape=[size, dim], initializer="zeros")

    def set_probabilities(self, probabilities: np.ndarray) -> None:
        """Takes the `[size]` shares of the log that each item has, all above 0."""
        self.log_shares.assign(np.log(probabilities))

    def call(self, queries, item_index, pool, counted, log_expected):
        own = tf.gather(self.log_shares, item_index)
        if not self.dim:
            return own, tf.zeros([])
        queries = tf.stop_gradient(tf.cast(queries, tf.float32))
        own += tf.reduce_sum(queries * tf.gather(self.items, item_index), axis=1)
        others = tf.gather(self.log_shares, pool) + tf.matmul(queries, tf.gather(self.items, pool), transpose_b=True)
        rest = tf.reduce_logsumexp(tf.where(counted, others - log_expected, MASKED), axis=1)
        # log of e^own / (e^own + e^rest).
        log_chance = -tf.math.softplus(rest - own)
        logged = tf.cast(item_index > 0, tf.float32)
        fitting = tf.math.divide_no_nan(-tf.reduce_sum(log_chance * logged), tf.reduce_sum(logged))
        return tf.stop_gradient(log_chance), fitting

    def get_config(self):
        return {**super().get_config(), "size": self.size, "dim": self.dim}
