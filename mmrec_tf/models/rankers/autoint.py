"""AutoInt: fields that look at each other."""

import tensorflow as tf
import tf_keras

from mmrec_tf.config_ranking import check_divides
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.deep_part import DeepPart
from mmrec_tf.models.rankers.fields import flattened


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class FieldAttention(tf_keras.layers.Layer):
    """Lets each field look at all fields and take on what goes with it.

        a_fg = softmax over g of Q v_f . K v_g / sqrt(dim / heads),   z_f = relu([heads of sum_g a_fg V v_g] + R v_f)

    Args:
        dim: int. Width of the fields and of the output.
        heads: int. A divisor of `dim`. Defaults to 2.

    Call arguments:
        fields: `[rows, fields, dim]` float tensor.

    Returns:
        `[rows, fields, dim]` float tensor.

    Raises:
        ConfigError: if `heads` does not divide `dim`.
    """

    def __init__(self, dim: int, heads: int = 2, **kwargs):
        super().__init__(**kwargs)
        check_divides(heads, dim, "dim")
        self.dim = dim
        self.heads = heads
        self.queries_keys_values = tf_keras.layers.Dense(3 * dim, use_bias=False, name="queries_keys_values")
        self.residual = tf_keras.layers.Dense(dim, use_bias=False, name="residual")

    def call(self, fields):
        count, width = fields.shape[1], self.dim // self.heads
        mapped = tf.reshape(self.queries_keys_values(fields), [-1, count, 3, self.heads, width])
        query, key, value = tf.unstack(tf.transpose(mapped, [2, 0, 3, 1, 4]))
        scores = tf.cast(tf.matmul(query * width**-0.5, key, transpose_b=True), tf.float32)
        seen = tf.matmul(tf.cast(tf.nn.softmax(scores), value.dtype), value)
        seen = tf.reshape(tf.transpose(seen, [0, 2, 1, 3]), [-1, count, self.dim])
        return tf.nn.relu(seen + self.residual(fields))

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "heads": self.heads}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class AutoInt(Ranker):
    """Lets the fields look at each other over several layers of attention, beside a deep network.

        y = b + sum_f w_f + w . [z_1; ...; z_F] + MLP([v_1; ...; v_F])

    with z of as many `FieldAttention` as there are blocks.

    See `Ranker` for the other arguments, call arguments and shapes.

    Args:
        hidden: list of int. Widths of the deep part.
        dropout: float in [0, 1). In the deep part. Defaults to 0.
        blocks: int. Layers of attention. Defaults to 2.
        heads: int. A divisor of `dim`. Defaults to 2.

    Raises:
        ConfigError: if `heads` does not divide `dim`.

    Reference: Song et al., AutoInt: automatic feature interaction learning via self-attentive neural networks (CIKM
    2019), there AutoInt+.
    """

    title = "AutoInt"

    def __init__(self, users, items, dim, hidden, dropout=0.0, blocks=2, heads=2, **kwargs):
        super().__init__(users, items, dim, **kwargs)
        self.hidden = list(hidden)
        self.dropout = dropout
        self.blocks = blocks
        self.heads = heads
        self.attention = [FieldAttention(dim, heads, name=f"block_{number}") for number in range(blocks)]
        self.deep = DeepPart(self.hidden, dropout, name="deep")
        self.head = tf_keras.layers.Dense(1, use_bias=False, dtype="float32", name="head")

    def interactions(self, pairs, training):
        fields = pairs.vectors()
        for block in self.attention:
            fields = block(fields)
        deep = self.deep(flattened(pairs.item_vectors), flattened(pairs.user_vectors), training=training)
        return self.head(flattened(fields))[:, 0] + deep

    def get_config(self):
        own = {"hidden": self.hidden, "dropout": self.dropout, "blocks": self.blocks, "heads": self.heads}
        return {**super().get_config(), **own}
