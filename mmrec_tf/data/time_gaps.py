"""Times between interactions as a few buckets, each twice as wide as the one before.

A minute more or less tells a session from the next day's visit only when little time has passed, so the buckets follow
the logarithm: 1 for less than a second, 2 for one to three, and so on by powers of two up to 31 for 34 years and more.
"""

import numpy as np
import tensorflow as tf

GAP_BUCKETS = 32
"""How many buckets there are, 0 for unknown among them."""

# floor(log2(1 + s)) counts the powers of two, from 2 on, that 1 + s has reached. It is counted and not computed so that
# NumPy and TensorFlow agree: a logarithm is off in the last place here and there.
_BOUNDS = 2.0 ** np.arange(1, GAP_BUCKETS - 1) - 1.0


def gap_buckets(seconds: np.ndarray) -> np.ndarray:
    """The bucket of each time.

        bucket(s) = clip(1 + floor(log2(1 + max(s, 0))), 1, 31),   0 where s is NaN

    Args:
        seconds: float array of any shape; NaN where nothing is known.

    Returns:
        int32 array of the same shape, below `GAP_BUCKETS`.
    """
    seconds = np.asarray(seconds, np.float64)
    buckets = 1 + np.searchsorted(_BOUNDS, seconds, side="right")
    return np.where(np.isnan(seconds), 0, buckets).astype(np.int32)


def gap_buckets_in_graph(seconds: tf.Tensor) -> tf.Tensor:
    """What `gap_buckets` gives, of a float tensor of any shape."""
    # Float32 holds no second of a time above half a year exactly; what is given as such cannot be mended here.
    seconds = tf.cast(seconds, tf.float64)
    reached = tf.cast(seconds[..., None] >= tf.constant(_BOUNDS, tf.float64), tf.int32)
    return tf.where(tf.math.is_nan(seconds), 0, 1 + tf.reduce_sum(reached, axis=-1))
