"""What the place in which an item was shown did to its chance of a click, told apart from the item."""

import tensorflow as tf
import tf_keras


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class PositionBias(tf_keras.layers.Layer):
    """A tower beside the ranker that sees where an item was shown and nothing else.

    What stands first is clicked for standing first. In a log, items that an earlier system put first look better than
    they are, and a ranker that learns from it repeats the earlier system. In training the logit of the place is added
    to the ranker's, which then need not explain it; it is left out in serving and evaluation:

        training   p(click) = sigmoid(y + b[bucket of the position])
        serving    p(click) = sigmoid(y)

    The place is its only input, so that one number for each bucket is all that a tower could learn. The number of what
    was shown in no known place is 0, and places are forgotten at random while training: the score that is served is one
    that was trained. How it is told from the items is by the same item in several places.

    Args:
        buckets: int. Of `PositionBuckets`.
        dropout: float in [0, 1). Chance of forgetting an example's place while training. What is forgotten the items
            have to explain, so that much of it brings the bias back. Defaults to 0.02.

    Call arguments:
        position: `[batch]` int32, from 0 (not known) to `buckets`.
        training: bool.

    Returns:
        `[batch]` float32 logits.

    Reference: Zhao et al., Recommending What Video to Watch Next (RecSys 2019), section 4.3.
    """

    def __init__(self, buckets: int, dropout: float = 0.02, **kwargs):
        super().__init__(**kwargs)
        self.buckets = buckets
        self.dropout = dropout
        self.logits = self.add_weight(
            name="logits", shape=[buckets], dtype="float32", initializer="zeros", experimental_autocast=False
        )

    def call(self, position, training=False):
        if training and self.dropout:
            forgotten = tf.random.uniform(tf.shape(position)) < self.dropout
            position = tf.where(forgotten, tf.zeros_like(position), position)
        return tf.gather(tf.concat([tf.zeros([1]), self.logits], axis=0), position)

    def get_config(self):
        return {**super().get_config(), "buckets": self.buckets, "dropout": self.dropout}
