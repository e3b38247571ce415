"""EfficientNet-Lite as a network of layers, to be tuned."""

from pathlib import Path

import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.base import normalised
from mmrec_tf.encoders.pretrained.efficientnet_lite import LiteShape, efficientnet_lite
from mmrec_tf.encoders.readers import ImageReader
from mmrec_tf.encoders.tuning.network import NetworkEncoder, layer_weights


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class EfficientNetLiteEncoder(NetworkEncoder):
    """Turns images into vectors as the module `efficientnet_lite0` does, with a network whose layers can learn.

    The normalisation keeps the means and variances that it was published with: those of a few dozen catalogue photos
    are a poor estimate, and would be others in training than afterwards.

    Args:
        handle, adapter, rank, checkpointing, batch_size: see `NetworkEncoder`.

    Call arguments:
        batch: `[batch, size, size, 3]`, red, green and blue from 0 to 255, of any number type.

    Returns:
        `[batch, features]` float32 tensor of length 1.

    Raises:
        EncoderError: if the directory holds no module of this kind.

    Reference: Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks (2019)
    """

    modality = "image"

    def __init__(
        self,
        handle: str,
        adapter: str | None = None,
        rank: int = 8,
        checkpointing: bool = False,
        batch_size: int = 64,
        **kwargs,
    ):
        super().__init__(handle, adapter, rank, checkpointing, batch_size, **kwargs)
        try:
            shape = LiteShape.load(Path(self.handle))
            self.network = efficientnet_lite(shape, adapter, rank, self.dtype_policy.name)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise self._other_module(f"{error}.") from error
        self.reader = ImageReader(shape.image_size)
        self.dim = shape.features
        self.load_module_weights()
        self._stages = _in_stages(self.network) if checkpointing else None

    def encode(self, prepared, training=False):
        maps = tf.cast(prepared, tf.float32) / 255.0
        if not (training and self.checkpointing):
            return normalised(self.network(maps, training=False))
        for stage in self._stages():
            maps = tf.recompute_grad(lambda given, stage=stage: stage(given, training=False))(maps)
        return normalised(maps)

    def tuning_blocks(self):
        blocks: dict[str, list[tf_keras.layers.Layer]] = {}
        for layer in self.network.layers:
            if layer.trainable_weights:
                blocks.setdefault(_block_of(layer), []).append(layer)
        return [(name, layer_weights(layers)) for name, layers in blocks.items()]


def _block_of(layer) -> str:
    """`block_3/expand_norm` -> `block_3`, `stem_norm` -> `stem`."""
    block, _, part = layer.name.partition("/")
    return block if part else block.split("_")[0]


def _in_stages(network: tf_keras.Model):
    """A function that gives the network cut into models of a block each, which share its layers.

    Behind a function, so that Keras does not count the weights twice.
    """
    last: dict[str, tf_keras.layers.Layer] = {}
    for layer in network.layers[1:]:
        last["head" if layer.name == "mean" else "stem" if layer.name == "rescale" else _block_of(layer)] = layer
    stages, start = [], network.input
    for layer in last.values():
        stages.append(tf_keras.Model(start, layer.output))
        start = layer.output
    return lambda: stages
