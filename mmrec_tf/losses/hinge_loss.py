"""Pairwise hinge."""

import tensorflow as tf
import tf_keras

from mmrec_tf.losses.retrieval_loss import RetrievalLoss, mean_over_catalogue


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class HingeLoss(RetrievalLoss):
    """Each negative behind the positive by a margin, and no further.

        loss = mean over negatives j of max(0, margin + s_j - s_+)

    where the mean weighs each negative by 1 / E_j, so that every item of the catalogue counts alike.

    Args:
        margin: float above 0, in scores divided by the temperature. Defaults to 1.

    See `RetrievalLoss` for call arguments.

    Reference: Weimer et al., Improving maximum margin matrix factorization (2008).
    """

    def __init__(self, margin: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        if not margin > 0.0:
            raise ValueError(f"margin must be above 0, got {margin}.")
        self.margin = margin

    def judge(self, positive, negatives, counted, log_expected):
        behind = tf.nn.relu(self.margin + negatives - positive[:, None])
        return mean_over_catalogue(behind, counted, log_expected)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}
