"""What the neighbours of a user's latest items add to the score."""

import numpy as np
import tensorflow as tf
import tf_keras


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class NeighbourMemory(tf_keras.layers.Layer):
    """Remembers which items go together, pair by pair: consumed by the same users, or one after the other.

    A few numbers per item cannot hold every pair of items that go together, least of all those of a large catalogue
    with few interactions, where counting pairs is hard to beat. Counted once and kept as they are, they need no
    training:

        memory(u, i) = weight * sum over the history's items j of d_j similarity(j, i) / sqrt(sum of d_j)

    with d_j halved every `half_life` items back. The root lies between the sum, which would let long histories drown
    the towers, and the mean, which would trust one item as much as thirty.

    Args:
        size: int. Number of item indices, 0 (no item) included.
        width: int. Neighbours that are kept of each item.

    Call arguments:
        history: `[batch, length]` int table indices, the latest last, 0 for padding.

    Returns:
        `[batch, size]` float32; 0 where no neighbour is.

    Attributes:
        weight: float32 variable, 0 until it is set: what a similarity of 1 counts in the score.
        half_life: float32 variable, in items.
    """

    def __init__(self, size: int, width: int, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.size = size
        self.width = width
        options = {"trainable": False, "initializer": "zeros"}
        self.neighbours = self.add_weight(name="neighbours", shape=[size, width], dtype="int32", **options)
        self.similarities = self.add_weight(name="similarities", shape=[size, width], **options)
        self.weight = self.add_weight(name="weight", shape=[], **options)
        self.half_life = self.add_weight(name="half_life", shape=[], trainable=False, initializer="ones")

    def remember(self, neighbours: np.ndarray, similarities: np.ndarray) -> None:
        """Takes `[items, width or fewer]` item rows, -1 for none, and similarities; see `item_graph`."""
        neighbours, similarities = neighbours[:, : self.width], similarities[:, : self.width]
        missing = [(1, 0), (0, self.width - neighbours.shape[1])]
        self.neighbours.assign(np.pad(neighbours + 1, missing))
        self.similarities.assign(np.pad(np.where(neighbours >= 0, similarities, 0.0), missing))

    def call(self, history):
        return scattered(*self.pairs(history), self.size)

    def pairs(self, history: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`[batch, length * width]` table indices of the neighbours, and what is added to each one's score."""
        length = history.shape[1]
        back = tf.range(length - 1, -1, -1, dtype=tf.float32)
        decay = tf.where(history > 0, tf.pow(0.5, back / self.half_life), 0.0)
        decay = tf.math.divide_no_nan(decay, tf.sqrt(tf.reduce_sum(decay, axis=1, keepdims=True)))
        values = self.weight * decay[:, :, None] * tf.gather(self.similarities, history)
        columns = tf.gather(self.neighbours, history)
        return tuple(tf.reshape(x, [-1, length * self.width]) for x in (columns, values))

    def get_config(self):
        return {**super().get_config(), "size": self.size, "width": self.width}


def scattered(columns: tf.Tensor, values: tf.Tensor, size: int) -> tf.Tensor:
    """`[batch, size]` sums of `[batch, n]` values by their `[batch, n]` columns."""
    rows = tf.shape(columns)[0]
    row = tf.broadcast_to(tf.range(rows)[:, None], tf.shape(columns))
    places = tf.reshape(tf.stack([row, columns], axis=-1), [-1, 2])
    return tf.scatter_nd(places, tf.reshape(values, [-1]), [rows, size])
