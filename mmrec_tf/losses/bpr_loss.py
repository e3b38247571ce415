"""Bayesian personalised ranking."""

import tensorflow as tf
import tf_keras

from mmrec_tf.losses.retrieval_loss import RetrievalLoss, mean_over_catalogue


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class BprLoss(RetrievalLoss):
    """Each negative behind the positive, by a logistic loss on the difference.

        loss = mean over negatives j of log(1 + e^(s_j - s_+))

    where the mean weighs each negative by 1 / E_j, so that every item of the catalogue counts alike.

    See `RetrievalLoss` for call arguments.

    Reference: Rendle et al., BPR: Bayesian personalized ranking from implicit feedback (UAI 2009).
    """

    def judge(self, positive, negatives, counted, log_expected):
        return mean_over_catalogue(tf.math.softplus(negatives - positive[:, None]), counted, log_expected)
