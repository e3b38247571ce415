"""The network that sees all the fields of a pair at once."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.byte_dropout import ByteDropout
from mmrec_tf.models.rankers.fields import with_repeated


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class DeepPart(tf_keras.layers.Layer):
    """A multilayer perceptron over the embeddings of a pair, side by side.

    The user's half of the first layer is the same for a whole group of items, so it is worked out once for each user:

        h_1 = relu(W_i item + W_u user + b),   h_k = relu(W_k h_(k-1) + b_k),   y = w . h_n + b

    Args:
        hidden: list of int. Widths of the hidden layers; none makes y linear in the embeddings.
        dropout: float in [0, 1). After each hidden layer. Defaults to 0.

    Call arguments:
        item: `[pairs, a]` float tensor.
        user: `[batch, b]` float tensor; `pairs` is a multiple of `batch`, and pairs of one user stand together.
        training: bool.

    Returns:
        `[pairs]` float32 tensor.
    """

    def __init__(self, hidden: list[int], dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.hidden = list(hidden)
        self.dropout = dropout
        widths = [*self.hidden, 1]
        self.first_of_item = _dense(widths, 0, use_bias=False, name="first_of_item")
        self.first_of_user = _dense(widths, 0, name="first_of_user")
        self.rest = [_dense(widths, place) for place in range(1, len(widths))]
        self.drop = ByteDropout(dropout)

    def call(self, item, user, training=False):
        return self.meet(self.of_item(item), user, training)

    def of_item(self, item: tf.Tensor) -> tf.Tensor:
        """`[pairs, width]`: the item's half of the first layer."""
        return self.first_of_item(item)

    def meet(self, of_item: tf.Tensor, user: tf.Tensor, training: bool = False) -> tf.Tensor:
        """What the call gives, of what `of_item` gave."""
        output = with_repeated(of_item, self.first_of_user(user))
        for layer in self.rest:
            output = layer(self.drop(tf.nn.relu(output), training=training))
        return tf.squeeze(output, 1)

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden, "dropout": self.dropout}


def _dense(widths, place, **options):
    is_last = place == len(widths) - 1
    return tf_keras.layers.Dense(widths[place], **({"dtype": "float32"} if is_last else {}), **options)
