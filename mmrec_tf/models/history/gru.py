"""Histories read by a recurrent network."""

import tf_keras

from mmrec_tf.models.history.residual import ResidualHistory


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class GruHistory(ResidualHistory):
    """Reads the items one after the other and carries a state along.

    At each step gates decide what of the state to keep, z, and what of it to look at, r:

        z, r = sigmoid(W x_i + U s_(i-1) + b),   c = tanh(W_c x_i + b_c + r (U_c s_(i-1) + d_c))
        s_i = z s_(i-1) + (1 - z) c

    Padding leaves the state as it is, which in front is zero. Steps wait for each other, so on long histories and on
    accelerators this encoder is the slowest.

    See `ResidualHistory` for what is made of the states, `HistoryEncoder` for arguments and shapes.

    Example:

        >>> history = GruHistory(dim=3, length=4)
        >>> history(tf.ones([2, 4, 3]), tf.ones([2, 4], tf.bool), tf.zeros([2, 4], tf.int32)).shape
        TensorShape([2, 4, 3])

    Reference: Hidasi et al., Session-based recommendations with recurrent neural networks (ICLR 2016).
    """

    def __init__(self, dim: int, length: int, **kwargs):
        super().__init__(dim=dim, length=length, **kwargs)
        # Not tf_keras.layers.GRU, which puts a second, cuDNN version of itself into every saved graph, and could use it
        # only where padding stands behind.
        self.recurrence = tf_keras.layers.RNN(tf_keras.layers.GRUCell(dim), return_sequences=True, name="recurrence")

    def states(self, steps, present, training):
        return self.recurrence(steps, mask=present, training=training)
