"""What every alignment of two modalities shares: projections, who is counted, and who is nobody's negative."""

import numpy as np
import tensorflow as tf
import tf_keras


class Alignment(tf_keras.layers.Layer):
    """Draws the two modalities of an item together, and those of different items apart.

    An item's photo and its title speak of the same thing. Trained to find each other among the batch, their vectors
    come to lie in one space, where one can stand in for the other when it is missing.

        s_ij = cos(A a_i, B b_j)

    Counted are the rows that have both modalities. Row j is a negative of row i unless they are the same item: the
    same id, or an equal vector of either modality (two products that share a stock photo have nothing to be told
    apart by in it). Fewer than two counted rows, or no negatives at all, give the loss 0 and zero gradients.

    Projections are worked out as the dtype policy asks, all that follows in float32.

    A subclass implements `loss(similarity, counted, negative)`, or `compare(first, second, counted, negative)` if it
    does not look at cosines.

    Args:
        dim: int. Width of the common space; None to compare the vectors, which must be of one width, as they are.
            Defaults to 64.

    Call arguments:
        vectors: pair of `[batch, d_a]` and `[batch, d_b]` float tensors. A value that is not finite has no influence
            where the row's mask is False, and makes the loss NaN where it is counted.
        masks: pair of `[batch]` bool tensors: which rows have the modality.
        ids: `[batch]` int tensor of the items, or None when the batch holds every item once.

    Returns:
        The loss, a float32 scalar: the mean over the counted rows and over the two directions.

    Raises:
        ValueError: if `dim` is None and the widths differ.
    """

    def __init__(self, dim: int | None = 64, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        if dim is not None:
            # Without a bias a vector of zeros stays one, and asks nothing of the projection.
            self.project_first = tf_keras.layers.Dense(dim, use_bias=False, name="project_first")
            self.project_second = tf_keras.layers.Dense(dim, use_bias=False, name="project_second")

    def call(self, vectors, masks, ids=None):
        first, second = vectors
        if self.dim is None and first.shape[-1] != second.shape[-1]:
            raise ValueError(
                f"alignment without projections takes vectors of one width, got {first.shape[-1]} and "
                f"{second.shape[-1]}. Set dim to the width of a common space."
            )
        counted = tf.logical_and(masks[0], masks[1])
        # Before anything else, because 0 * NaN is NaN, in gradients too.
        first, second = (tf.where(counted[:, None], values, tf.zeros_like(values)) for values in (first, second))
        negative = tf.logical_not(_same_item(first, second, ids))
        negative = tf.logical_and(negative, tf.logical_and(counted[:, None], counted[None, :]))
        if self.dim is not None:
            first, second = self.project_first(first), self.project_second(second)
        return self.compare(first, second, counted, negative)

    def compare(self, first: tf.Tensor, second: tf.Tensor, counted: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        """The loss of the projected vectors, `[batch, dim]` each; see `loss` for the other arguments."""
        return self.loss(tf.matmul(_unit(first), _unit(second), transpose_b=True), counted, negative)

    def loss(self, similarity: tf.Tensor, counted: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        """The loss of `[batch, batch]` float32 cosines, the items' own on the diagonal.

        Args:
            similarity: `[batch, batch]` float32; rows belong to the first modality, columns to the second.
            counted: `[batch]` bool.
            negative: `[batch, batch]` bool, symmetric; only counted rows have and are negatives.
        """
        raise NotImplementedError

    def get_config(self):
        return {**super().get_config(), "dim": self.dim}


def mean_over(values: tf.Tensor, counted: tf.Tensor) -> tf.Tensor:
    """Mean of the `[batch]` values that are counted, 0 when none is."""
    weights = tf.cast(counted, values.dtype)
    return tf.reduce_sum(tf.where(counted, values, tf.zeros_like(values))) / tf.maximum(tf.reduce_sum(weights), 1.0)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class WithinRange(tf_keras.constraints.Constraint):
    """Brings a weight back into [low, high] after each step.

    Clipping where the weight is used would leave it without a gradient, and so stuck, once it is outside.

    Args:
        low, high: float, or list of float, one for each number. The range.
    """

    def __init__(self, low: float | list[float], high: float | list[float]):
        self.low = low
        self.high = high

    def __call__(self, weight):
        return tf.clip_by_value(weight, self.low, self.high)

    def get_config(self):
        return {"low": self.low, "high": self.high}


def _unit(vectors):
    # The epsilon bounds the gradient of a vector that is zero.
    return tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=1, epsilon=1e-6)


def _same_item(first, second, ids):
    """`[batch, batch]` bool: equal ids or equal vectors of either modality; the diagonal is True."""
    keys = [_fingerprint(first), _fingerprint(second)] + ([] if ids is None else [ids])
    same = keys[0][:, None] == keys[0][None, :]
    for key in keys[1:]:
        same = tf.logical_or(same, key[:, None] == key[None, :])
    return same


def _fingerprint(vectors):
    """`[batch]` int64, equal for equal rows and, but for one pair in 2^64, for no others.

    Integer sums do not depend on their order, so that equal rows agree on every device; comparing the rows themselves
    would take batch^2 * width steps.
    """
    # Adding 0 turns -0 into 0, which equals it but has other bits.
    bits = tf.cast(tf.bitcast(tf.cast(vectors, tf.float32) + 0.0, tf.int32), tf.int64)
    multipliers = 2 * np.random.default_rng(0).integers(-(2**62), 2**62, vectors.shape[-1]) + 1
    return tf.reduce_sum(bits * tf.constant(multipliers, tf.int64), axis=1)
