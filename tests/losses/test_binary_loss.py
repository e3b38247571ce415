"""Binary cross-entropy: what its calibration makes of the scores."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.losses.binary_loss import BinaryLoss

ITEMS = 8
CHANCES = np.geomspace(8.0, 1.0, ITEMS) / np.geomspace(8.0, 1.0, ITEMS).sum()


def learned(loss, log_expected=0.0, columns=None) -> np.ndarray:
    """Chances that free scores come to state, with each item the positive as often as CHANCES says."""
    columns = np.arange(ITEMS) if columns is None else columns
    counted = columns[None, :] != np.arange(ITEMS)[:, None]
    scores = tf.Variable(np.full(ITEMS, -2.0, np.float32))
    optimizer = tf_keras.optimizers.Adam(tf_keras.optimizers.schedules.CosineDecay(0.1, 300))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            negatives = tf.tile(tf.gather(scores, columns)[None], [ITEMS, 1])
            value = tf.reduce_sum(loss(scores, negatives, counted, log_expected) * CHANCES.astype(np.float32))
        optimizer.apply_gradients([(tape.gradient(value, scores), scores)])

    for _ in range(300):
        step()
    return tf.sigmoid(scores).numpy()


def test_fully_calibrated_scores_are_the_chances():
    found = learned(BinaryLoss(calibration=1.0, share=1 / (ITEMS - 1)))
    np.testing.assert_allclose(found, CHANCES, rtol=0.02)


def test_calibrated_also_where_popular_items_stand_there_more_often():
    # Item i stands among the negatives i + 1 times, and is expected to.
    columns = np.repeat(np.arange(ITEMS), np.arange(ITEMS) + 1)
    found = learned(BinaryLoss(calibration=1.0, share=1 / (ITEMS - 1)), np.log(columns + 1.0), columns)
    np.testing.assert_allclose(found, CHANCES, rtol=0.02)


def test_plain_cross_entropy_is_overconfident():
    # Of item i, the positive p of the time and one of 7 negatives else: p log q + (1 - p) / 7 log(1 - q) is greatest at
    # q = p / (p + (1 - p) / 7).
    np.testing.assert_allclose(learned(BinaryLoss()), CHANCES / (CHANCES + (1 - CHANCES) / 7), rtol=0.02)


@pytest.mark.parametrize("counted", [np.zeros([2, 3], bool), np.zeros([1, 3], bool), np.zeros([3], bool)])
def test_an_example_without_negatives_loses_nothing(counted):
    positive = tf.constant([1.0, -1.0])
    with tf.GradientTape() as tape:
        tape.watch(positive)
        losses = BinaryLoss()(positive, tf.ones([2, 3]), counted, 0.0)
    assert losses.numpy().tolist() == [0.0, 0.0]
    assert tape.gradient(losses, positive).numpy().tolist() == [0.0, 0.0]
