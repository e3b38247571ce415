"""Dropout for wide layers of small networks, where drawing random numbers is a good part of a step."""

import math

import tensorflow as tf
import tf_keras

_LEVELS = 256

_BLOCKS = 8
"""Of a batch's rows, of which one is drawn."""


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class ByteDropout(tf_keras.layers.Layer):
    """Dropout that chooses by one byte for each unit, four of them from a random integer.

    In a step on a CPU, to draw floats and to choose by them, as `tf_keras.layers.Dropout` does, takes as long
    as a product of its network. A byte knows 256 levels, so the rate is rounded to the nearest of them (0.2 to 0.1992);
    units that are kept are scaled by the rate that is in force, and the expectation stays what it was.

    Args:
        rate: float in [0, 1). Share of the units that are set to 0 in training.

    Call arguments:
        inputs: float tensor.
        training: bool.

    Returns:
        Tensor like `inputs`; `inputs` itself where nothing is dropped.

    Reference: Srivastava et al., Dropout: a simple way to prevent neural networks from overfitting (JMLR 2014).
    """

    def __init__(self, rate: float, **kwargs):
        super().__init__(**kwargs)
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"The dropout rate is {rate}. Allowed: 0 to below 1.")
        self.rate = rate

    def call(self, inputs, training=False):
        # Something is kept, whatever the rate.
        dropped = min(round(self.rate * _LEVELS), _LEVELS - 1)
        if not training or not dropped:
            return inputs
        is_kept = random_bytes(inputs) >= tf.constant(dropped, tf.uint8)
        return inputs * (tf.cast(is_kept, inputs.dtype) * (_LEVELS / (_LEVELS - dropped)))

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


def random_bytes(like: tf.Tensor) -> tf.Tensor:
    """Uniform uint8 tensor in the shape of another, any two numbers of which are independent.

    Of rows that can be divided by `_BLOCKS` one block is drawn, and each block is that one, shifted by a random byte of
    each column's own. Two numbers that differ by such shifts are as independent as if both had been drawn; three are
    not, which the mean and the variance of what is left of a sum do not notice.
    """
    if not like.shape.is_fully_defined():
        return tf.reshape(_drawn(tf.size(like)), tf.shape(like))
    count, rows = math.prod(like.shape), like.shape[0] if like.shape.rank else 1
    if not count or rows % _BLOCKS:
        return tf.reshape(_drawn(count), like.shape)
    width = count // rows
    one, shifts = tf.split(
        _drawn(rows // _BLOCKS * width + _BLOCKS * width), [rows // _BLOCKS * width, _BLOCKS * width]
    )
    return tf.reshape(tf.reshape(one, [1, -1, width]) + tf.reshape(shifts, [_BLOCKS, 1, width]), like.shape)


def _drawn(count):
    """`[count]` uniform uint8."""
    words = -(-count // 4) if isinstance(count, int) else (count + 3) // 4
    drawn = tf.random.uniform([words], tf.int32.min, tf.int32.max, tf.int32)
    return tf.reshape(tf.bitcast(drawn, tf.uint8), [-1])[:count]
