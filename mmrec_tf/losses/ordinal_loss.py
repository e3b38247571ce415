"""Ratings as an order of levels, not as amounts: two stars are more than one, by no known amount."""

import tensorflow as tf
import tf_keras

LEAST_GAP = 1e-6
"""Between two thresholds as they are judged: at none, what lies between them has no logarithm."""


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class OrdinalThresholds(tf_keras.layers.Layer):
    """Cuts a score into rating levels at thresholds that are learned.

        P(y > level_k) = sigmoid(s - t_k),   t_1 < t_2 < ...

    The first threshold is free, and each later one stands a softplus above the one before. At the start they lie where
    all levels are equally likely at a score of 0.

    Args:
        levels: list of float, rising. The ratings there are.

    Call arguments:
        scores: `[...]` float32 tensor.

    Returns:
        `[..., levels - 1]` float32 logits of exceeding each level but the last.

    Raises:
        ValueError: for fewer than two levels, or levels that do not rise.

    Reference: McCullagh, Regression models for ordinal data (1980).
    """

    def __init__(self, levels: list[float], **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if len(levels) < 2 or any(not low < high for low, high in zip(levels, levels[1:])):
            raise ValueError(f"levels must be two or more rising ratings, got {levels}.")
        self.levels = [float(level) for level in levels]

    def build(self, input_shape):
        self.raw = self.add_weight(name="raw", shape=[len(self.levels) - 1], initializer=self._even)
        super().build(input_shape)

    def call(self, scores):
        steps = tf.concat([self.raw[:1], tf.math.softplus(self.raw[1:])], axis=0)
        return tf.cast(scores, tf.float32)[..., None] - tf.cumsum(steps)

    def expected(self, logits: tf.Tensor) -> tf.Tensor:
        """`[...]` float32 expected ratings of `[..., levels - 1]` logits."""
        gaps = tf.constant([high - low for low, high in zip(self.levels, self.levels[1:])])
        return self.levels[0] + tf.reduce_sum(gaps * tf.sigmoid(logits), axis=-1)

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}

    def _even(self, shape, dtype=None, **_):
        shares = tf.range(1, len(self.levels), dtype=tf.float32) / len(self.levels)
        thresholds = tf.math.log(shares / (1.0 - shares))
        steps = thresholds[1:] - thresholds[:-1]
        return tf.cast(tf.concat([thresholds[:1], tf.math.log(tf.math.expm1(steps))], axis=0), dtype or tf.float32)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class OrdinalLoss(tf_keras.losses.Loss):
    """The log likelihood of a rating's level under the logits of `OrdinalThresholds`.

        loss = -log(P(y > level_(k-1)) - P(y > level_k))   for the level k of the rating

    A rating between two levels counts as the nearer one.

    Args:
        levels: list of float, rising. The ratings there are.

    Call arguments:
        y_true: `[batch, 1]` ratings.
        y_pred: `[batch, levels - 1]` logits, falling.
        sample_weight: `[batch]` float.

    Returns:
        float32 scalar, the mean over the batch.
    """

    def __init__(self, levels: list[float], **kwargs):
        super().__init__(**kwargs)
        self.levels = [float(level) for level in levels]

    def call(self, y_true, y_pred):
        middles = tf.constant([0.5 * (low + high) for low, high in zip(self.levels, self.levels[1:])])
        logits = tf.cast(y_pred, tf.float32)
        level = tf.reduce_sum(tf.cast(tf.cast(y_true, tf.float32) >= middles, tf.int32), axis=-1)
        # With a > b: sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)), whose logarithm loses no digits.
        log_above, log_below = tf.math.log_sigmoid(logits), tf.math.log_sigmoid(-logits)
        closeness = tf.math.log1p(-tf.exp(-tf.maximum(logits[:, :-1] - logits[:, 1:], LEAST_GAP)))
        none = tf.zeros_like(logits[:, :1])
        parts = [
            tf.concat([none, log_above], axis=1),
            tf.concat([log_below, none], axis=1),
            tf.concat([none, closeness, none], axis=1),
        ]
        return -tf.reduce_sum(tf.add_n(parts) * tf.one_hot(level, len(self.levels)), axis=1)

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}
