"""Adapters: no change at first, then the change that their equations say."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from scipy.special import erf

from mmrec_tf.encoders.adapters import Bottleneck, LoraConv2D, LoraDense, is_adapter_weight, limited_rank, own_weights
from tests.layer_checks import check_layer

INPUTS = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
MAPS = np.random.default_rng(0).normal(size=(2, 3, 3, 32)).astype(np.float32)


def learned(layer, shape):
    """The layer as it is after some training: nothing in it is zero."""
    layer.build(shape)
    random = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign_add(random.normal(size=weight.shape).astype(np.float32) / 4)
    return layer


@pytest.mark.parametrize(
    ("rank", "inputs", "outputs", "expected"),
    # A sixteenth of 384 is 24, of 40 it is 2 (rounded down), and there is always one.
    [(8, 384, 1536, 8), (32, 1536, 384, 24), (8, 40, 240, 2), (8, 8, 8, 1)],
)
def test_a_change_stays_small(rank, inputs, outputs, expected):
    assert limited_rank(rank, inputs, outputs) == expected


def test_dense_with_a_low_rank_change():
    layer = learned(LoraDense(48, lora_rank=2, activation="relu"), INPUTS.shape)
    kernel, bias, down, up = (weight.numpy() for weight in layer.weights)
    assert down.shape == (32, 2) and up.shape == (2, 48)
    expected = np.maximum(INPUTS @ (kernel + down @ up) + bias, 0.0)
    np.testing.assert_allclose(layer(INPUTS), expected, rtol=1e-4, atol=1e-5)


def test_convolution_with_a_low_rank_change():
    layer = learned(LoraConv2D(48, 1, lora_rank=2, use_bias=False), MAPS.shape)
    kernel, down, up = (weight.numpy()[0, 0] for weight in layer.weights)
    # A 1 by 1 convolution is the same matrix at every place.
    np.testing.assert_allclose(layer(MAPS), MAPS @ (kernel + down @ up), rtol=1e-4, atol=1e-5)


def test_larger_kernels_take_no_change():
    layer = LoraConv2D(4, 3, lora_rank=2, padding="same")
    plain = tf_keras.layers.Conv2D(4, 3, padding="same")
    layer.build(MAPS.shape)
    plain.build(MAPS.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(layer(MAPS), plain(MAPS), atol=1e-6)


def test_bottleneck():
    layer = learned(Bottleneck(3), INPUTS.shape)
    down, down_bias, up, up_bias = (weight.numpy() for weight in layer.weights)
    low = INPUTS @ down + down_bias
    low = low * 0.5 * (1.0 + erf(low / np.sqrt(2.0)))
    np.testing.assert_allclose(layer(INPUTS), INPUTS + low @ up + up_bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "without", "inputs"),
    [
        (LoraDense(48, lora_rank=8), tf_keras.layers.Dense(48), INPUTS),
        (LoraConv2D(48, 1, lora_rank=8), tf_keras.layers.Conv2D(48, 1), MAPS),
        (Bottleneck(8), None, INPUTS),
    ],
)
def test_no_change_before_training(layer, without, inputs):
    layer.build(inputs.shape)
    if without is None:
        np.testing.assert_array_equal(layer(inputs), inputs)
        assert own_weights(layer.weights) == []
        return
    without.build(inputs.shape)
    without.set_weights([weight.numpy() for weight in own_weights(layer.weights)])
    np.testing.assert_allclose(layer(inputs), without(inputs), atol=1e-6)
    assert sum(map(is_adapter_weight, layer.weights)) == 2


@pytest.mark.parametrize(
    ("make", "inputs", "shape"),
    [
        (lambda: LoraDense(16, lora_rank=2), INPUTS, (5, 16)),
        (lambda: LoraConv2D(16, 1, lora_rank=2), MAPS, (2, 3, 3, 16)),
        (lambda: Bottleneck(2), INPUTS, (5, 32)),
    ],
)
def test_as_layers(make, inputs, shape, tmp_path):
    # Before it has learned, the first matrix has no gradient, as the one behind it is zero.
    check_layer(lambda: learned(make(), inputs.shape), inputs, tmp_path, expected_shape=shape)


def test_only_the_second_matrix_has_a_gradient_at_first():
    layer = LoraDense(16, lora_rank=2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(layer(INPUTS)))
    down, up = tape.gradient(loss, [layer.lora_down, layer.lora_up])
    assert np.all(down.numpy() == 0.0) and np.abs(up.numpy()).max() > 0.0
