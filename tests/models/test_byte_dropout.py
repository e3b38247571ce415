"""Dropout by bytes: what is kept, how often, and what it is worth."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.models.byte_dropout import ByteDropout, random_bytes


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("shape", [(300, 128), (1, 7), (40, 30, 5)])
def test_kept_units_are_scaled_by_the_rate_in_force(shape, xla):
    drop = ByteDropout(0.2)
    found = tf.function(lambda x: drop(x, training=True), jit_compile=xla)(tf.ones(shape)).numpy()
    # round(0.2 * 256) = 51 of 256 levels are dropped, so that 205 are kept.
    kept = found != 0
    np.testing.assert_allclose(found[kept], 256 / 205, rtol=1e-6)
    deviation = np.sqrt(51 / 256 * 205 / 256 / kept.size)
    assert abs(kept.mean() - 205 / 256) < 5 * deviation


def test_units_are_dropped_alone():
    # Of one random integer come four bytes: none may follow another.
    kept = (ByteDropout(0.5)(tf.ones([40_000, 4]), training=True).numpy() != 0).astype(float)
    correlation = np.corrcoef(kept.T) - np.eye(4)
    assert abs(correlation).max() < 5 / np.sqrt(40_000)
    # Nor the same unit of the next row.
    assert abs(np.corrcoef(kept[1:, 0], kept[:-1, 0])[0, 1]) < 5 / np.sqrt(40_000)


def test_any_two_bytes_are_independent():
    # Six rows in eight blocks of two columns, seen many times: how far any two numbers go together.
    draw = tf.function(lambda: random_bytes(tf.zeros([48, 2])))
    seen = np.stack([draw().numpy().ravel() for _ in range(4000)]).astype(float)
    for values in (seen, (seen >= 51).astype(float)):
        correlation = np.corrcoef(values.T) - np.eye(96)
        # 4,560 pairs: the largest of as many normal numbers is some four deviations.
        assert abs(correlation).max() < 5.5 / np.sqrt(4000)
    assert abs(seen.mean(axis=0) - 127.5).max() < 5 * 73.9 / np.sqrt(4000)


def test_bytes_take_every_value():
    counts = np.bincount(random_bytes(tf.zeros([256, 1000])).numpy().ravel(), minlength=256)
    # A thousand of each are expected; five standard deviations are 158.
    assert counts.shape == (256,) and abs(counts - 1000).max() < 158


def test_gradient_is_that_of_what_was_kept():
    inputs = tf.Variable(tf.ones([50, 8]))
    drop = ByteDropout(0.5)
    with tf.GradientTape() as tape:
        outputs = drop(inputs, training=True)
    np.testing.assert_array_equal(tape.gradient(outputs, inputs).numpy(), outputs.numpy())


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False), (0.001, True)])
def test_nothing_is_dropped(rate, training):
    inputs = tf.random.normal([20, 6])
    np.testing.assert_array_equal(ByteDropout(rate)(inputs, training=training).numpy(), inputs.numpy())


def test_a_batch_of_unknown_size():
    drop = ByteDropout(0.5)

    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def dropped(x):
        return drop(x, training=True)

    assert dropped(tf.ones([5, 3])).shape == (5, 3)
    assert dropped(tf.ones([0, 3])).shape == (0, 3)


def test_the_same_seed_drops_the_same():
    found = []
    for _ in range(2):
        tf_keras.utils.set_random_seed(3)
        found.append(tf.function(lambda: ByteDropout(0.5)(tf.ones([10, 10]), training=True))().numpy())
    np.testing.assert_array_equal(*found)
    assert 0 < (found[0] == 0).sum() < 100


def test_half_precision_stays_half():
    assert ByteDropout(0.3, dtype="mixed_float16")(tf.ones([4, 4], tf.float16), training=True).dtype == tf.float16


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ValueError, match="dropout rate is"):
        ByteDropout(rate)
