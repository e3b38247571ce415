"""Shares estimated from a stream, where the arithmetic can be followed."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.losses.streaming_frequency import StreamingFrequency


def shares(frequency, *items) -> np.ndarray:
    return frequency.share(tf.constant(items)).numpy()


def test_by_hand():
    frequency = StreamingFrequency(4, rate=0.5)
    for batch in ([1, 1, 2, 3], [2, 2, 2, 3], [1, 3, 3, 3]):
        frequency.update(tf.constant(batch, tf.int32))
    # Item 1 in steps 1 and 3: gaps 1 and 2, so 1.5; two and one at a time, so 1.5: 1.5 / (4 * 1.5).
    # Item 2 in steps 1 and 2: gap 1; one and three at a time, so 2: 2 / (4 * 1).
    # Item 3 in all: gap 1; 1, 1 and 3 at a time, so 2: 2 / 4.
    np.testing.assert_allclose(shares(frequency, 1, 2, 3), [0.25, 0.5, 0.5], rtol=1e-6)


def test_padding_is_no_example():
    frequency = StreamingFrequency(3)
    for _ in range(5):
        frequency.update(tf.constant([1, 1, 2, 0, 0, 0, 0, 0], tf.int32))
    np.testing.assert_allclose(shares(frequency, 1, 2), [2 / 3, 1 / 3], rtol=1e-6)


def test_frequent_items_are_close_and_a_change_is_followed():
    random = np.random.default_rng(0)
    frequency = StreamingFrequency(9, rate=0.01)
    update = tf.function(frequency.update, jit_compile=True)
    true = np.array([0.3, 0.25, 0.2, 0.1, 0.08, 0.04, 0.02, 0.01])
    for now in (true, true[::-1]):
        for _ in range(700):
            update(tf.constant(random.choice(np.arange(1, 9), 32, p=now), tf.int32))
        found = shares(frequency, *range(1, 9))
        is_frequent = now >= 0.08
        assert np.abs(found / now - 1)[is_frequent].max() < 0.12, found / now
    assert found[7] > 10 * true[7]


@pytest.mark.parametrize("xla", [False, True])
def test_only_the_batchs_items_are_written(xla):
    frequency = StreamingFrequency(5)
    update = tf.function(frequency.update, jit_compile=xla)
    update(tf.constant([1, 2, 2], tf.int32))
    update(tf.constant([3, 3, 3], tf.int32))
    assert frequency.last.numpy().tolist() == [0, 1, 1, 2, 0]
    assert frequency.at_a_time.numpy().tolist() == [0.0, 1.0, 2.0, 3.0, 0.0]
