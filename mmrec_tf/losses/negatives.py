"""Where the negatives of a step come from, and how often each item is expected among them."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.losses.streaming_frequency import StreamingFrequency


class NegativeSource(tf_keras.layers.Layer):
    """Gives the items that a batch's queries are told apart from, the same ones for all of its queries.

    Args:
        size: int. Number of item indices, 0 (no item) included.
        count: int. Items that are drawn or kept, for the sources that do. Defaults to 1024.
        logq: `counts`, for shares of the training examples that are given to `set_probabilities`; `streaming`, for an
            estimate made while training; or False, for no correction. Defaults to `counts`.

    Call arguments:
        item_index: `[batch]` int32, the batch's positives, 0 where a window is padded.
        training: bool. Outside of training nothing is estimated or kept. Defaults to False.

    Returns:
        `[n]` int32 indices, 0 where there is none, and `[n]` float32, the log of how often each is expected among the
        n; see `RetrievalLoss`.

    Attributes:
        has_batch: bool. Whether the first `batch` indices are the positives.
        is_whole_catalogue: bool. Whether the indices are 1 to size - 1.
    """

    has_batch = False
    is_whole_catalogue = False

    def __init__(self, size: int, count: int = 1024, logq: str | bool = "counts", **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.size = size
        self.count = count
        self.logq = logq
        if self.has_batch and logq == "counts":
            self.probabilities = self.add_weight(
                name="probabilities",
                shape=[size],
                initializer=tf_keras.initializers.Constant(1.0 / size),
                trainable=False,
                dtype="float32",
            )
        if self.has_batch and logq == "streaming":
            self.frequency = StreamingFrequency(size)

    def set_probabilities(self, probabilities: np.ndarray) -> None:
        """Takes the `[size]` shares of the training examples that each item is the positive of."""
        if self.has_batch and self.logq == "counts":
            self.probabilities.assign(probabilities)

    def call(self, item_index, training=False):
        if training and self.has_batch and self.logq == "streaming":
            self.frequency.update(item_index)
        ids = self.draw(item_index, training)
        if not self.logq:
            return ids, tf.zeros(tf.shape(ids), tf.float32)
        # What a window is padded with is no example, and brings no negative.
        examples = tf.maximum(tf.reduce_sum(tf.cast(item_index > 0, tf.float32)), 1.0)
        return ids, tf.math.log(self.expected(ids, examples))

    def draw(self, item_index, training):
        """`[n]` int32 indices."""
        raise NotImplementedError

    def expected(self, ids, batch):
        """`[n]` float32: how often each is expected among the n, for a batch of that many examples."""
        raise NotImplementedError

    def share(self, ids):
        """`[n]` float32: the share of the examples that each is the positive of."""
        if self.logq == "streaming":
            return self.frequency.share(ids)
        return tf.gather(self.probabilities, ids)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "count": self.count, "logq": self.logq}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class InBatchNegatives(NegativeSource):
    """The other examples' items: embedded anyway, so they cost a matrix product and nothing else."""

    has_batch = True

    def draw(self, item_index, training):
        return item_index

    def expected(self, ids, batch):
        return batch * self.share(ids)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class UniformNegatives(NegativeSource):
    """`count` items drawn from the catalogue, each with the same chance."""

    def draw(self, item_index, training):
        return tf.random.uniform([self.count], 1, self.size, tf.int32)

    def expected(self, ids, batch):
        return tf.fill(tf.shape(ids), self.count / (self.size - 1))


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class MixedNegatives(NegativeSource):
    """The other examples' items and `count` drawn ones, so that items without interactions are negatives too.

    Reference: Yang et al., Mixed negative sampling for learning two-tower neural networks in recommendations (2020).
    """

    has_batch = True

    def draw(self, item_index, training):
        return tf.concat([item_index, tf.random.uniform([self.count], 1, self.size, tf.int32)], axis=0)

    def expected(self, ids, batch):
        return batch * self.share(ids) + self.count / (self.size - 1)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class CachedNegatives(NegativeSource):
    """The other examples' items and the last `count` items of earlier batches.

    What is kept are indices, not embeddings: items are embedded again, so that no negative is judged by weights that
    have changed since.

    Reference: Wang et al., Cross-batch memory for embedding learning (CVPR 2020), which keeps the embeddings.
    """

    has_batch = True

    def __init__(self, size: int, count: int = 1024, logq: str | bool = "counts", **kwargs):
        super().__init__(size=size, count=count, logq=logq, **kwargs)
        self.kept = self.add_weight(name="kept", shape=[count], dtype="int32", initializer="zeros", trainable=False)

    def draw(self, item_index, training):
        kept = tf.identity(self.kept)
        if training:
            latest = tf.concat([item_index, kept], axis=0)[: self.count]
            self.kept.assign(tf.ensure_shape(latest, [self.count]))
        return tf.concat([item_index, kept], axis=0)

    def expected(self, ids, batch):
        filled = tf.maximum(tf.reduce_sum(tf.cast(ids > 0, tf.float32)), 1.0)
        return filled * self.share(ids)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class WholeCatalogue(NegativeSource):
    """Every item once: the softmax over it is the one that all others estimate."""

    is_whole_catalogue = True

    def draw(self, item_index, training):
        return tf.range(1, self.size, dtype=tf.int32)

    def expected(self, ids, batch):
        return tf.ones(tf.shape(ids), tf.float32)


def hard_negatives(lists: tf.Tensor, user_index: tf.Tensor, count: int) -> tf.Tensor:
    """Draws items that a model ranks high for a user although the user has not touched them.

    Args:
        lists: `[users + 1, m]` int32 item indices by user index, 0 where there is none.
        user_index: `[batch]` int32.
        count: int.

    Returns:
        `[batch, count]` int32.
    """
    columns = tf.random.uniform([user_index.shape[0] or tf.size(user_index), count], 0, lists.shape[1], tf.int32)
    return tf.gather_nd(lists, tf.stack([tf.broadcast_to(user_index[:, None], tf.shape(columns)), columns], axis=2))


def own_negatives(count: int, batch: int, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws items of the catalogue for each example by itself, as the pairwise losses were first trained.

    Args:
        count: int. Items for each example.
        batch: int. Examples.
        size: int. Number of item indices, 0 (no item) included.

    Returns:
        `[batch, count]` int32 indices, and a float32 scalar: the log of how often each is expected among an example's.
    """
    ids = tf.random.uniform([batch, count], 1, size, tf.int32)
    return ids, tf.math.log(tf.constant(count / (size - 1), tf.float32))
