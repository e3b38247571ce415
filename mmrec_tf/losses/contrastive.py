"""Alignment by contrast within the batch."""

import math

import tensorflow as tf
import tf_keras

from mmrec_tf.errors import ConfigError
from mmrec_tf.losses.alignment import Alignment, WithinRange, mean_over


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class ContrastiveAlignment(Alignment):
    """Asks each modality to find its item's other one among all of the batch: symmetric InfoNCE, as in CLIP.

        loss = mean over i of -(log softmax_j(s_ij / t)_i + log softmax_j(s_ji / t)_i) / 2

    with the softmax over the item itself and its negatives, and t a learned temperature. It needs large batches: a
    batch of n items asks a question with n answers.

    See `Alignment` for the other arguments and shapes.

    Args:
        temperature: float in [0.01, 1]. Where the learned temperature starts; it is kept in this range. Defaults to
            0.07.

    Raises:
        ConfigError: for a temperature out of its range.

    Example:

        >>> align = ContrastiveAlignment(dim=8)
        >>> there = tf.constant([True, True])
        >>> align((tf.eye(2, 5), tf.eye(2, 3)), masks=(there, there), ids=tf.constant([1, 2])).shape
        TensorShape([])

    Reference: Radford et al., Learning transferable visual models from natural language supervision (2021); van den
    Oord et al., Representation learning with contrastive predictive coding (2018).
    """

    def __init__(self, dim: int | None = 64, temperature: float = 0.07, **kwargs):
        super().__init__(dim=dim, **kwargs)
        if not 0.01 <= temperature <= 1.0:
            raise ConfigError(f"the temperature of a contrastive alignment lies in [0.01, 1], got {temperature}.")
        self.temperature = temperature

    def build(self, input_shape):
        self.log_scale = self.add_weight(
            name="log_scale",
            shape=[],
            dtype="float32",
            initializer=tf_keras.initializers.Constant(-math.log(self.temperature)),
            constraint=WithinRange(0.0, math.log(100.0)),
            experimental_autocast=False,
        )
        super().build(input_shape)

    def loss(self, similarity, counted, negative):
        logits = similarity * tf.exp(self.log_scale)
        own = tf.linalg.diag_part(logits)
        # The row itself always takes part, so that a row without negatives has the loss 0.
        takes_part = tf.linalg.set_diag(negative, tf.ones_like(counted))
        # Far below any logit, yet finite, so that no inf - inf arises.
        logits = tf.where(takes_part, logits, -1e9)
        losses = 0.5 * (tf.reduce_logsumexp(logits, axis=1) + tf.reduce_logsumexp(logits, axis=0)) - own
        return mean_over(losses, counted)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}
