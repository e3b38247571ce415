"""What the stages minimise, against SciPy and by hand."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from scipy.stats import entropy

from mmrec_tf.pretraining.objectives import divergence, masked_mean, squared_distance

NAN = float("nan")


def test_divergence_is_scipys_over_the_columns_that_count():
    random = np.random.default_rng(0)
    target, found = random.normal(size=[2, 3, 4]) * 3
    counted = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 1, 0]], bool)
    expected = [entropy(softmax(target[row][counted[row]]), softmax(found[row][counted[row]])) for row in range(3)]
    result = divergence(tf.constant(target), tf.constant(found), tf.constant(counted))
    # One column alone has all of the weight in both, so the last is 0.
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_where_nothing_counts_there_is_no_divergence_and_no_gradient():
    found = tf.Variable([[1.0, 2.0]])
    with tf.GradientTape() as tape:
        result = divergence(tf.constant([[3.0, 0.0]]), found, tf.zeros([1, 2], tf.bool))
    assert result.numpy() == [0.0]
    np.testing.assert_array_equal(tape.gradient(result, found), [[0.0, 0.0]])


def test_the_target_of_a_divergence_learns_nothing():
    target = tf.Variable([[1.0, 2.0]])
    with tf.GradientTape() as tape:
        result = divergence(target, tf.constant([[0.0, 0.0]]), tf.ones([1, 2], tf.bool))
    assert result.numpy()[0] > 0.0 and tape.gradient(result, target) is None


def test_masked_mean_ignores_what_is_not_counted_whatever_it_holds():
    assert masked_mean(tf.constant([1.0, NAN, 4.0]), tf.constant([True, False, True])).numpy() == 2.5
    assert masked_mean(tf.constant([NAN]), tf.constant([False])).numpy() == 0.0


def test_squared_distance_by_hand():
    found = tf.constant([[1.0, 2.0], [0.0, 0.0], [5.0, 5.0]])
    wanted = tf.constant([[0.0, 0.0], [3.0, 4.0], [NAN, 5.0]])
    # 1 + 4 = 5 and 9 + 16 = 25; the third row does not count.
    assert squared_distance(found, wanted, tf.constant([True, True, False])).numpy() == 15.0


def test_squared_distance_has_no_gradient_at_what_is_not_counted():
    found = tf.Variable([[1.0, 2.0], [3.0, 3.0]])
    with tf.GradientTape() as tape:
        loss = squared_distance(found, tf.constant([[0.0, 0.0], [NAN, 0.0]]), tf.constant([True, False]))
    # d/df of f^2 is 2 f, over one counted row.
    np.testing.assert_array_equal(tape.gradient(loss, found), [[2.0, 4.0], [0.0, 0.0]])


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_is_summed_in_full(dtype):
    # 70000 is no float16, and 256 + 1 no bfloat16.
    values = tf.fill([300], tf.cast(256.0, dtype))
    result = masked_mean(tf.concat([values, tf.cast([257.0], dtype)], axis=0), tf.ones([301], tf.bool))
    assert result.dtype == tf.float32 and np.isfinite(result.numpy()) and result.numpy() == pytest.approx(256, abs=0.1)
