"""Who may look at whom in a history, and how much."""

import numpy as np
import tensorflow as tf

from mmrec_tf.models.history.attention import attended_by, attention


def test_nobody_looks_ahead_or_at_padding():
    present = tf.constant([[True, True, True], [False, True, True]])
    assert attended_by(present).numpy().astype(int).tolist() == [
        [[1, 0, 0], [1, 1, 0], [1, 1, 1]],
        [[0, 0, 0], [0, 1, 0], [0, 1, 1]],
    ]


def test_by_hand():
    queries = tf.constant([[4.0, 0, 0, 0], [0.0, 2, 0, 0], [1.0, 0, 0, 0]])
    keys = tf.constant([[1.0, 0, 0, 0], [0.0, 1, 0, 0], [0.0, 0, 0, 0]])
    bias = tf.constant([[0.0, 1, 0]] * 3)
    attended = tf.constant([[True, True, False], [False, True, False], [False, False, False]])
    # Products over the root of 4, and the bias: 2 and 1; the second alone; nothing.
    expected = [[np.e / (np.e + 1), 1 / (np.e + 1), 0], [0, 1, 0], [0, 0, 0]]
    np.testing.assert_allclose(attention(queries, keys, bias, attended), expected, rtol=1e-6)


def test_large_scores_are_finite_also_in_float16():
    with tf.GradientTape() as tape:
        queries = tf.constant([[60.0, 0], [60, 0]], tf.float16)
        tape.watch(queries)
        weights = attention(queries, queries, tf.zeros([2, 2]), tf.constant([[True, False], [False, False]]))
    assert weights.dtype == tf.float16
    assert weights.numpy().tolist() == [[1, 0], [0, 0]]
    assert np.isfinite(tape.gradient(weights, queries).numpy()).all()
