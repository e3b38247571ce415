"""Adam with a rate of each weight's own."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.training.layerwise_adam import LayerwiseAdam


def variables():
    return [tf.Variable([1.0, -2.0]), tf.Variable([[3.0]]), tf.Variable([4.0])]


def gradients(step):
    return [tf.constant([0.3, -0.1]) * step, tf.constant([[2.0]]) / step, tf.constant([5.0])]


def run(optimizer, steps=5):
    weights = variables()
    for step in range(1, steps + 1):
        optimizer.apply_gradients(zip(gradients(step), weights))
    return [weight.numpy() for weight in weights]


def test_the_first_step_has_the_size_of_the_rate():
    # Adam's first step is the learning rate, whatever the gradient's size; so scaling that would not slow a weight.
    moved = run(LayerwiseAdam(0.1, [1.0, 0.5, 0.0]), steps=1)
    np.testing.assert_allclose(moved[0], [0.9, -1.9], atol=1e-5)
    np.testing.assert_allclose(moved[1], [[2.95]], atol=1e-5)
    np.testing.assert_array_equal(moved[2], [4.0])


def test_with_one_rate_it_is_adam():
    schedule = tf_keras.optimizers.schedules.CosineDecay(0.0, 5, warmup_target=0.1, warmup_steps=2)
    for options in ({}, {"global_clipnorm": 1.0}):
        found = run(LayerwiseAdam(schedule, [1.0] * 3, **options))
        for value, expected in zip(found, run(tf_keras.optimizers.Adam(schedule, **options))):
            np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_half_the_rate_is_adam_at_half_the_rate():
    found = run(LayerwiseAdam(0.1, [1.0, 0.5, 1.0]))
    np.testing.assert_allclose(found[1], run(tf_keras.optimizers.Adam(0.05))[1], rtol=1e-5)


def test_sparse_gradients():
    table, optimizer = tf.Variable(tf.ones([3, 2])), LayerwiseAdam(0.1, [1.0])
    optimizer.apply_gradients([(tf.IndexedSlices(tf.ones([2, 2]), [1, 1], dense_shape=[3, 2]), table)])
    np.testing.assert_allclose(table, [[1, 1], [0.9, 0.9], [1, 1]], atol=1e-5)


def test_a_rate_for_each_weight():
    with pytest.raises(ValueError, match="2 rates were given for 3 weights"):
        run(LayerwiseAdam(0.1, [1.0, 1.0]))


def test_from_config():
    optimizer = tf_keras.optimizers.deserialize(tf_keras.optimizers.serialize(LayerwiseAdam(0.1, [1.0, 0.5])))
    assert isinstance(optimizer, LayerwiseAdam) and optimizer.rates == [1.0, 0.5]
