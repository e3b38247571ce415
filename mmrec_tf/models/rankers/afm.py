"""AFM: a factorisation machine that weighs its pairs of fields."""

from itertools import combinations

import tensorflow as tf
import tf_keras

from mmrec_tf.models.rankers.base import Ranker


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class PairAttention(tf_keras.layers.Layer):
    """Sums the products of all pairs of fields, weighted by how much each pair tells.

        p_fg = v_f * v_g,   a_fg = softmax over f < g of h . relu(W p_fg + b),   z = sum_{f < g} a_fg p_fg

    Args:
        width: int. Rows of W. Defaults to 16.
        dropout: float in [0, 1). Of the sum z. Defaults to 0.

    Call arguments:
        fields: `[rows, fields, dim]` float tensor, of two fields or more.
        training: bool.

    Returns:
        `[rows, dim]` float tensor.
    """

    def __init__(self, width: int = 16, dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.dropout = dropout
        self.look = tf_keras.layers.Dense(width, activation="relu", name="look")
        self.judge = tf_keras.layers.Dense(1, use_bias=False, dtype="float32", name="judge")
        self.drop = tf_keras.layers.Dropout(dropout)

    def call(self, fields, training=False):
        left, right = zip(*combinations(range(fields.shape[1]), 2))
        products = tf.gather(fields, left, axis=1) * tf.gather(fields, right, axis=1)
        weights = tf.nn.softmax(self.judge(self.look(products)), axis=1)
        total = tf.matmul(tf.cast(weights, products.dtype), products, transpose_a=True)
        return self.drop(total[:, 0], training=training)

    def get_config(self):
        return {**super().get_config(), "width": self.width, "dropout": self.dropout}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class AFM(Ranker):
    """Lets each pair of fields meet in a product, and learns which pairs count.

        y = b + sum_f w_f + w . z

    with z of `PairAttention`.

    See `Ranker` for the other arguments, call arguments and shapes.

    Args:
        attention_width: int. See `PairAttention`. Defaults to 16.
        dropout: float in [0, 1). Likewise. Defaults to 0.

    Reference: Xiao et al., Attentional factorization machines: learning the weight of feature interactions via
    attention networks (IJCAI 2017).
    """

    title = "AFM"

    def __init__(self, users, items, dim, dropout=0.0, attention_width=16, **kwargs):
        super().__init__(users, items, dim, **kwargs)
        self.dropout = dropout
        self.attention_width = attention_width
        self.attention = PairAttention(attention_width, dropout, name="attention")
        self.head = tf_keras.layers.Dense(1, use_bias=False, dtype="float32", name="head")

    def interactions(self, pairs, training):
        return self.head(self.attention(pairs.vectors(), training=training))[:, 0]

    def get_config(self):
        return {**super().get_config(), "dropout": self.dropout, "attention_width": self.attention_width}
