"""DIN: of the history, what has to do with the item at hand."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.deep_part import DeepPart
from mmrec_tf.models.rankers.fields import flattened


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TargetAttention(tf_keras.layers.Layer):
    """Sums a history, each item weighted by what it has to do with the item that is asked about.

    With e_j an item of the history and t the one at hand, * taken number by number:

        a_j = w . MLP(relu(A e_j + B t + C (e_j * t) + b)) + c,   z = sum over present j of a_j e_j

    The weights are no shares: a history full of what is like the item counts more than one with a single such item.
    A e_j is worked out once for each user, B t once for each item.

    Args:
        hidden: list of int. Widths of the network, the first of them that of A, B and C. Defaults to [32].

    Call arguments:
        inputs: pair of `[batch, length, dim]` steps, the history's items, and `[batch, group, dim]` target, the items
            at hand, float.
        present: `[batch, length]` bool tensor.

    Returns:
        `[batch, group, dim]` float tensor; zeros where nothing is present.

    Raises:
        ValueError: if `hidden` is empty.

    Reference: Zhou et al., Deep interest network for click-through rate prediction (KDD 2018). Its e_j - t is in A and
    B already.
    """

    def __init__(self, hidden=(32,), **kwargs):
        super().__init__(**kwargs)
        if not hidden:
            raise ValueError("hidden must list one width or more, got [].")
        self.hidden = list(hidden)
        first, *others = self.hidden
        self.of_step = tf_keras.layers.Dense(first, name="of_step")
        self.of_target = tf_keras.layers.Dense(first, use_bias=False, name="of_target")
        self.of_both = tf_keras.layers.Dense(first, use_bias=False, name="of_both")
        self.rest = [tf_keras.layers.Dense(width, activation="relu") for width in others]
        self.judge = tf_keras.layers.Dense(1, name="judge")

    def call(self, inputs, present):
        steps, target = inputs
        both = steps[:, None] * target[:, :, None]
        seen = tf.nn.relu(self.of_step(steps)[:, None] + self.of_target(target)[:, :, None] + self.of_both(both))
        for layer in self.rest:
            seen = layer(seen)
        weights = self.judge(seen)[..., 0] * tf.cast(present, steps.dtype)[:, None]
        return tf.matmul(weights, steps)

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class DIN(Ranker):
    """Reads a history in the light of each item, instead of once and for all.

    An item of the history is the sum of its fields, its media among them, and the item at hand is embedded by the same
    weights. With z of `TargetAttention`:

        y = b + sum_f w_f + MLP([v_1; ...; v_F; z])

    See `Ranker` for the other arguments, call arguments and shapes.

    Args:
        hidden: list of int. Widths of the deep part.
        dropout: float in [0, 1). In the deep part. Defaults to 0.
        attention_hidden: list of int. See `TargetAttention`. Defaults to [32].

    Reference: Zhou et al., Deep interest network for click-through rate prediction (KDD 2018).
    """

    title = "DIN"
    reads_steps = True

    def __init__(self, users, items, dim, hidden, dropout=0.0, attention_hidden=(32,), **kwargs):
        super().__init__(users, items, dim, **kwargs)
        self.hidden = list(hidden)
        self.dropout = dropout
        self.attention_hidden = list(attention_hidden)
        self.attention = TargetAttention(self.attention_hidden, name="attention")
        self.deep = DeepPart(self.hidden, dropout, name="deep")

    def interactions(self, pairs, training):
        item = flattened(pairs.item_vectors)
        if pairs.history.shape[1]:
            interest = self.attention((pairs.steps, pairs.target), present=pairs.history > 0)
            item = tf.concat([item, tf.reshape(interest, [-1, self.dim])], axis=1)
        return self.deep(item, flattened(pairs.user_vectors), training=training)

    def get_config(self):
        own = {"hidden": self.hidden, "dropout": self.dropout, "attention_hidden": self.attention_hidden}
        return {**super().get_config(), **own}
