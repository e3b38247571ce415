"""Sampled softmax."""

import tensorflow as tf
import tf_keras

from mmrec_tf.losses.retrieval_loss import MASKED, RetrievalLoss, mean_over_catalogue


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class SoftmaxLoss(RetrievalLoss):
    """Cross-entropy of telling the positive from the negatives.

        loss = log(e^s_+ + sum over negatives j of e^(s_j - log E_j)) - s_+

    with E_j how often j is expected among the negatives (the logQ correction). The positive is not corrected, because
    it is there by construction, not by chance. Over the whole catalogue, where each item stands once (log E_j = 0),
    this is the full softmax itself.

    With label smoothing the example also asks for a share of all negatives alike:

        loss = (1 - smoothing) loss + smoothing (log(...) - mean of s_j)

    Args:
        smoothing: float in [0, 1). Defaults to 0.

    See `RetrievalLoss` for call arguments.

    Reference: Bengio and Senecal, Adaptive importance sampling to accelerate training of a neural probabilistic
    language model (2008); Yi et al., Sampling-bias-corrected neural modeling for large corpus item recommendations
    (RecSys 2019), who correct the positive too.
    """

    def __init__(self, smoothing: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        if not 0.0 <= smoothing < 1.0:
            raise ValueError(f"smoothing must lie in [0, 1), got {smoothing}.")
        self.smoothing = smoothing

    def judge(self, positive, negatives, counted, log_expected):
        rest = tf.reduce_logsumexp(tf.where(counted, negatives - log_expected, MASKED), axis=1)
        # log(e^s + e^rest) - s, without a copy of all scores with one more column.
        loss = tf.math.softplus(rest - positive)
        if not self.smoothing:
            return loss
        behind = positive - mean_over_catalogue(negatives, counted, log_expected)
        has_any = tf.cast(rest > 0.5 * MASKED, tf.float32)
        return loss + self.smoothing * behind * has_any

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}
