"""Symmetric InfoNCE against hand arithmetic and scikit-learn."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from sklearn.metrics import log_loss

from mmrec_tf.errors import ConfigError
from mmrec_tf.losses.contrastive import ContrastiveAlignment
from tests.layer_checks import check_layer

VECTORS = tuple(np.random.default_rng(1).normal(size=[6, width]).astype(np.float32) for width in (5, 3))
MASKS = np.array([1, 1, 1, 1, 0, 1], bool), np.array([1, 1, 1, 1, 1, 1], bool)


def test_passes_the_layer_checks(tmp_path):
    check_layer(
        lambda: ContrastiveAlignment(dim=4),
        VECTORS,
        tmp_path,
        call_arguments={"masks": MASKS, "ids": np.array([1, 2, 3, 1, 5, 6])},
        expected_shape=(),
        has_float32_output=True,
    )


def test_loss_by_hand():
    # Cosines 1 and 0 in both rows and directions, divided by a temperature of 0.5: -log(e^2 / (e^2 + e^0)) each.
    layer = ContrastiveAlignment(dim=None, temperature=0.5)
    there = np.ones(2, bool)
    loss = layer((np.array([[3.0, 0.0], [0.0, 2.0]]), np.array([[1.0, 0.0], [0.0, 7.0]])), masks=(there, there))
    assert float(loss) == pytest.approx(np.log(1 + np.exp(-2)), rel=1e-5)


def test_loss_against_scikit_learn():
    layer = ContrastiveAlignment(dim=None, temperature=0.2)
    first, second = (
        values / np.linalg.norm(values, axis=1, keepdims=True) for values in (VECTORS[0], VECTORS[0][::-1])
    )
    logits = first @ second.T / 0.2

    def chances(scores):
        return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    labels = np.arange(6)
    expected = (log_loss(labels, chances(logits)) + log_loss(labels, chances(logits.T))) / 2
    there = np.ones(6, bool)
    found = layer((VECTORS[0], VECTORS[0][::-1].copy()), masks=(there, there))
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_duplicates_and_absent_rows_leave_the_softmax():
    # Three rows and one absent; rows 0 and 1 are one item, so that each has only row 2 as a negative.
    similarity = np.array([[0.9, 0.8, 0.1, 0.5], [0.7, 0.6, 0.2, 0.5], [0.3, 0.4, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]])
    negative = np.zeros([4, 4], bool)
    negative[[0, 1, 2, 2], [2, 2, 0, 1]] = True
    layer = ContrastiveAlignment(dim=None, temperature=1.0)
    layer.build(None)
    found = layer.loss(tf.constant(similarity, tf.float32), tf.constant([True, True, True, False]), negative)
    # By rows: 0 against 2, 1 against 2, 2 against 0 and 1; by columns the same.
    rows = [np.log(1 + np.exp(0.1 - 0.9)), np.log(1 + np.exp(0.2 - 0.6)), np.log(1 + np.exp(0.3 - 0.5) + np.exp(-0.1))]
    columns = [np.log(1 + np.exp(0.3 - 0.9)), np.log(1 + np.exp(0.4 - 0.6)), np.log(1 + np.exp(-0.4) + np.exp(-0.3))]
    assert float(found) == pytest.approx((np.mean(rows) + np.mean(columns)) / 2, rel=1e-5)


def test_the_temperature_is_learned_within_its_range():
    layer = ContrastiveAlignment(dim=None, temperature=0.02)
    there = np.ones(2, bool)
    vectors = np.eye(2, dtype=np.float32)
    layer((vectors, vectors), masks=(there, there))
    assert float(tf.exp(-layer.log_scale)) == pytest.approx(0.02, rel=1e-5)
    optimizer = tf_keras.optimizers.SGD(1.0)
    for gradient, limit in ((-9.0, 0.01), (99.0, 1.0)):
        optimizer.apply_gradients([(tf.constant(gradient), layer.log_scale)])
        assert float(tf.exp(-layer.log_scale)) == pytest.approx(limit, rel=1e-5)
    # At the limit it still has a gradient, and so a way back: the two rows are aligned and want it lower.
    with tf.GradientTape() as tape:
        loss = layer((vectors, vectors), masks=(there, there))
    assert float(tape.gradient(loss, layer.log_scale)) < 0


@pytest.mark.parametrize("temperature", [0.0, 0.005, 1.5, -1.0])
def test_a_temperature_out_of_its_range_is_refused(temperature):
    with pytest.raises(ConfigError, match=rf"lies in \[0.01, 1\], got {temperature}"):
        ContrastiveAlignment(temperature=temperature)
