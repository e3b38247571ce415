"""How popular an item was of late, as a field."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.models.rankers.fields import STDDEV


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TrendField(tf_keras.layers.Layer):
    """Embeds an item's popularity of several half-lives at the moment of a request.

    Small networks over the trends: what was popular long ago and is no more differs from what rises, and no sum of
    both tells which is which.

    Args:
        size: int. Number of item indices.
        periods, half_lives: int. Of the trends; see `Trends`.
        dim: int. Width of the field.
        hidden: int. Width of the hidden layer. Defaults to 16.

    Call arguments:
        item_index: `[batch, group]` int32.
        moment: `[batch]` int32, the period in which each request came; None, the default, for the last, the present.

    Returns:
        `[batch * group, 1, dim]` float tensor.
    """

    def __init__(self, size: int, periods: int, half_lives: int, dim: int, hidden: int = 16, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.periods = periods
        self.half_lives = half_lives
        self.dim = dim
        self.hidden = hidden
        options = {"initializer": "zeros", "trainable": False, "experimental_autocast": False}
        self.table = self.add_weight(name="table", shape=[size, periods, half_lives], dtype="float32", **options)
        # Of its own, so that what is served holds no past.
        self.present = self.add_weight(name="present", shape=[size, half_lives], dtype="float32", **options)
        self.first = tf_keras.layers.Dense(hidden, activation="relu")
        start = tf_keras.initializers.RandomNormal(stddev=STDDEV)
        self.second = tf_keras.layers.Dense(dim, kernel_initializer=start)

    def set(self, table: np.ndarray) -> None:
        """Takes `[size, periods, half_lives]` trends; see `Trends`."""
        self.table.assign(table)
        self.present.assign(table[:, -1])

    def call(self, item_index, moment=None):
        if moment is None:
            trends = tf.gather(self.present, tf.reshape(item_index, [-1]))
        else:
            places = tf.reshape(item_index * self.periods + moment[:, None], [-1])
            trends = tf.gather(tf.reshape(self.table, [-1, self.half_lives]), places)
        return tf.expand_dims(self.second(self.first(trends)), 1)

    def get_config(self):
        own = {"size": self.size, "periods": self.periods, "half_lives": self.half_lives}
        return {**super().get_config(), **own, "dim": self.dim, "hidden": self.hidden}
