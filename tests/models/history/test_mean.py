"""Histories as means."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.models.history import MeanHistory
from tests.layer_checks import check_layer
from tests.models.history.histories import DIM, LENGTH, MASK, given


def test_passes_the_layer_checks(tmp_path):
    inputs = given()
    items = inputs.pop("items")
    check_layer(
        lambda: MeanHistory(DIM, LENGTH), items, tmp_path, call_arguments=inputs, expected_shape=(5, LENGTH, DIM)
    )


def test_by_hand():
    history = MeanHistory(dim=1, length=4)
    items = np.array([[10, 20, 30, 40]] * 3, np.float32)[..., None]
    mask = np.array([[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]])
    arguments = {"mask": mask, "gaps": np.zeros([3, 4], np.int32)}
    history(items, **arguments)
    # From the newest on, items count 4, 3, 2 and 1.
    history.recency.assign(np.log([1.0, 2.0, 3.0, 4.0]))
    expected = [
        [10, (4 * 20 + 3 * 10) / 7, (4 * 30 + 3 * 20 + 2 * 10) / 9, (4 * 40 + 3 * 30 + 2 * 20 + 10) / 10],
        [0, 0, 30, (4 * 40 + 3 * 30) / 7],
        [0, 0, 0, 0],
    ]
    np.testing.assert_allclose(history(items, **arguments)[..., 0], expected, rtol=1e-6)
    latest = history(items, **arguments, latest_only=True)[:, 0]
    np.testing.assert_allclose(latest, [row[-1] for row in expected], rtol=1e-6)


def test_starts_with_more_weight_on_what_is_recent():
    inputs = given()
    weights = np.exp(np.linspace(-2.0, 0.0, LENGTH))
    latest = MeanHistory(DIM, LENGTH)(**inputs).numpy()[:, -1]
    for row, present in enumerate(MASK[:4]):
        expected = np.average(inputs["items"][row][present], axis=0, weights=weights[present])
        np.testing.assert_allclose(latest[row], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("latest_only", [False, True])
@pytest.mark.parametrize("newest", [-30.0, 30.0])
def test_steep_weights_in_half_precision(newest, latest_only):
    inputs, results = given(), []
    for dtype in ("mixed_float16", "float32"):
        history = MeanHistory(DIM, LENGTH, dtype=dtype)
        history(**inputs)
        # The weights of the newest item and of the oldest are exp(30) apart, which float16 cannot hold.
        history.recency.assign(np.linspace(0.0, newest, LENGTH))
        with tf.GradientTape() as tape:
            output = tf.cast(history(**inputs, latest_only=latest_only), tf.float32)
            loss = tf.reduce_sum(tf.square(output))
        results.append((output, tape.gradient(loss, history.recency)))
    for half, full in zip(*results):
        np.testing.assert_allclose(half, full, atol=0.01)
