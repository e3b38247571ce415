"""Alignment by judging every pair of the batch on its own."""

import math

import tensorflow as tf
import tf_keras

from mmrec_tf.errors import ConfigError
from mmrec_tf.losses.alignment import Alignment, WithinRange, mean_over


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class SigmoidAlignment(Alignment):
    """Asks of every pair of photo and title whether they belong together: SigLIP.

        loss = mean over i of (softplus(-(t s_ii + b)) + sum over negatives j of softplus(t s_ij + b))

    with a learned scale t and bias b. Every pair is judged without the rest of the batch, so small batches serve it
    better than a softmax. The bias starts low, since nearly all pairs are negatives. The sum over all pairs covers
    both directions.

    See `Alignment` for the other arguments and shapes.

    Args:
        scale: float in [1, 100]. Where the learned scale starts; it is kept in this range. Defaults to 10.
        bias: float. Where the learned bias starts. Defaults to -10.

    Raises:
        ConfigError: for a scale out of its range.

    Example:

        >>> align = SigmoidAlignment(dim=8)
        >>> there = tf.constant([True, True])
        >>> align((tf.eye(2, 5), tf.eye(2, 3)), masks=(there, there), ids=tf.constant([1, 2])).shape
        TensorShape([])

    Reference: Zhai et al., Sigmoid loss for language image pre-training (ICCV 2023).
    """

    def __init__(self, dim: int | None = 64, scale: float = 10.0, bias: float = -10.0, **kwargs):
        super().__init__(dim=dim, **kwargs)
        if not 1.0 <= scale <= 100.0:
            raise ConfigError(f"the scale of a sigmoid alignment lies in [1, 100], got {scale}.")
        self.scale = scale
        self.bias = bias

    def build(self, input_shape):
        scalar = {"shape": [], "dtype": "float32", "experimental_autocast": False}
        constant = tf_keras.initializers.Constant
        self.log_scale = self.add_weight(
            name="log_scale",
            initializer=constant(math.log(self.scale)),
            constraint=WithinRange(0.0, math.log(100.0)),
            **scalar,
        )
        self.offset = self.add_weight(name="offset", initializer=constant(self.bias), **scalar)
        super().build(input_shape)

    def loss(self, similarity, counted, negative):
        logits = similarity * tf.exp(self.log_scale) + self.offset
        own = tf.nn.softplus(-tf.linalg.diag_part(logits))
        others = tf.reduce_sum(tf.where(negative, tf.nn.softplus(logits), 0.0), axis=1)
        # A batch without negatives would only learn to say yes.
        return mean_over(own + others, tf.logical_and(counted, tf.reduce_any(negative)))

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "bias": self.bias}
