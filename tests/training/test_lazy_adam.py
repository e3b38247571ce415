"""Adam by rows, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.fused_adam import FusedAdam
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
    values = [tf.Variable([1.0, -2.0]) for _ in range(3)]
    for variable, optimizer in zip(values, (LazyAdam(0.1), FusedAdam(0.1), tf_keras.optimizers.Adam(0.1))):
        for step in range(4):
            optimizer.apply_gradients([(tf.constant([0.5, step * 1.0]), variable)])
    np.testing.assert_array_equal(values[0].numpy(), values[1].numpy())
    # The kernel's 1 - beta_2 is off by 5e-5 of itself.
    np.testing.assert_allclose(values[0].numpy(), values[2].numpy(), rtol=1e-4)


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
    # What is left of the sorted rows adds nothing.
    assert sums.numpy().ravel().tolist() == [2.0, 13.0, 0.0, 0.0]


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="LazyAdam has no amsgrad"):
        LazyAdam(amsgrad=True)


@pytest.mark.parametrize("xla", [False, True])
def test_lookups_of_a_row_are_summed_before_they_are_clipped(xla):
    # Four lookups of 1 are a gradient of 4, clipped to 1: the first moment is a tenth of that, (1 - beta_1) * 1.
    table, optimizer = tf.Variable(np.zeros([3, 1], np.float32)), LazyAdam(0.1, global_clipnorm=1.0)
    optimizer.build([table])

    @tf.function(jit_compile=xla)
    def step():
        rows = tf.IndexedSlices(tf.ones([4, 1]), tf.constant([1, 1, 1, 1]), tf.constant([3, 1]))
        optimizer.apply_gradients([(rows, table)])

    step()
    np.testing.assert_allclose(optimizer._momentums[0].numpy().ravel(), [0.0, 0.1, 0.0], rtol=1e-5)


def test_rows_that_are_not_looked_up_keep_their_moments_to_the_bit():
    random = np.random.default_rng(0)
    table, optimizer = tf.Variable(random.normal(size=[6, 3]).astype(np.float32)), LazyAdam(0.1, global_clipnorm=1.0)

    def step(rows):
        values = tf.constant(random.normal(size=[len(rows), 3]), tf.float32)
        optimizer.apply_gradients([(tf.IndexedSlices(values, tf.constant(rows), tf.constant([6, 3])), table)])

    step([0, 1, 2, 3])
    before = [variable.numpy() for variable in (table, optimizer._momentums[0], optimizer._velocities[0])]
    for _ in range(3):
        step([5, 2, 5])
    for was, variable in zip(before, (table, optimizer._momentums[0], optimizer._velocities[0])):
        np.testing.assert_array_equal(variable.numpy()[[0, 1, 3, 4]], was[[0, 1, 3, 4]])
        assert (variable.numpy()[[2, 5]] != was[[2, 5]]).all()


@pytest.mark.parametrize("options", [{}, {"adaptive_epsilon": True, "epsilon": 0.01}, {"clipnorm": 0.5}])
def test_steps_that_look_up_every_row_once_are_adams(options):
    # No row is left whose moments Adam would decay and this does not. Tables may be of any rank.
    for shape in ([3], [3, 2], [3, 2, 2]):
        start = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        tables = [tf.Variable(start.copy()), tf.Variable(start.copy())]
        for table, kind in zip(tables, (LazyAdam, tf_keras.optimizers.Adam)):
            optimizer = kind(0.1, **options)
            for _ in range(2):
                rows = tf.IndexedSlices(tf.constant(start[::-1].copy()), tf.constant([2, 0, 1]), tf.constant(shape))
                optimizer.apply_gradients([(rows, table)])
        np.testing.assert_allclose(tables[0].numpy(), tables[1].numpy(), rtol=1e-5)


def test_no_lookups_change_nothing():
    table, optimizer = tf.Variable(np.ones([3, 2], np.float32)), LazyAdam(0.1, global_clipnorm=1.0)
    rows = tf.IndexedSlices(tf.zeros([0, 2]), tf.zeros([0], tf.int32), tf.constant([3, 2]))
    optimizer.apply_gradients([(rows, table)])
    np.testing.assert_array_equal(table.numpy(), np.ones([3, 2]))
