"""Alignment by correlation."""

import tensorflow as tf
import tf_keras

from mmrec_tf.losses.alignment import Alignment


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class CanonicalAlignment(Alignment):
    """Makes two modalities of the same items correlate, dimension by dimension of a common space.

    With the batch's covariances C of the projected vectors and L the Cholesky factor of C plus its regularization, the
    vectors L^-1 x are white, and the loss asks for their correlation:

        loss = 1 - trace(L_a^-1 C_ab L_b^-T) / dim

    At best it is 1 less the mean of the canonical correlations of the two, which a step so works towards without
    solving for them. Nothing is pushed apart, and an item that stands twice in the batch does no harm. A batch should
    have several times as many items as `dim`; with fewer, everything correlates. `linear_alignment` is the analysis of
    a whole catalogue in closed form, which returns its maps.

    See `Alignment` for the other arguments and shapes.

    Args:
        regularization: float. Added to the diagonal of each covariance, as a share of its mean. Defaults to 0.01.

    Example:

        >>> align = CanonicalAlignment(dim=None)
        >>> there = tf.constant([True, True, True, True])
        >>> square = tf.constant([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> round(float(align((square, square[:, ::-1]), masks=(there, there))), 2)
        1.0

    Reference: Hotelling, Relations between two sets of variates (1936); Andrew et al., Deep canonical correlation
    analysis (ICML 2013), which solves for the correlations.
    """

    def __init__(self, dim: int | None = 64, regularization: float = 0.01, **kwargs):
        super().__init__(dim=dim, **kwargs)
        self.regularization = regularization

    def compare(self, first, second, counted, negative):
        weights = tf.cast(counted, tf.float32)[:, None]
        count = tf.reduce_sum(weights)
        first, second = (_centred(tf.cast(side, tf.float32), weights, count) for side in (first, second))
        count = tf.maximum(count, 1.0)
        roots = [
            tf.linalg.cholesky(_ridged(tf.matmul(side, side, transpose_a=True) / count, self.regularization))
            for side in (first, second)
        ]
        cross = tf.matmul(first, second, transpose_a=True) / count
        half = tf.linalg.triangular_solve(roots[0], cross)
        whole = tf.linalg.triangular_solve(roots[1], tf.transpose(half))
        # Items that cannot be told apart do not vary, so that nothing correlates and there is nothing to learn.
        return tf.where(tf.reduce_any(negative), 1.0 - tf.linalg.trace(whole) / first.shape[1], 0.0)

    def get_config(self):
        return {**super().get_config(), "regularization": self.regularization}


def _centred(side, weights, count):
    mean = tf.reduce_sum(side * weights, axis=0) / tf.maximum(count, 1.0)
    return (side - mean) * weights


def _ridged(covariance, share):
    # The second term keeps the factor defined where all vectors are equal, and their covariance is zero.
    ridge = share * tf.reduce_mean(tf.linalg.diag_part(covariance)) + 1e-6
    return covariance + ridge * tf.eye(covariance.shape[0])
