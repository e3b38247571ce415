"""Multi-head attention between an item's few tokens."""

import tensorflow as tf
import tf_keras

from mmrec_tf.fusion.tokens import check_heads, inverse_length, masked_softmax


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TokenAttention(tf_keras.layers.Layer):
    """Multi-head attention for sequences of two to a dozen tokens.

        g_hqk = softmax over attended k of s_h cos(Q_h q + b_h, K_h k)
        output = O [sum_k g_1qk (V_1 k + c_1); ...] + d

    Queries and keys are compared by their direction, so that neither the scale of an encoder's vectors nor half
    precision can saturate the softmax; how sharp it is, s_h, is learned, and starts where a scaled dot product of
    normalised tokens would, at the root of a head's width. The output map starts small, so that a block with a
    shortcut starts close to its input.

    Args:
        dim: int. Width of tokens and output.
        heads: int. A divisor of `dim`.

    Call arguments:
        queries: `[batch, queries, dim]` float tensor.
        keys: `[batch, keys, dim]` float tensor, which gives the values too.
        attended: `[batch, keys]` bool tensor; at least one of each row is True.

    Returns:
        `[batch, queries, dim]` output and `[batch, queries, keys, heads]` attention.

    Raises:
        ConfigError: if `heads` does not divide `dim`.

    Reference: Vaswani et al., Attention is all you need (2017); Henry et al., Query-key normalization for
    Transformers (2020).
    """

    def __init__(self, dim: int, heads: int, **kwargs):
        super().__init__(**kwargs)
        check_heads(heads, dim)
        self.dim = dim
        self.heads = heads
        self.query = tf_keras.layers.Dense(dim, name="query")
        self.key = tf_keras.layers.Dense(dim, use_bias=False, name="key")
        self.value = tf_keras.layers.Dense(dim, name="value")
        self.output_map = tf_keras.layers.Dense(
            dim, kernel_initializer=tf_keras.initializers.RandomNormal(stddev=0.02), name="output"
        )

    def build(self, input_shape):
        start = tf_keras.initializers.Constant((self.dim / self.heads) ** 0.5)
        self.sharpness = self.add_weight(
            name="sharpness", shape=[self.heads], initializer=start, experimental_autocast=False
        )
        super().build(input_shape)

    def call(self, queries, keys, attended):
        query = tf.cast(self._split(self.query(queries)), tf.float32)
        key = tf.cast(self._split(self.key(keys)), tf.float32)
        value = self._split(self.value(keys))
        # Products and sums by element: between a handful of tokens they are quicker than many tiny matrix products.
        products = tf.reduce_sum(query[:, :, None] * key[:, None], axis=4)
        cosines = products * inverse_length(query)[:, :, None] * inverse_length(key)[:, None]
        attention = masked_softmax(self.sharpness * cosines, attended[:, None, :, None], axis=2)
        heads = tf.reduce_sum(tf.cast(attention, value.dtype)[..., None] * value[:, None], axis=2)
        return self.output_map(tf.reshape(heads, [-1, queries.shape[1], self.dim])), attention

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "heads": self.heads}

    def _split(self, projected):
        return tf.reshape(projected, [-1, projected.shape[1], self.heads, self.dim // self.heads])
