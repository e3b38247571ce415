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
        rest = log_sum_exp(tf.where(counted, negatives - log_expected, MASKED))
        # log(e^s + e^rest) - s, without a copy of all scores with one more column.
        loss = tf.math.softplus(rest - positive)
        if not self.smoothing:
            return loss
        behind = positive - mean_over_catalogue(negatives, counted, log_expected)
        has_any = tf.cast(rest > 0.5 * MASKED, tf.float32)
        return loss + self.smoothing * behind * has_any

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}


def log_sum_exp(scores: tf.Tensor) -> tf.Tensor:
    """`[batch]` log of the sum of exponentials of `[batch, n]` scores.

    Its gradient is the softmax, which is taken from the exponentials that are there already: TensorFlow's own goes over
    all scores several times more, which is most of the time of a step with many negatives.
    """
    scores_here = tf.stop_gradient(scores)
    peak = tf.reduce_max(scores_here, axis=1, keepdims=True)
    exponentials = tf.exp(scores_here - peak)
    total = tf.reduce_sum(exponentials, axis=1)
    # The mean score under the softmax, whose weights are held fast, has the same gradient. It is added and taken away.
    mean = tf.einsum("bn,bn->b", exponentials, scores) / total
    return mean + tf.stop_gradient(peak[:, 0] + tf.math.log(total) - mean)
