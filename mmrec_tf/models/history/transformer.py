"""Histories read by a causal Transformer."""

import tensorflow as tf
import tf_keras

from mmrec_tf.errors import ConfigError
from mmrec_tf.models.history.attention import attended_by, attention
from mmrec_tf.models.history.base import by_distance, recency_start
from mmrec_tf.models.history.residual import ResidualHistory


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class CausalBlock(tf_keras.layers.Layer):
    """One block of a causal Transformer: items look at what came before them, then each is transformed by itself.

        x = x + dropout(O [heads of softmax over present j <= i of q_i . k_j / sqrt(dim / heads) + r_h(i-j)])
        x = x + dropout(W_2 gelu(W_1 LayerNorm(x) + b_1) + b_2),   q, k, v = LayerNorm(x) [Q; K; V]

    Where an item stands is told by the bias r alone, by its distance and not by its place in the window: an item five
    steps back means the same at the end of a short history and in the middle of a long one. It starts as the recency of
    `MeanHistory` does.

    Args:
        dim: int. Width of the steps.
        length: int. The longest history.
        heads: int. Attention heads, a divisor of `dim`.
        dropout: float in [0, 1). Of what each half of the block adds.

    Call arguments:
        steps: `[batch, l, dim]` float tensor.
        attended: `[batch, l, l]` bool tensor, at `[:, i, j]` whether i may look at j.
        training: bool.
        latest_only: bool. Only the last step is asked about. Defaults to False.

    Returns:
        `[batch, l, dim]` float tensor; `[batch, 1, dim]` of the last step alone.

    Reference: Kang and McAuley, Self-attentive sequential recommendation (ICDM 2018); the bias is that of Raffel et
    al., Exploring the limits of transfer learning with a unified text-to-text Transformer (2020), by single distances.
    """

    def __init__(self, dim: int, length: int, heads: int = 2, dropout: float = 0.1, **kwargs):
        super().__init__(**kwargs)
        if heads < 1 or dim % heads:
            allowed = [number for number in range(1, dim + 1) if dim % number == 0]
            raise ConfigError(
                f"models.retrieval.history.heads is {heads}, which does not divide models.retrieval.dim, {dim}. "
                f"Choose one of {', '.join(map(str, allowed))}."
            )
        self.dim = dim
        self.length = length
        self.heads = heads
        self.dropout = dropout
        self.normalize_attention = tf_keras.layers.LayerNormalization(epsilon=1e-5, name="normalize_attention")
        self.queries_keys_values = tf_keras.layers.Dense(3 * dim, use_bias=False, name="queries_keys_values")
        self.attended_map = tf_keras.layers.Dense(dim, name="attended_map")
        self.normalize_transform = tf_keras.layers.LayerNormalization(epsilon=1e-5, name="normalize_transform")
        self.widen = tf_keras.layers.Dense(2 * dim, activation=tf.nn.gelu, name="widen")
        self.narrow = tf_keras.layers.Dense(dim, name="narrow")
        self.drop = tf_keras.layers.Dropout(dropout)

    def build(self, input_shape):
        self.distance = self.add_weight(
            name="distance", shape=[self.heads, self.length], initializer=recency_start, experimental_autocast=False
        )
        super().build(input_shape)

    def call(self, steps, attended, training=False, latest_only=False):
        asked = 1 if latest_only else steps.shape[1]
        seen = self.attend(self.normalize_attention(steps), attended, asked)
        steps = steps[:, -asked:] + self.drop(self.attended_map(seen), training=training)
        transformed = self.narrow(self.widen(self.normalize_transform(steps)))
        return steps + self.drop(transformed, training=training)

    def attend(self, steps, attended, asked):
        """`[batch, asked, dim]`: what the heads gather for the last steps, side by side."""
        count, width = steps.shape[1], self.dim // self.heads
        mapped = tf.reshape(self.queries_keys_values(steps), [-1, count, 3, self.heads, width])
        query, key, value = tf.unstack(tf.transpose(mapped, [2, 0, 3, 1, 4]))
        bias = by_distance(self.distance, count)[:, -asked:]
        seen = tf.matmul(attention(query[:, :, -asked:], key, bias, attended[:, None, -asked:]), value)
        return tf.reshape(tf.transpose(seen, [0, 2, 1, 3]), [-1, asked, self.dim])

    def get_config(self):
        own = {"dim": self.dim, "length": self.length, "heads": self.heads, "dropout": self.dropout}
        return {**super().get_config(), **own}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TransformerHistory(ResidualHistory):
    """Reads the items in the light of those before them, over several blocks of attention.

    Each block is a `CausalBlock`; a last layer normalisation gives the states. Order is known by distance and time by
    gaps alone, so the present state does not depend on how much padding stands in front of a history, and the state
    after a short history is as well trained as that after a full one.

    See `ResidualHistory` for what is made of the states, `HistoryEncoder` for the other arguments and shapes.

    Args:
        blocks: int. Defaults to 2.
        heads: int. Attention heads, a divisor of `dim`. Defaults to 2.
        dropout: float in [0, 1). Of the steps and of what each half of a block adds to them. Defaults to 0.1.

    Raises:
        ConfigError: if `heads` does not divide `dim`.

    Example:

        >>> history = TransformerHistory(dim=4, length=5, blocks=1)
        >>> history(tf.ones([2, 5, 4]), tf.ones([2, 5], tf.bool), tf.zeros([2, 5], tf.int32)).shape
        TensorShape([2, 5, 4])

    Reference: Kang and McAuley, Self-attentive sequential recommendation (ICDM 2018).
    """

    def __init__(self, dim: int, length: int, blocks: int = 2, heads: int = 2, dropout: float = 0.1, **kwargs):
        super().__init__(dim=dim, length=length, **kwargs)
        self.blocks = blocks
        self.heads = heads
        self.dropout = dropout
        self.drop = tf_keras.layers.Dropout(dropout)
        self.causal_blocks = [
            CausalBlock(dim, length, heads, dropout, name=f"block_{number}") for number in range(blocks)
        ]
        self.normalize_states = tf_keras.layers.LayerNormalization(epsilon=1e-5, name="normalize_states")

    def states(self, steps, present, training):
        return self._states(steps, present, training, latest_only=False)

    def latest_states(self, steps, present, training):
        return self._states(steps, present, training, latest_only=True)[:, -1]

    def _states(self, steps, present, training, latest_only):
        steps, attended = self.drop(steps, training=training), attended_by(present)
        for number, block in enumerate(self.causal_blocks, 1):
            # Of the last block's steps nobody reads but the last one.
            is_read_once = latest_only and number == self.blocks
            steps = block(steps, attended, training=training, latest_only=is_read_once)
        return self.normalize_states(steps)

    def get_config(self):
        return {**super().get_config(), "blocks": self.blocks, "heads": self.heads, "dropout": self.dropout}
