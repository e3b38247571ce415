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


def test_nothing_graded_is_no_loss():
    assert float(GradedLikes(SHARES, 1)(tf.ones([2, 1]), -tf.ones([2, 1], tf.int32), tf.ones([2, 1]))) == 0.0


@pytest.mark.parametrize("shares, like", [([0.5, 0.5], 0), (SHARES, 3), (SHARES, -1)])
def test_what_are_no_grades_is_refused(shares, like):
    with pytest.raises(ValueError, match="three or more"):
        GradedLikes(shares, like)
