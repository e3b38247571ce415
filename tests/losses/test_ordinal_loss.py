"""Ratings as ordered levels, by hand."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.losses.ordinal_loss import OrdinalLoss, OrdinalThresholds
from tests.layer_checks import check_layer

SCORES = np.array([0.0, 1.5, -2.0], np.float32)
LEVELS = [1.0, 2.0, 4.0, 5.0]


def test_thresholds_pass_the_layer_checks(tmp_path):
    check_layer(lambda: OrdinalThresholds(LEVELS), SCORES, tmp_path, expected_shape=(3, 3), has_float32_output=True)


def test_levels_are_equally_likely_at_the_start():
    above = tf.sigmoid(OrdinalThresholds(LEVELS)(SCORES)).numpy()
    np.testing.assert_allclose(above[0], [0.75, 0.5, 0.25], rtol=1e-5)


def test_thresholds_and_expected_ratings_by_hand():
    thresholds = OrdinalThresholds([1.0, 2.0, 5.0])
    thresholds(SCORES)
    # The second stands softplus(log(e^2 - 1)) = 2 above the first.
    thresholds.raw.assign([-1.0, np.log(np.exp(2.0) - 1.0)])
    logits = thresholds(np.array([0.5], np.float32))
    np.testing.assert_allclose(logits, [[1.5, -0.5]], rtol=1e-5)
    # log 3 is a chance of 3/4 of being above 1, 0 one of 1/2 of being above 2: 1 + 1 * 3/4 + 3 * 1/2
    assert thresholds.expected(tf.constant([[np.log(3.0), 0.0]], tf.float32)).numpy() == pytest.approx([3.25])


def test_thresholds_rise_whatever_is_learned():
    thresholds = OrdinalThresholds(LEVELS)
    thresholds(SCORES)
    thresholds.raw.assign([3.0, -9.0, 5.0])
    assert (np.diff(thresholds(SCORES).numpy(), axis=1) < 0).all()


def test_loss_by_hand():
    # Above 1: 3/4, above 2: 1/2, above 4: 1/4: each of the four levels has a chance of 1/4.
    logits = np.log([[3.0, 1.0, 1 / 3]]).astype(np.float32)
    loss = OrdinalLoss(LEVELS)
    for rating in LEVELS:
        assert float(loss(np.array([[rating]]), logits)) == pytest.approx(np.log(4.0), rel=1e-5)
    # Above 1: 9/10, above 2: 1/2, above 4: 1/4; 3.5 counts as the nearer level, 4, and 0 as 1.
    logits = np.log([[9.0, 1.0, 1 / 3]]).astype(np.float32)
    for rating, chance in ((1.0, 0.1), (2.0, 0.4), (3.5, 0.25), (5.0, 0.25), (0.0, 0.1)):
        assert float(loss(np.array([[rating]]), logits)) == pytest.approx(-np.log(chance), rel=1e-5)


def test_pairs_count_by_their_weight():
    logits = np.log([[3.0, 1.0, 1 / 3]] * 2).astype(np.float32)
    ratings, weights = np.array([[1.0], [5.0]]), np.array([1.0, 0.0])
    assert float(OrdinalLoss(LEVELS)(ratings, logits, weights)) == pytest.approx(np.log(4.0) / 2, rel=1e-5)


def test_loss_is_finite_far_out():
    logits = tf.constant([[90.0, 89.99, -90.0], [-90.0, -90.01, -95.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = OrdinalLoss(LEVELS)(tf.constant([[1.0], [5.0]]), logits)
    assert np.isfinite(loss) and np.isfinite(tape.gradient(loss, logits)).all()


@pytest.mark.parametrize("xla", [False, True])
def test_levels_that_have_come_together_leave_the_loss_finite(xla):
    @tf.function(jit_compile=xla)
    def loss_and_gradient(ratings, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = OrdinalLoss([1, 2, 3])(ratings, logits)
        return loss, tape.gradient(loss, logits)

    # -log sigmoid(-8), whatever there is of the level between the two.
    loss, gradient = loss_and_gradient(tf.constant([[1.0]]), tf.constant([[8.0, 8.0]]))
    assert float(loss) == pytest.approx(np.log1p(np.exp(8.0)), rel=1e-5)
    assert np.isfinite(gradient).all()
    # Of a rating of that level the two thresholds are drawn apart.
    loss, gradient = loss_and_gradient(tf.constant([[2.0]]), tf.constant([[0.0, 0.0]]))
    assert np.isfinite(loss) and gradient[0, 0] < 0.0 < gradient[0, 1]


def test_refuses_levels_that_do_not_rise():
    for levels in ([1.0], [1.0, 1.0], [2.0, 1.0]):
        with pytest.raises(ValueError, match="two or more rising ratings"):
            OrdinalThresholds(levels)
