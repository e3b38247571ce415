"""Alignment by triplets mined in the batch."""

import tensorflow as tf
import tf_keras

from mmrec_tf.losses.alignment import Alignment, mean_over


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TripletAlignment(Alignment):
    """Asks each modality to be nearer to its item's other one than to one chosen stranger, by a margin.

        loss = mean over i of (max(0, s_in - s_ii + margin) + max(0, s_ki - s_ii + margin)) / 2

    n is the semi-hard negative of row i: the nearest of those farther than its own, s_in < s_ii, or, when all are
    nearer, the farthest of all; k is the same in the other direction. The very nearest negatives, often wrongly
    labelled or too hard to begin with, would draw all vectors to one point. A row without negatives is not counted.

    See `Alignment` for the other arguments and shapes.

    Args:
        margin: float. By how much the cosine with the own must exceed that with the stranger. Defaults to 0.2.

    Example:

        >>> align = TripletAlignment(dim=8)
        >>> there = tf.constant([True, True])
        >>> align((tf.eye(2, 5), tf.eye(2, 3)), masks=(there, there), ids=tf.constant([1, 2])).shape
        TensorShape([])

    Reference: Schroff et al., FaceNet: a unified embedding for face recognition and clustering (CVPR 2015).
    """

    def __init__(self, dim: int | None = 64, margin: float = 0.2, **kwargs):
        super().__init__(dim=dim, **kwargs)
        self.margin = margin

    def loss(self, similarity, counted, negative):
        own = tf.linalg.diag_part(similarity)
        total = 0.0
        # `negative` is the same in both directions.
        for scores in (similarity, tf.transpose(similarity)):
            semi_hard = tf.logical_and(negative, scores < own[:, None])
            # Cosines lie in [-1, 1]; 2 and -2 are out of their reach.
            nearest = tf.reduce_max(tf.where(semi_hard, scores, -2.0), axis=1)
            farthest = tf.reduce_min(tf.where(negative, scores, 2.0), axis=1)
            chosen = tf.where(tf.reduce_any(semi_hard, axis=1), nearest, farthest)
            total += 0.5 * tf.nn.relu(chosen - own + self.margin)
        return mean_over(total, tf.reduce_any(negative, axis=1))

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}
