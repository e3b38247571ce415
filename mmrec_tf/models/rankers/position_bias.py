"""What the place in which an item was shown did to its chance of a click, told apart from the item."""

import tensorflow as tf
import tf_keras

PACE = 10.0
"""Adam moves every number alike. A score is the sum of many and a place has one, which is to keep up with them."""


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class PositionBias(tf_keras.layers.Layer):
    """A tower beside the ranker that sees where an item was shown and nothing else.

    What stands first is clicked for standing first. In a log, items that an earlier system put first look better than
    they are, and a ranker that learns from it repeats the earlier system. In training the logit of the place is added
    to the ranker's, which then need not explain it; it is left out in serving and evaluation:

        training   p(click) = sigmoid(y + b[bucket of the position] - mean of b over the batch)
        serving    p(click) = sigmoid(y)

    The place is its only input, so that one number for each bucket is all that a tower could learn. Without the
    mean it would take a share of the level that all items have in common, and what is served would lack it; with it the
    score that is served is that of a middling place. What was shown in no known place has the logit 0, and some places
    are forgotten while training. What the place does is told from what the items do by the same items in several
    places.

    Args:
        buckets: int. Of `PositionBuckets`.
        dropout: float in [0, 1). Chance of forgetting an example's place while training. What is forgotten the items
            have to explain, so that much of it brings the bias back. Defaults to 0.02.

    Call arguments:
        position: `[batch]` int32, from 0 (not known) to `buckets`.
        training: bool. Take the batch's mean off and forget some.

    Returns:
        `[batch]` float32 logits.

    Reference: Zhao et al., Recommending What Video to Watch Next (RecSys 2019), section 4.3.
    """

    def __init__(self, buckets: int, dropout: float = 0.02, **kwargs):
        super().__init__(**kwargs)
        self.buckets = buckets
        self.dropout = dropout
        self.raw = self.add_weight(
            name="raw", shape=[buckets], dtype="float32", initializer="zeros", experimental_autocast=False
        )

    @property
    def logits(self) -> tf.Tensor:
        """`[buckets]` float32: what each place adds."""
        return PACE * self.raw

    def call(self, position, training=False):
        logits = tf.gather(tf.concat([tf.zeros([1]), self.logits], axis=0), position)
        if not training:
            return logits
        known = tf.cast(position > 0, tf.float32)
        logits -= known * tf.math.divide_no_nan(tf.reduce_sum(logits), tf.reduce_sum(known))
        return tf.where(tf.random.uniform(tf.shape(position)) < self.dropout, 0.0, logits)

    def get_config(self):
        return {**super().get_config(), "buckets": self.buckets, "dropout": self.dropout}
