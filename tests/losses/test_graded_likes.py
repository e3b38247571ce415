"""The likelihood of grades, by hand."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from mmrec_tf.losses.graded_likes import GradedLikes

SHARES = [0.1, 0.2, 0.3, 0.4]


def test_thresholds_start_where_the_shares_put_them_and_that_of_likes_is_0():
    likes = GradedLikes(SHARES, like=1)
    thresholds = likes.thresholds.numpy()
    assert thresholds[1] == 0.0
    # At the score at which likes come as often as they do, so do all grades.
    score = np.log(0.7 / 0.3)
    np.testing.assert_allclose(expit(score - thresholds), [0.9, 0.7, 0.4], rtol=1e-5)


@pytest.mark.parametrize("like", [0, 1, 2])
def test_thresholds_rise_whatever_is_learned(like):
    likes = GradedLikes(SHARES, like)
    likes.gaps.assign([-9.0, 3.0])
    assert (np.diff(likes.thresholds.numpy()) > 0).all() and likes.thresholds.numpy()[like] == 0.0


def test_loss_by_hand():
    likes = GradedLikes(SHARES, like=1)
    low, _, high = likes.thresholds.numpy().astype(float)
    scores = np.array([[0.5, -1.0], [2.0, 0.3]])
    grades, weights = np.array([[0, 1], [3, -1]]), np.array([[1.0, 2.0], [0.5, 4.0]])
    chances = [1 - expit(0.5 - low), expit(-1.0 - low) - expit(-1.0), expit(2.0 - high)]
    expected = -(np.log(chances) @ [1.0, 2.0, 0.5]) / 3.5
    found = likes(tf.constant(scores, tf.float32), tf.constant(grades, tf.int32), tf.constant(weights, tf.float32))
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("xla", [False, True])
def test_grades_that_have_come_together_leave_the_loss_finite(xla):
    likes = GradedLikes(SHARES, like=1)
    # A softplus of 2e-9, beside which e^-gap is 1.
    likes.gaps.assign([-20.0, 1.0])
    scores, grades = tf.constant([0.5, -1.0, 0.5]), tf.constant([0, 1, 3])

    @tf.function(jit_compile=xla)
    def loss_and_gradients(weights):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            loss = likes(scores, grades, weights)
        return loss, tape.gradient(loss, [scores, likes.gaps])

    for weights in ([1.0, 0.0, 1.0], [1.0, 1.0, 1.0]):
        loss, gradients = loss_and_gradients(tf.constant(weights))
        assert np.isfinite(loss) and all(np.isfinite(gradient).all() for gradient in gradients)
    high = np.log1p(np.e)
    expected = (np.log1p(np.exp(0.5)) + np.log1p(np.exp(high - 0.5))) / 2
    assert float(loss_and_gradients(tf.constant([1.0, 0.0, 1.0]))[0]) == pytest.approx(expected, rel=1e-5)


def test_nothing_graded_is_no_loss():
    assert float(GradedLikes(SHARES, 1)(tf.ones([2, 1]), -tf.ones([2, 1], tf.int32), tf.ones([2, 1]))) == 0.0


@pytest.mark.parametrize("shares, like", [([0.5, 0.5], 0), (SHARES, 3), (SHARES, -1)])
def test_what_are_no_grades_is_refused(shares, like):
    with pytest.raises(ValueError, match="three or more"):
        GradedLikes(shares, like)
