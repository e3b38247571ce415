"""Binary cross-entropy, plain and calibrated."""

import tensorflow as tf
import tf_keras

from mmrec_tf.losses.retrieval_loss import RetrievalLoss, mean_over_catalogue


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class BinaryLoss(RetrievalLoss):
    """The positive towards 1 and the negatives towards 0, each by itself.

        loss = -beta log sigmoid(s_+) - mean over negatives j of log(1 - sigmoid(s_j))

    where the mean weighs each negative by 1 / E_j, so that every item of the catalogue counts alike. With few
    negatives for a large catalogue the positives win too easily, and scores near the top all come close to 1. gBCE
    (generalised cross-entropy) takes that back, by the share alpha of the catalogue that the negatives weigh:

        beta = alpha (t (1 - 1/alpha) + 1/alpha)

    The paper sums k negatives, and its alpha is k / (items - 1). Their mean weighs as much as one, however many they
    are: with alpha = 1 / (items - 1) and t = 1, sigmoid(s_i) comes to be the chance that i is the positive.

    Args:
        calibration: float t in [0, 1]: 0, the default, for plain cross-entropy (beta = 1), 1 for fully calibrated
            (beta = alpha).
        share: float alpha in (0, 1]: 1 / (items of the catalogue - 1), whatever the source of negatives. Defaults to 1,
            where there is nothing to calibrate.

    See `RetrievalLoss` for call arguments.

    Reference: Petrov and Macdonald, gSASRec: reducing overconfidence in sequential recommendation trained with negative
    sampling (RecSys 2023).
    """

    def __init__(self, calibration: float = 0.0, share: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        if not 0.0 <= calibration <= 1.0:
            raise ValueError(f"calibration must lie in [0, 1], got {calibration}.")
        if not 0.0 < share <= 1.0:
            raise ValueError(f"share must lie in (0, 1], got {share}.")
        self.calibration = calibration
        self.share = share

    @property
    def beta(self) -> float:
        """What the positive counts."""
        return self.calibration * (self.share - 1.0) + 1.0

    def judge(self, positive, negatives, counted, log_expected):
        refused = mean_over_catalogue(tf.math.softplus(negatives), counted, log_expected)
        # Without negatives nothing would keep the positive from growing.
        has_any = tf.cast(tf.reduce_any(counted, axis=-1), tf.float32)
        return has_any * self.beta * tf.math.softplus(-positive) + refused

    def get_config(self):
        return {**super().get_config(), "calibration": self.calibration, "share": self.share}
