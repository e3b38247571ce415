"""Fusion by attention pooling."""

import tensorflow as tf
import tf_keras

from mmrec_tf.fusion.tokens import TokenFusion, check_heads, masked_softmax


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class AttentionPoolingFusion(TokenFusion):
    """A learned query picks from the modalities, each item's own content deciding what it finds.

    The least that attention can be: one score for each token and head, and the tokens' slices averaged by it.

        t_m = W_m x_m + b_m
        g_mh = softmax over present m of (q_h . tanh(K t_m + c)),   z_h = sum_m g_mh t_mh

    with t_mh the h-th of the `heads` slices of t_m, and z their concatenation. `modality_weights` averages g over the
    heads. A row without any modality pools the tokens of all the stand-ins.

    See `Fusion` for the other arguments and shapes.

    Args:
        heads: int. Number of queries, a divisor of `dim`. Defaults to 4.

    Raises:
        ConfigError: if `heads` does not divide `dim`.

    Example:

        >>> fusion = AttentionPoolingFusion(dim=8)
        >>> masks = {"image": tf.constant([True, False]), "text": tf.constant([True, True])}
        >>> fusion({"image": tf.ones([2, 5]), "text": tf.ones([2, 3])}, masks).shape
        TensorShape([2, 8])

    Reference: Ilse et al., Attention-based deep multiple instance learning (2018), with one head; Lee et al., Set
    Transformer (2019), for several learned queries.
    """

    weighs_modalities = True

    def __init__(self, dim: int, heads: int = 4, modality_dropout: float = 0.0, **kwargs):
        super().__init__(dim=dim, modality_dropout=modality_dropout, **kwargs)
        check_heads(heads, dim)
        self.heads = heads
        self.key = tf_keras.layers.Dense(dim, activation="tanh", name="key")
        # A bias would move all the scores of a head alike, which a softmax does not see.
        self.queries = tf_keras.layers.Dense(heads, use_bias=False, name="queries")

    def combine(self, tokens, attended):
        slices = tf.reshape(tokens, [-1, tokens.shape[1], self.heads, self.dim // self.heads])
        pooled = tf.reduce_sum(self.attend(tokens, attended)[..., None] * slices, axis=1)
        return tf.reshape(pooled, [-1, self.dim])

    def weigh_tokens(self, tokens, attended):
        return tf.reduce_mean(tf.cast(self.attend(tokens, attended), tf.float32), axis=2)

    def attend(self, tokens: tf.Tensor, attended: tf.Tensor) -> tf.Tensor:
        """`[batch, modalities, heads]` attention that sums to 1 over the modalities."""
        return masked_softmax(self.queries(self.key(tokens)), attended[:, :, None], axis=1)

    def get_config(self):
        return {**super().get_config(), "heads": self.heads}
