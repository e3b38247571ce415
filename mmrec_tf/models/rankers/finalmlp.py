"""FinalMLP: two networks that see the same embeddings in different lights."""

import tensorflow as tf
import tf_keras

from mmrec_tf.config_ranking import check_divides
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.fields import flattened, repeated


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class FeatureGate(tf_keras.layers.Layer):
    """Weighs each number of the embeddings by what another part of the fields says.

        z = 2 sigmoid(W_2 relu(W_1 light + b_1) + b_2) * x

    At the start the gate is about 1.

    Args:
        hidden: int. Width between W_1 and W_2. Defaults to 64.

    Call arguments:
        inputs: pair of `[batch, a]` light and `[pairs, width]` embeddings x, float; `pairs` is a multiple of `batch`.

    Returns:
        `[pairs, width]` float tensor.
    """

    def __init__(self, hidden: int = 64, **kwargs):
        super().__init__(**kwargs)
        self.hidden = hidden

    def build(self, input_shape):
        light, values = input_shape
        small = tf_keras.initializers.RandomNormal(stddev=0.01)
        self.inner = tf_keras.layers.Dense(self.hidden, activation="relu", name="inner")
        self.outer = tf_keras.layers.Dense(values[-1], activation="sigmoid", kernel_initializer=small, name="outer")
        self.inner.build(light)
        self.outer.build([None, self.hidden])
        super().build(input_shape)

    def call(self, inputs):
        light, values = inputs
        return 2.0 * repeated(self.outer(self.inner(light)), values) * values

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class FinalMLP(Ranker):
    """Shows the embeddings to two networks, one in the light of the user, one in that of the item.

        g_1 = 2 sigmoid(MLP(user)),   g_2 = 2 sigmoid(MLP(item))
        o_k = MLP_k(g_k * [v_1; ...; v_F])
        y = b + sum_f w_f + w_1 . o_1 + w_2 . o_2 + sum over heads h of o_1h' W_h o_2h

    The user's light is that of the user, the history and the context. See `FeatureGate`.

    See `Ranker` for the other arguments, call arguments and shapes.

    Args:
        hidden: list of int. Widths of the first network; one at least.
        dropout: float in [0, 1). In both networks. Defaults to 0.
        second_hidden: list of int. Widths of the second network; as `hidden` by default.
        heads: int. Blocks of o_1 and o_2 that meet each other; a divisor of both last widths. Defaults to 2.

    Raises:
        ConfigError: if `heads` does not divide a last width, or a network has no layer.

    Reference: Mao et al., FinalMLP: an enhanced two-stream MLP model for CTR prediction (AAAI 2023).
    """

    title = "FinalMLP"

    def __init__(self, users, items, dim, hidden, dropout=0.0, second_hidden=None, heads=2, **kwargs):
        super().__init__(users, items, dim, **kwargs)
        self.hidden = list(hidden)
        self.dropout = dropout
        self.second_hidden = None if second_hidden is None else list(second_hidden)
        self.heads = heads
        widths = [self.hidden, self.hidden if second_hidden is None else self.second_hidden]
        for name, layers in zip(("hidden", "second_hidden"), widths):
            check_divides(heads, layers[-1] if layers else 0, f"the last of {name}")
        self.gates = [FeatureGate(name=name) for name in ("user_gate", "item_gate")]
        self.streams = [[tf_keras.layers.Dense(width, activation="relu") for width in layers] for layers in widths]
        self.drop = tf_keras.layers.Dropout(dropout)
        self.heads_of_streams = [tf_keras.layers.Dense(1, use_bias=False, dtype="float32") for _ in widths]
        self.meeting = self.add_weight(
            name="meeting",
            shape=[heads, widths[0][-1] // heads, widths[1][-1] // heads],
            initializer="glorot_uniform",
            experimental_autocast=False,
        )

    def interactions(self, pairs, training):
        everything = flattened(pairs.vectors())
        lights = flattened(pairs.user_vectors), flattened(pairs.item_vectors)
        outputs, total = [], tf.zeros(tf.shape(everything)[:1])
        for light, gate, stream, head in zip(lights, self.gates, self.streams, self.heads_of_streams):
            output = gate((light, everything))
            for layer in stream:
                output = self.drop(layer(output), training=training)
            total += head(output)[:, 0]
            outputs.append(tf.reshape(tf.cast(output, tf.float32), [-1, self.heads, output.shape[1] // self.heads]))
        return total + tf.einsum("phi,hij,phj->p", outputs[0], self.meeting, outputs[1])

    def get_config(self):
        own = {
            "hidden": self.hidden,
            "dropout": self.dropout,
            "second_hidden": self.second_hidden,
            "heads": self.heads,
        }
        return {**super().get_config(), **own}
