"""That sources tell truly how often each item stands among their negatives, which all of the losses rely on."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.losses.negatives import own_negatives
from mmrec_tf.losses.negatives_registry import build_negatives

SHARES = np.array([0.0, 0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
SIZE, BATCH, BATCHES = len(SHARES), 40, 600


@pytest.mark.parametrize("padding", [0, 60])
@pytest.mark.parametrize("name", ["in_batch", "uniform", "mixed", "cached", "full"])
def test_an_item_stands_there_as_often_as_expected(name, padding):
    source = build_negatives(name, SIZE, count=20)
    source.set_probabilities(np.maximum(SHARES, 1e-6).astype(np.float32))
    random = np.random.default_rng(0)
    draw = tf.function(lambda items: source(items, training=True))
    found, expected = np.zeros(SIZE), np.zeros(SIZE)
    for _ in range(BATCHES):
        # A window that is longer than its user's history is padded with 0.
        items = np.append(random.choice(SIZE, BATCH, p=SHARES), np.zeros(padding))
        ids, log_expected = draw(tf.constant(items, tf.int32))
        ids, log_expected = ids.numpy(), np.broadcast_to(log_expected.numpy(), ids.shape)
        # Each stands for 1 / expected of itself, in the mean over batches for exactly one.
        np.add.at(found, ids, np.exp(-log_expected))
        expected[ids] = np.exp(log_expected)
    # Items stand there BATCHES * expected times in all, give or take the root; four of these, and half a per cent.
    allowed = 4 / np.sqrt(BATCHES * expected[1:]) + 0.005
    assert (np.abs(found[1:] / BATCHES - 1) < allowed).all(), found[1:] / BATCHES


def test_a_batch_of_nothing_but_padding_expects_nothing_that_is_not_a_number():
    for name in ("in_batch", "mixed", "cached"):
        for logq in ("counts", "streaming"):
            ids, log_expected = build_negatives(name, SIZE, count=3, logq=logq)(tf.zeros([4], tf.int32), training=True)
            assert np.isfinite(log_expected.numpy()).all()


def test_own_negatives_are_drawn_for_each_example_from_the_whole_catalogue():
    ids, log_expected = own_negatives(300, 2, SIZE)
    assert ids.shape == (2, 300) and ids.dtype == tf.int32
    assert [set(row) for row in ids.numpy().tolist()] == [{1, 2, 3, 4, 5, 6}] * 2
    assert (ids.numpy()[0] != ids.numpy()[1]).any()
    # 300 draws among 6 items.
    assert float(log_expected) == pytest.approx(np.log(50), rel=1e-6)
    compiled = tf.function(lambda: own_negatives(5, 3, SIZE)[0], jit_compile=True)
    assert compiled().shape == (3, 5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_shares_too_small_for_half_precision_are_kept(policy):
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        source = build_negatives("in_batch", SIZE)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    source.set_probabilities(np.full(SIZE, 1e-9, np.float32))
    for call in (source, tf.function(source)):
        log_expected = call(tf.constant([1, 2, 3]))[1]
        assert log_expected.dtype == tf.float32
        # Three examples; float16 would have rounded the share to 0.
        np.testing.assert_allclose(log_expected.numpy(), np.log(3e-9), rtol=1e-5)
