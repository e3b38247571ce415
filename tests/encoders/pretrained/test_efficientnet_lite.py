"""EfficientNet-Lite0: the published size, and a checkpoint that does not fit."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.pretrained.efficientnet_lite import LITE0, LiteShape, efficientnet_lite0, load_state
from mmrec_tf.errors import EncoderError


@pytest.fixture(scope="module")
def network():
    return efficientnet_lite0()


@pytest.fixture
def state(network):
    """Tensors as the checkpoint would hold them: numbered, so that each is another."""
    tensors = {"_fc.weight": np.zeros(1), "_fc.bias": np.zeros(1), "_bn0.num_batches_tracked": np.zeros((), np.int64)}
    blocks = {layer.name.partition("/")[0] for layer in network.layers if layer.name.startswith("block_")}
    names = {"_conv_stem": "stem", "_bn0": "stem_norm", "_conv_head": "head", "_bn1": "head_norm"}
    for block in blocks:
        at = f"_blocks.{block.removeprefix('block_')}"
        parts = {"_depthwise_conv": "filter", "_bn1": "filter_norm", "_project_conv": "project", "_bn2": "project_norm"}
        if block != "block_0":
            parts |= {"_expand_conv": "expand", "_bn0": "expand_norm"}
        names |= {f"{at}.{source}": f"{block}/{part}" for source, part in parts.items()}
    random = np.random.default_rng(0)
    for source, name in names.items():
        layer = network.get_layer(name)
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            for part in ("weight", "bias", "running_mean", "running_var"):
                tensors[f"{source}.{part}"] = random.random(layer.weights[0].shape).astype(np.float32)
        else:
            height, width, inputs, outputs = layer.weights[0].shape
            is_depthwise = isinstance(layer, tf_keras.layers.DepthwiseConv2D)
            shape = (inputs, 1, height, width) if is_depthwise else (outputs, inputs, height, width)
            tensors[f"{source}.weight"] = random.random(shape).astype(np.float32)
    return tensors


def test_the_published_size(network):
    # 4,652,008 weights are published, of which the classifier has 1000 * 1280 + 1000.
    assert sum(int(tf.size(weight)) for weight in network.trainable_weights) == 4_652_008 - 1_281_000
    assert network.output_shape == (None, 1280)
    # Halved five times: 224 / 32 = 7.
    assert network.get_layer("head").output_shape == (None, 7, 7, 1280)


def test_weights_are_turned_to_keras_order(network, state):
    load_state(network, state)
    stem = network.get_layer("stem").get_weights()[0]
    assert stem[2, 1, 0, 5] == state["_conv_stem.weight"][5, 0, 2, 1]
    kernel = network.get_layer("block_3/filter").get_weights()[0]
    assert kernel[4, 0, 7, 0] == state["_blocks.3._depthwise_conv.weight"][7, 0, 4, 0]
    gamma, beta, mean, variance = network.get_layer("block_3/expand_norm").get_weights()
    for value, part in ((gamma, "weight"), (beta, "bias"), (mean, "running_mean"), (variance, "running_var")):
        np.testing.assert_array_equal(value, state[f"_blocks.3._bn0.{part}"])


def test_another_networks_checkpoint_is_refused(network, state):
    with pytest.raises(EncoderError, match="not EfficientNet-Lite0's: '_bn1.weight'"):
        load_state(network, {name: value for name, value in state.items() if name != "_bn1.weight"})
    with pytest.raises(EncoderError, match="_blocks.16._expand_conv.weight is left"):
        load_state(network, state | {"_blocks.16._expand_conv.weight": np.zeros((1, 1, 1, 1))})
    with pytest.raises(EncoderError, match="not EfficientNet-Lite0's"):
        load_state(network, state | {"_conv_stem.weight": np.zeros((16, 3, 3, 3))})


def test_float32_under_a_mixed_policy():
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        assert efficientnet_lite0().output.dtype == tf.float32
    finally:
        tf_keras.mixed_precision.set_global_policy(before)


def test_the_shape_beside_the_module(tmp_path):
    LITE0.save(tmp_path)
    assert LiteShape.load(tmp_path) == LITE0
