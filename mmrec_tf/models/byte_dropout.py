"""Dropout for wide layers of small networks, where drawing random numbers is a good part of a step."""

import math

import tensorflow as tf
import tf_keras

_LEVELS = 256


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class ByteDropout(tf_keras.layers.Layer):
    """Dropout that draws one byte for each unit, four of them from a random integer.

    In a ranker's step on a CPU, to draw floats and to choose by them, as `tf_keras.layers.Dropout` does, takes as long
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
    """Uniform uint8 tensor in the shape of another."""
    if like.shape.is_fully_defined():
        count = math.prod(like.shape)
        shape, words = like.shape, -(-count // 4)
    else:
        shape, count = tf.shape(like), tf.size(like)
        words = (count + 3) // 4
    drawn = tf.random.uniform([words], tf.int32.min, tf.int32.max, tf.int32)
    return tf.reshape(tf.reshape(tf.bitcast(drawn, tf.uint8), [-1])[:count], shape)
