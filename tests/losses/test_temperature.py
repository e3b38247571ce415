"""The temperature: in float32, within its range, and never stuck there."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.losses.temperature import Temperature
from tests.layer_checks import check_layer


@pytest.mark.parametrize("is_learned", [False, True])
def test_passes_the_layer_checks(tmp_path, is_learned):
    scores = np.random.default_rng(0).normal(size=[3, 4]).astype(np.float32)
    check_layer(
        lambda: Temperature(0.2, learned=is_learned),
        scores,
        tmp_path,
        expected_shape=(3, 4),
        is_trainable=is_learned,
        has_float32_output=True,
    )


@pytest.mark.parametrize(("away", "limit", "back"), [(9.0, 0.01, -0.5), (-9.0, 1.0, 0.5)])
def test_a_limit_can_be_left_again(away, limit, back):
    temperature = Temperature(0.1, learned=True)
    optimizer = tf_keras.optimizers.SGD(1.0)

    def step(slope):
        # The gradient of slope * log(temperature) to the logarithm is the slope.
        with tf.GradientTape() as tape:
            loss = slope * tf.math.log(temperature.value)
        optimizer.minimize(loss, temperature.trainable_weights, tape=tape)
        return float(temperature.value)

    assert step(away) == pytest.approx(limit, rel=1e-5)
    assert step(back) == pytest.approx(limit * np.exp(-back), rel=1e-4)


@pytest.mark.parametrize("initial", [0.005, 1.5])
def test_a_learned_one_starts_within_its_range(initial):
    with pytest.raises(ValueError, match=rf"a learned temperature lies in \[0.01, 1.0\], got {initial}: start within"):
        Temperature(initial, learned=True)
    assert float(Temperature(initial).value) == pytest.approx(initial)
