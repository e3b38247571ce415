"""Losses over groups of items, by hand."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from sklearn.metrics import ndcg_score

from mmrec_tf.losses.listwise_losses import ApproxNdcgLoss, ListMleLoss, PairwiseLoss, SoftmaxListLoss

ALL = pytest.mark.parametrize("loss", [SoftmaxListLoss(), PairwiseLoss(), ListMleLoss(), ApproxNdcgLoss()])
LN2, LN3 = np.log(2.0), np.log(3.0)


def judged(loss, labels, scores, weights=None) -> float:
    arrays = [np.asarray(x, np.float32) for x in (labels, scores, np.ones_like(labels) if weights is None else weights)]
    return float(loss(*arrays))


@ALL
def test_who_is_no_member_of_a_group_has_no_influence(loss):
    labels, scores = [[1, 0, 0]], [[0.3, 1.0, -0.5]]
    without = judged(loss, labels, scores)
    for score in (50.0, -50.0):
        padded = judged(loss, [[*labels[0], 1]], [[*scores[0], score]], [[1, 1, 1, 0]])
        assert padded == pytest.approx(without, rel=1e-5)


@ALL
def test_groups_without_a_positive_or_a_negative_count_nothing(loss):
    scores = [[0.3, 1.0, -0.5], [0.3, 1.0, -0.5]]
    one = judged(loss, [[0, 1, 0]], scores[:1])
    assert judged(loss, [[0, 1, 0], [0, 0, 0]], scores) == pytest.approx(one / 2, rel=1e-5)
    assert judged(loss, [[0, 0, 0]], scores[:1]) == 0.0
    assert judged(loss, [[1.0]], [[3.0]]) == pytest.approx(0.0, abs=1e-6)
    assert judged(loss, [[0, 1, 0]], scores[:1], [[0, 0, 0]]) == 0.0


@ALL
def test_scores_may_be_shifted_and_positives_count_by_their_weight(loss):
    labels, scores = [[1, 0, 0]], np.array([[0.3, 1.0, -0.5]])
    plain = judged(loss, labels, scores)
    assert judged(loss, labels, scores + 7.0) == pytest.approx(plain, rel=1e-4)
    assert judged(loss, labels, scores, [[0.25, 1, 1]]) == pytest.approx(0.25 * plain, rel=1e-5)


@ALL
def test_gradient_raises_the_positive_under_xla_too(loss):
    labels, weights = tf.constant([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), tf.constant([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    scores = tf.Variable([[0.3, -0.2, 0.1], [100.0, -100.0, 0.0]])

    def gradient():
        with tf.GradientTape() as tape:
            value = loss(labels, scores, weights)
        return tape.gradient(value, scores)

    found = gradient().numpy()
    assert found[0, 1] < 0.0 and found[0, 0] > 0.0 and found[0, 2] > 0.0 and not found[1].any()
    np.testing.assert_allclose(tf.function(gradient, jit_compile=True)().numpy(), found, rtol=1e-4, atol=1e-6)


@ALL
def test_scores_in_half_precision_are_judged_in_float32(loss):
    value = loss(tf.constant([[1.0, 0.0]]), tf.constant([[0.5, 1.0]], tf.bfloat16))
    assert value.dtype == tf.float32 and np.isfinite(value)


@ALL
def test_comes_back_from_its_configuration(loss):
    copy = tf_keras.saving.deserialize_keras_object(tf_keras.saving.serialize_keras_object(loss))
    assert type(copy) is type(loss) and copy.get_config() == loss.get_config()


def test_softmax_by_hand():
    # Chances 3/4 and 1/4 of scores log 3 and 0; the second group has two positives of the same score as one negative.
    found = judged(SoftmaxListLoss(), [[0, 1, 0], [1, 1, 0]], [[LN3, 0, -99], [1, 1, 1]])
    assert found == pytest.approx((np.log(4) + LN3) / 2, rel=1e-5)


def test_pairwise_by_hand():
    # The positive, 0, behind log 3 and before -log 3: log(1 + 3) and log(1 + 1/3), over two pairs.
    assert judged(PairwiseLoss(), [[1, 0, 0]], [[0, LN3, -LN3]]) == pytest.approx((np.log(4) + np.log(4 / 3)) / 2)
    # Grades 2 > 1 > 0 with one score each 0: three pairs of log 2.
    assert judged(PairwiseLoss(), [[2, 1, 0]], [[0, 0, 0]]) == pytest.approx(LN2)


def test_list_mle_by_hand():
    # The likelihood of the order 3, 2, 1 of powers 1, 2, 3 is 1/6 * 2/5 * 1; the last place, grade 0, is no choice.
    scores = np.log([[3.0, 2.0, 1.0]])
    assert judged(ListMleLoss(), [[0, 1, 2]], scores) == pytest.approx(-np.log(1 / 6 * 2 / 5) / 2, rel=1e-5)
    # Two of one grade are both chosen out of all: 3/6 and 2/6.
    assert judged(ListMleLoss(), [[1, 1, 0]], scores) == pytest.approx(-np.log(3 / 6 * 2 / 6) / 2, rel=1e-5)


def test_list_mle_of_one_positive_is_the_softmax():
    labels, scores = [[0, 0, 1, 0]], [[0.5, -1.0, 0.2, 2.0]]
    assert judged(ListMleLoss(), labels, scores) == pytest.approx(judged(SoftmaxListLoss(), labels, scores))


def test_approx_ndcg_by_hand():
    # The positive at 0 with one at 0 and one at log 3 beside it: rank 1 + 1/2 + 3/4 = 2.25; the best DCG is 1.
    found = judged(ApproxNdcgLoss(), [[1, 0, 0]], [[0, 0, LN3]])
    assert found == pytest.approx(1 - 1 / np.log2(3.25), rel=1e-5)
    # Half the temperature, twice the difference: 9/10 for 3/4.
    found = judged(ApproxNdcgLoss(temperature=0.5), [[1, 0, 0]], [[0, 0, LN3]])
    assert found == pytest.approx(1 - 1 / np.log2(3.4), rel=1e-5)


def test_approx_ndcg_of_scores_far_apart_is_the_ndcg():
    labels, scores = np.array([[3, 0, 1, 2]]), np.array([[10.0, 40.0, 30.0, 20.0]])
    expected = 1 - ndcg_score(2.0**labels - 1, scores)
    assert judged(ApproxNdcgLoss(), labels, scores) == pytest.approx(expected, rel=1e-3)
