"""Losses that judge the items of a user together: by pairs, as a choice, as an order, by a metric."""

import tensorflow as tf
import tf_keras

MASKED = -1e9
"""Score of what is not in a group: its exponential is 0, and unlike infinity it has a gradient."""


class GroupLoss(tf_keras.losses.Loss):
    """How far the items of a group are from the order that their labels ask for.

    Only differences of scores within a group count, so what such a loss trains ranks well and its scores are no
    chances. A subclass implements `judge(labels, scores, weights, there)` on `[groups, n]` float32 tensors and bool
    `there`, which gives `[groups]` float32.

    Call arguments:
        y_true: `[groups, n]` float labels of 0 or more: clicks, or grades.
        y_pred: `[groups, n]` float scores.
        sample_weight: `[groups, n]` float. 0 is no member of the group; that of a positive is what it counts. Defaults
            to 1 everywhere.

    Returns:
        float32 scalar, the mean over all groups. A group without a positive, or with nothing to tell it from, is 0.
    """

    def __call__(self, y_true, y_pred, sample_weight=None):
        labels, scores = tf.cast(y_true, tf.float32), tf.cast(y_pred, tf.float32)
        weights = tf.ones_like(labels) if sample_weight is None else tf.cast(sample_weight, tf.float32)
        there = weights > 0.0
        labels = tf.where(there, labels, 0.0)
        return tf.reduce_mean(self.judge(labels, scores, weights, there))

    def judge(self, labels, scores, weights, there):
        raise NotImplementedError


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class SoftmaxListLoss(GroupLoss):
    """The group's positives as choices out of the whole group.

        loss = mean over positives i of weight_i y_i (log sum_j e^(s_j) - s_i)

    Example:

        >>> labels, scores = tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 0.0]])
        >>> round(float(SoftmaxListLoss()(labels, scores)), 3)
        0.693

    See `GroupLoss` for call arguments.

    Reference: Cao et al., Learning to rank: from pairwise approach to listwise approach (ICML 2007); Bruch et al., An
    analysis of the softmax cross entropy loss for learning-to-rank with binary relevance (ICTIR 2019).
    """

    def judge(self, labels, scores, weights, there):
        behind = tf.reduce_logsumexp(tf.where(there, scores, MASKED), axis=1, keepdims=True) - scores
        return _mean_over_positives(weights * labels * behind, labels)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class PairwiseLoss(GroupLoss):
    """Each item ahead of those of a lower label, by a logistic loss on the difference.

        loss = mean over pairs with y_i > y_j of weight_i log(1 + e^(s_j - s_i))

    See `GroupLoss` for call arguments.

    Reference: Burges et al., Learning to rank using gradient descent (ICML 2005); Rendle et al., BPR: Bayesian
    personalized ranking from implicit feedback (UAI 2009).
    """

    def judge(self, labels, scores, weights, there):
        counted = (labels[:, :, None] > labels[:, None, :]) & there[:, :, None] & there[:, None, :]
        lost = weights[:, :, None] * tf.math.softplus(scores[:, None, :] - scores[:, :, None])
        total = tf.reduce_sum(tf.where(counted, lost, 0.0), axis=[1, 2])
        return total / tf.maximum(tf.reduce_sum(tf.cast(counted, tf.float32), axis=[1, 2]), 1.0)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class ListMleLoss(GroupLoss):
    """The likelihood of the order that the labels give, where each place is a choice out of what is left.

        loss = mean over positives i of weight_i (log sum over j with y_j <= y_i of e^(s_j) - s_i)

    Items of one label are all left when any of them is chosen (Breslow's way with ties), so that no order is made up
    among them; among the negatives there is none to learn. With one positive this is `SoftmaxListLoss`.

    See `GroupLoss` for call arguments.

    Reference: Xia et al., Listwise approach to learning to rank: theory and algorithm (ICML 2008).
    """

    def judge(self, labels, scores, weights, there):
        left = (labels[:, None, :] <= labels[:, :, None]) & there[:, None, :]
        behind = tf.reduce_logsumexp(tf.where(left, scores[:, None, :], MASKED), axis=2) - scores
        return _mean_over_positives(tf.where(there & (labels > 0.0), weights * behind, 0.0), labels)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class ApproxNdcgLoss(GroupLoss):
    """One less the group's NDCG, with ranks that have a gradient.

        rank_i = 1 + sum over j != i of sigmoid((s_j - s_i) / temperature)
        loss = 1 - sum_i (2^y_i - 1) / log2(1 + rank_i) / (the same of the best order)

    A group counts by the mean weight of its positives.

    Args:
        temperature: float. How far apart scores must be for the ranks to be told. Defaults to 1, a nat of the logits
            that a ranker starts with; the smaller, the nearer to NDCG and the fewer gradients.

    See `GroupLoss` for call arguments.

    Reference: Qin et al., A general approximation framework for direct optimization of information retrieval measures
    (2010); Bruch et al., Revisiting approximate metric optimization in the age of deep neural networks (SIGIR 2019).
    """

    def __init__(self, temperature: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.temperature = temperature

    def judge(self, labels, scores, weights, there):
        ahead = tf.sigmoid((scores[:, None, :] - scores[:, :, None]) / self.temperature)
        # An item's sigmoid(0) with itself is the half that is taken off again.
        rank = 0.5 + tf.reduce_sum(tf.where(there[:, None, :], ahead, 0.0), axis=2)
        gains = tf.pow(2.0, labels) - 1.0
        found = tf.reduce_sum(gains * _discount(rank), axis=1)
        places = tf.range(1, tf.shape(labels)[1] + 1)
        best = tf.reduce_sum(
            tf.sort(gains, axis=1, direction="DESCENDING") * _discount(tf.cast(places, tf.float32)), axis=1
        )
        lost = 1.0 - tf.math.divide_no_nan(found, best)
        return _mean_over_positives(weights * tf.cast(labels > 0.0, tf.float32), labels) * lost

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


def _mean_over_positives(values, labels):
    positives = tf.cast(labels > 0.0, tf.float32)
    return tf.reduce_sum(values * positives, axis=1) / tf.maximum(tf.reduce_sum(positives, axis=1), 1.0)


def _discount(rank):
    return tf.math.log(2.0) / tf.math.log1p(rank)
