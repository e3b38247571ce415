"""Adam by rows, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.training.lazy_adam import LazyAdam, summed_rows

LOOKUPS = ([1, 3, 1], [0, 1, 1], [3, 0, 2])


def numpy_steps(table, rate=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """The loss is the sum of the looked up numbers times 1, 2, ...: a gradient of that for every lookup."""
    table, m, v = table.copy(), np.zeros_like(table), np.zeros_like(table)
    for step, rows in enumerate(LOOKUPS, 1):
        gradient = np.zeros_like(table)
        np.add.at(gradient, rows, np.arange(1.0, 4.0)[:, None])
        touched = np.unique(rows)
        m[touched] = beta_1 * m[touched] + (1 - beta_1) * gradient[touched]
        v[touched] = beta_2 * v[touched] + (1 - beta_2) * gradient[touched] ** 2
        scale = rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        table[touched] -= scale * m[touched] / (np.sqrt(v[touched]) + epsilon)
    return table, m, v


@pytest.mark.parametrize("xla", [False, True])
def test_steps_against_numpy(xla):
    start = np.random.default_rng(0).normal(size=[5, 2]).astype(np.float32)
    # A variable may share the memory of the array that it was made from.
    table, optimizer = tf.Variable(start.copy()), LazyAdam(0.1)
    optimizer.build([table])

    @tf.function(jit_compile=xla)
    def step(rows):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(table, rows) * tf.range(1.0, 4.0)[:, None])
        gradients = tape.gradient(loss, [table])
        assert isinstance(gradients[0], tf.IndexedSlices)
        optimizer.apply_gradients(zip(gradients, [table]))

    for rows in LOOKUPS:
        step(tf.constant(rows))
    expected = numpy_steps(start)
    for found, wanted in zip((table, optimizer._momentums[0], optimizer._velocities[0]), expected):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4)
    # Row 4 was never looked up.
    np.testing.assert_array_equal(table.numpy()[4], start[4])


def test_dense_gradients_are_adams():
    values = [tf.Variable([1.0, -2.0]) for _ in range(2)]
    for variable, optimizer in zip(values, (LazyAdam(0.1), tf_keras.optimizers.Adam(0.1))):
        for step in range(4):
            optimizer.apply_gradients([(tf.constant([0.5, step * 1.0]), variable)])
    np.testing.assert_array_equal(values[0].numpy(), values[1].numpy())


def test_gradients_are_clipped_by_the_norm_of_all():
    table = tf.Variable(np.zeros([3, 2], np.float32))
    optimizer = LazyAdam(0.1, global_clipnorm=1.0)
    rows = tf.IndexedSlices(tf.constant([[3.0, 0.0], [0.0, 4.0]]), tf.constant([0, 2]), tf.constant([3, 2]))
    optimizer.apply_gradients([(rows, table)])
    # The norm is 5, so the gradient is divided by it, and the first moments are a tenth of that.
    np.testing.assert_allclose(optimizer._momentums[0].numpy(), [[0.06, 0], [0, 0], [0, 0.08]], rtol=1e-5)


def test_rows_are_summed():
    sums, rows = summed_rows(tf.constant([[1.0], [2.0], [4.0], [8.0]]), tf.constant([7, 2, 7, 7]))
    assert rows.numpy().tolist() == [2, 7, 7, 7]
    assert sums.numpy().ravel().tolist() == [2.0, 13.0, 13.0, 13.0]


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="LazyAdam has no amsgrad"):
        LazyAdam(amsgrad=True)
