"""Draws that depend on a seed and on an item's place in its batch, and on nothing else.

The generator is named, since TensorFlow would choose another one on some devices. Compiled by XLA, the same generator
turns a seed into other numbers.
"""

import tensorflow as tf

_GENERATOR = "philox"


def split_seed(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """`count` seeds `[2]` int64 from one (`[2]` int32 or int64)."""
    seed = tf.cast(seed, tf.int64)
    seeds = tf.random.stateless_uniform([count, 2], seed, None, None, tf.int64, alg=_GENERATOR)
    return tf.unstack(seeds)


def uniform(batch: tf.Tensor, count: int, seed: tf.Tensor) -> list[tf.Tensor]:
    """`count` draws in [0, 1) for each item of a batch (`[batch, ...]`), as a list of `[batch, 1]` float32.

    An item's draws are the same whatever the batch holds after it.
    """
    drawn = tf.random.stateless_uniform([tf.shape(batch)[0], count], seed, alg=_GENERATOR)
    return tf.split(drawn, count, axis=1)


def normal(like: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Standard normal draws of a tensor's shape, float32."""
    return tf.random.stateless_normal(tf.shape(like), seed, alg=_GENERATOR)
