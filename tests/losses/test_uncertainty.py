"""Learned weights of losses, by the formula of Kendall, Gal and Cipolla."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.losses.uncertainty import HIGHEST, LOWEST, UncertaintyWeighting
from tests.layer_checks import check_layer

TASKS = {"retrieval": "classification", "rating": "regression"}
LOSSES = {"retrieval": np.float32(2.0), "rating": np.float32(0.6)}


def test_passes_the_layer_checks(tmp_path):
    layer = check_layer(
        lambda: UncertaintyWeighting(TASKS, {"rating": 0.25}),
        LOSSES,
        tmp_path,
        expected_shape=(),
        has_float32_output=True,
    )
    assert layer.log_variances.dtype == tf.float32


def test_the_formula_by_hand():
    layer = UncertaintyWeighting(TASKS)
    layer.log_variances.assign([math.log(4.0), math.log(0.5)])
    # 2 / 4 + log(4) / 2 = 0.5 + 0.693147, and 0.6 / (2 * 0.5) + log(0.5) / 2 = 0.6 - 0.346574.
    assert float(layer(LOSSES)) == pytest.approx(1.193147 + 0.253426, abs=1e-5)
    assert {task: float(weight) for task, weight in layer.weights_by_task().items()} == pytest.approx(
        {"retrieval": 0.25, "rating": 1.0}
    )


def test_weights_start_as_asked():
    layer = UncertaintyWeighting(TASKS, {"rating": 0.1})
    # exp(-s) = 1 for s = 0; exp(-s) / 2 = 0.1 for s = log 5.
    np.testing.assert_allclose(layer.log_variances.numpy(), [0.0, math.log(5.0)], rtol=1e-6)


def test_a_start_beyond_the_range_is_kept():
    sorts = dict.fromkeys(("retrieval", "tags"), "classification") | dict.fromkeys(("rating", "stars"), "regression")
    starts = {"retrieval": 1000.0, "rating": 100.0, "tags": 0.0001, "stars": 1.0}
    layer = UncertaintyWeighting(sorts, starts)
    assert {task: float(weight) for task, weight in layer.weights_by_task().items()} == pytest.approx(starts, rel=1e-4)
    optimizer = tf_keras.optimizers.SGD(10.0)
    for loss, expected in (
        # Each goes to the end of the range, or to its own start beyond that.
        (0.0, {"retrieval": 1000.0, "rating": 100.0, "tags": math.exp(-LOWEST), "stars": 0.5 * math.exp(-LOWEST)}),
        (1e9, {"retrieval": math.exp(-HIGHEST), "rating": 0.5 * math.exp(-HIGHEST), "tags": 0.0001}),
    ):
        for _ in range(9):
            with tf.GradientTape() as tape:
                total = layer({task: tf.constant(loss) for task in starts})
            optimizer.minimize(total, layer.trainable_variables, tape=tape)
        found = {task: float(weight) for task, weight in layer.weights_by_task().items()}
        assert {task: found[task] for task in expected} == pytest.approx(expected, rel=1e-4)


def test_the_best_weight_is_half_of_one_over_the_loss():
    layer = UncertaintyWeighting(TASKS)
    optimizer = tf_keras.optimizers.Adam(0.05)
    for _ in range(400):
        with tf.GradientTape() as tape:
            loss = layer(LOSSES)
        optimizer.minimize(loss, layer.trainable_variables, tape=tape)
    weights = {task: float(weight) for task, weight in layer.weights_by_task().items()}
    # The derivative -exp(-s) L + 1/2 (or half of the first term) is 0 there: 1 / (2 * 2) and 1 / (2 * 0.6).
    assert weights == pytest.approx({"retrieval": 0.25, "rating": 1 / 1.2}, rel=1e-2)


def test_a_loss_of_nothing_does_not_take_over():
    layer = UncertaintyWeighting(TASKS)
    optimizer = tf_keras.optimizers.SGD(10.0)
    for retrieval, expected in ((0.0, LOWEST), (1e9, HIGHEST)):
        for _ in range(5):
            with tf.GradientTape() as tape:
                loss = layer({"retrieval": tf.constant(retrieval), "rating": tf.constant(0.5)})
            optimizer.minimize(loss, layer.trainable_variables, tape=tape)
        # Past the range the gradient still leads back, as the weight itself is brought into it.
        assert float(layer.log_variances[0]) == expected
        assert np.isfinite(float(loss))


def test_what_is_not_counted_leaves_its_weight_alone():
    layer = UncertaintyWeighting(TASKS)
    layer.log_variances.assign([0.5, 2.0])
    with tf.GradientTape() as tape:
        loss = layer(LOSSES, counted={"rating": tf.constant(False), "retrieval": tf.constant(True)})
    # 2 exp(-0.5) + 0.25, and nothing of the rating.
    assert float(loss) == pytest.approx(2 * math.exp(-0.5) + 0.25)
    gradient = tape.gradient(loss, layer.log_variances).numpy()
    np.testing.assert_allclose(gradient, [-2 * math.exp(-0.5) + 0.5, 0.0], rtol=1e-5)


def test_bad_arguments():
    with pytest.raises(ValueError, match="'rating' is 'ranking'; allowed: classification, regression"):
        UncertaintyWeighting({"rating": "ranking"})
    with pytest.raises(ValueError, match="starts at 0; it must be above 0"):
        UncertaintyWeighting(TASKS, {"rating": 0})
