"""What the TensorFlow peers' pipelines have beyond their libraries' own guides."""

import tensorflow as tf


def without_tuning() -> tf.data.Options:
    """tf.data's tuning off, as in our own pipelines: its sleep at the end of every pass would eat up the minutes."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options
