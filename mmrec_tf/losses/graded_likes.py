"""What a score of being liked says of the grades of liking."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.losses.ordinal_loss import LEAST_GAP

_FAR = 1e4
"""Where the lowest grade begins and the highest ends: no score comes there."""


class GradedLikes(tf_keras.layers.Layer):
    """Judges logits of likes by how much was liked: the likelihood of each grade, with all grades in one order.

        P(grade >= k) = sigmoid(s - t_k),   t_1 < t_2 < ...,   t_like = 0

    so that the score s stays the logit of a like. The other thresholds are learned from where they stand for a score
    that knows nothing. One who gives two stars and one who gives three and a half both say no; the loss knows that the
    second was nearer to yes.

    Args:
        shares: list of float. How often each grade comes, the lowest first.
        like: int. Place of the threshold, of `grades - 1`, from which on a grade is a like.

    Call arguments:
        scores: `[...]` float32 logits of likes.
        grades: int32 in their shape; -1 for what has none and is not judged.
        weights: float32 in their shape.

    Returns:
        float32 scalar, the weighted mean of the negative log-likelihoods of what has a grade; 0 where nothing has.

    Raises:
        ValueError: for fewer than three grades, or a threshold that is none of theirs.

    Reference: McCullagh, Regression models for ordinal data (1980).
    """

    def __init__(self, shares: Sequence[float], like: int, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if len(shares) < 3 or not 0 <= like < len(shares) - 1:
            raise ValueError(f"grades must be three or more with a threshold among them, got {len(shares)} and {like}.")
        self.like = like
        below = np.cumsum(shares)[:-1].clip(1e-6, 1.0 - 1e-6)
        gaps = np.diff(np.log(below / (1.0 - below))).clip(min=1e-3)
        self.gaps = self.add_weight(
            name="gaps", shape=[len(gaps)], initializer=tf_keras.initializers.Constant(np.log(np.expm1(gaps)))
        )

    @property
    def thresholds(self) -> tf.Tensor:
        """`[grades - 1]` float32, rising."""
        gaps = tf.math.softplus(self.gaps)
        under, over = gaps[: self.like], gaps[self.like :]
        return tf.concat([-tf.cumsum(under, reverse=True), [0.0], tf.cumsum(over)], axis=0)

    def call(self, scores, grades, weights):
        scores, grades, weights = (tf.reshape(x, [-1]) for x in (scores, grades, weights))
        weights *= tf.cast(grades >= 0, tf.float32)
        # With a > b: sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)), whose logarithm loses no digits;
        # the last factor is that of a grade, whatever the score.
        ends = tf.concat([[-_FAR], self.thresholds, [_FAR]], axis=0)
        between = tf.math.log1p(-tf.exp(-tf.maximum(ends[1:] - ends[:-1], LEAST_GAP)))
        of_grade = tf.gather(tf.stack([ends[:-1], ends[1:], between], axis=1), tf.maximum(grades, 0))
        low, high, between = tf.unstack(of_grade, axis=1)
        losses = tf.math.softplus(low - scores) + tf.math.softplus(scores - high) - between
        return tf.math.divide_no_nan(tf.reduce_sum(weights * losses), tf.reduce_sum(weights))
