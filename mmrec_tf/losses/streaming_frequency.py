"""How often items turn up, estimated while they come by."""

import tensorflow as tf
import tf_keras


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class StreamingFrequency(tf_keras.layers.Layer):
    """Estimates each item's share of the examples from how many steps pass between its turns.

        gap_i <- (1 - rate) gap_i + rate (steps since i was last seen),   share_i = seen at a time / (batch * gap_i)

    where `seen at a time` is how often the item stood in a batch in which it stood at all, likewise averaged. It needs
    no pass over the data beforehand, follows items whose popularity changes, and takes two numbers and a step count
    per item.

    Args:
        size: int. Number of item indices.
        rate: float in (0, 1]. Weight of the latest gap. Defaults to 0.05.

    Reference: Yi et al., Sampling-bias-corrected neural modeling for large corpus item recommendations (RecSys 2019),
    algorithm 2. There an item is in a batch or not; here a batch may hold it several times.
    """

    def __init__(self, size: int, rate: float = 0.05, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if not 0.0 < rate <= 1.0:
            raise ValueError(f"rate must lie in (0, 1], got {rate}.")
        self.size = size
        self.rate = rate
        options = {"shape": [size], "trainable": False, "initializer": "zeros"}
        self.last = self.add_weight(name="last", dtype="int32", **options)
        self.gap = self.add_weight(name="gap", dtype="float32", **options)
        self.at_a_time = self.add_weight(name="at_a_time", dtype="float32", **options)
        self.step = self.add_weight(name="step", shape=[], dtype="int32", initializer="zeros", trainable=False)
        self.batch = self.add_weight(name="batch", shape=[], dtype="float32", initializer="ones", trainable=False)

    def update(self, item_index: tf.Tensor) -> None:
        """Takes in a batch's `[batch]` items, of which 0 (no item) is no example."""
        step = self.step.assign_add(1)
        self.batch.assign(tf.maximum(tf.reduce_sum(tf.cast(item_index > 0, tf.float32)), 1.0))
        counts = tf.math.unsorted_segment_sum(tf.ones_like(item_index, tf.float32), item_index, self.size)
        counts = tf.gather(counts, item_index)
        last = tf.gather(self.last, item_index)
        passed = tf.cast(step - last, tf.float32)
        is_first = last == 0
        gap, at_a_time = tf.gather(self.gap, item_index), tf.gather(self.at_a_time, item_index)
        gap = tf.where(is_first, passed, gap + self.rate * (passed - gap))
        at_a_time = tf.where(is_first, counts, at_a_time + self.rate * (counts - at_a_time))
        # An item that stands in the batch several times is written several times, with the same values.
        for variable, values in (
            (self.gap, gap),
            (self.at_a_time, at_a_time),
            (self.last, tf.fill(tf.shape(last), step)),
        ):
            variable.scatter_update(tf.IndexedSlices(values, item_index))

    def share(self, item_index: tf.Tensor) -> tf.Tensor:
        """float32, the shape of the items: the estimated shares; of an item that was never seen, one in all so far."""
        gap = tf.gather(self.gap, item_index)
        unseen = 1.0 / (self.batch * tf.cast(tf.maximum(self.step, 1), tf.float32))
        seen = tf.gather(self.at_a_time, item_index) / (self.batch * tf.maximum(gap, 1.0))
        return tf.where(gap > 0.0, seen, unseen)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "rate": self.rate}
