"""Kernels with weights left out or shared."""

import numpy as np
import pytest
import tf_keras

from mmrec_tf.serving.thin_kernels import pruned, shared, thinned


def test_the_smallest_weights_are_left_out():
    kernel = np.array([[3.0, -0.5, 2.0], [-4.0, 0.25, -1.0]], np.float32)
    assert pruned(kernel, 0.5).tolist() == [[3.0, 0.0, 2.0], [-4.0, 0.0, 0.0]]
    assert pruned(kernel, 0.0).tolist() == kernel.tolist()
    # Of equal ones as many as are asked for, and no more.
    assert np.count_nonzero(pruned(np.ones((4, 4), np.float32), 0.25)) == 12


def test_weights_are_shared_by_those_that_are_near():
    # Three groups, whose means are 1, 5 and -2.
    kernel = np.array([[0.9, 5.2, -2.0], [1.1, 4.8, -2.0]], np.float32)
    np.testing.assert_allclose(shared(kernel, 3), [[1.0, 5.0, -2.0], [1.0, 5.0, -2.0]], rtol=1e-6)
    kernel = np.random.default_rng(1).normal(size=(40, 30)).astype(np.float32)
    thin = shared(kernel)
    assert len(np.unique(thin)) <= 16 and thin.dtype == np.float32
    for value in np.unique(thin):
        assert kernel[thin == value].mean() == pytest.approx(value, abs=1e-5)
    assert shared(np.full((2, 2), 0.5, np.float32)).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_a_model_is_as_it_was_behind_the_block():
    model = tf_keras.Sequential([tf_keras.layers.Embedding(5, 4), tf_keras.layers.Dense(3), tf_keras.layers.Dense(2)])
    model(np.array([[1]]))
    before = model.get_weights()
    with pytest.raises(RuntimeError), thinned(model, pruned) as count:
        inside = model.get_weights()
        raise RuntimeError
    assert count == 2
    assert np.count_nonzero(inside[1]) == 6 and np.count_nonzero(inside[3]) == 3
    assert np.array_equal(inside[0], before[0])
    assert all(np.array_equal(one, other) for one, other in zip(model.get_weights(), before))
