import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.models.row_sums import on_plain_cpu, row_sums

RANDOM = np.random.default_rng(3)
TABLE = RANDOM.normal(size=(9, 4)).astype(np.float32)
INDEX = RANDOM.integers(0, 9, (5, 6)).astype(np.int32)
PRESENT = RANDOM.random((5, 6)) < 0.6
PRESENT[2] = False
SUMS = np.stack([sum((TABLE[row] for row in rows[there]), np.zeros(4)) for rows, there in zip(INDEX, PRESENT)])
COUNTS = np.bincount(INDEX[PRESENT], minlength=9)[:, None] * np.ones((1, 4))


def kernels(call) -> set[str]:
    return {operation.type for operation in tf.function(call).get_concrete_function().graph.get_operations()}


def sums_and_gradient():
    with tf.GradientTape() as tape:
        table = tf.constant(TABLE)
        tape.watch(table)
        sums = row_sums(table, tf.constant(INDEX), tf.constant(PRESENT))
        total = tf.reduce_sum(sums)
    return sums, tf.convert_to_tensor(tape.gradient(total, table))


@pytest.mark.parametrize("is_plain", [False, True])
def test_sums_and_their_gradient(is_plain):
    with on_plain_cpu(is_plain):
        sums, gradient = tf.function(sums_and_gradient)()
    np.testing.assert_allclose(sums, SUMS, rtol=1e-5)
    # A row's gradient is how often it was named by somebody for whom it is there.
    np.testing.assert_allclose(gradient, COUNTS)


def test_xla_compiles_it_as_it_is():
    sums, gradient = tf.function(sums_and_gradient, jit_compile=True)()
    np.testing.assert_allclose(sums, SUMS, rtol=1e-5)
    np.testing.assert_allclose(gradient, COUNTS)


def test_rows_are_gathered_but_where_everything_is_a_plain_cpu():
    def call():
        return row_sums(tf.constant(TABLE), tf.constant(INDEX), tf.constant(PRESENT))

    assert "GatherV2" in kernels(call) and not any("Segment" in name for name in kernels(call))
    with on_plain_cpu():
        assert "SparseSegmentSumWithNumSegments" in kernels(call)
    with on_plain_cpu(False):
        assert not any("Segment" in name for name in kernels(call))
    assert not any("Segment" in name for name in kernels(call))


@pytest.mark.parametrize("xla", [False, True])
def test_rows_of_a_small_table_are_counted(xla):
    # Four rows of three numbers: no more than twice as many rows as columns.
    table, index = TABLE[:4, :3], np.array([[1, 1, 3], [2, 0, 2]], np.int32)
    present = np.array([[True, True, True], [True, False, False]])

    @tf.function(jit_compile=xla)
    def call():
        return row_sums(tf.constant(table), tf.constant(index), tf.constant(present))

    np.testing.assert_allclose(call(), [2 * table[1] + table[3], table[2]], rtol=1e-6)
    assert "OneHot" in kernels(call.python_function)


def test_nobody_names_a_row():
    with on_plain_cpu(), tf.GradientTape() as tape:
        table = tf.Variable(tf.ones([20_000, 32]))
        sums = row_sums(tf.convert_to_tensor(table), tf.zeros([5, 6], tf.int32), tf.zeros([5, 6], tf.bool))
        # What the allocator gives next has held this.
        held = tf.fill([20_000, 32], np.nan)
    del held
    np.testing.assert_array_equal(sums.numpy(), np.zeros([5, 32]))
    np.testing.assert_array_equal(tf.convert_to_tensor(tape.gradient(sums, table)).numpy(), np.zeros([20_000, 32]))


def test_nobody():
    with on_plain_cpu():
        empty = row_sums(tf.constant(TABLE), tf.zeros([0, 6], tf.int32), tf.zeros([0, 6], tf.bool))
    assert empty.shape == (0, 4)


def test_half_precision_is_summed_as_before():
    with on_plain_cpu():
        found = row_sums(tf.cast(TABLE, tf.bfloat16), tf.constant(INDEX), tf.constant(PRESENT))
    assert found.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(found, tf.float32), SUMS, atol=0.1)
