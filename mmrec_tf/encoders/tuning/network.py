"""What the encoders that are networks of layers share: weights from a built module, blocks, fingerprint."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.adapters import is_adapter_weight, own_weights
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.errors import EncoderError

_KEY = "variables/{}/.ATTRIBUTES/VARIABLE_VALUE"


class NetworkEncoder(Encoder):
    """An encoder around a network of layers with adapters in it, whose weights come from a built module.

    A subclass sets `network` and implements `encode` and `tuning_blocks`.

    Args:
        handle: str. Directory of the built module.
        adapter: str. `lora` or `bottleneck`, inside the network; None, the default, without.
        rank: int. Of the adapters. Defaults to 8.
        checkpointing: bool. In training, work out blocks again for their gradients. Defaults to False.
        batch_size: int. Items that the feature store encodes at a time. Defaults to 64.
    """

    network: tf_keras.layers.Layer

    def __init__(
        self,
        handle: str,
        adapter: str | None = None,
        rank: int = 8,
        checkpointing: bool = False,
        batch_size: int = 64,
        **kwargs,
    ):
        super().__init__(batch_size=batch_size, **kwargs)
        self.handle = str(handle)
        self.adapter = adapter
        self.rank = rank
        self.checkpointing = checkpointing

    def tuning_blocks(self) -> list[tuple[str, list[tf.Variable]]]:
        """Name and weights of each block, from the input to the output."""
        raise NotImplementedError

    def load_module_weights(self) -> None:
        """Sets the network's weights, those of adapters aside, from the module.

        Raises:
            EncoderError: if the module's are others.
        """
        checkpoint = Path(self.handle) / "variables" / "variables"
        weights = own_weights(self.network.variables)
        try:
            reader = tf.train.load_checkpoint(str(checkpoint))
            for position, weight in enumerate(weights):
                weight.assign(reader.get_tensor(_KEY.format(position)))
            is_longer = reader.has_tensor(_KEY.format(len(weights)))
        except (tf.errors.OpError, ValueError) as error:
            raise self._other_module(str(error).splitlines()[0]) from error
        if is_longer:
            raise self._other_module(f"it has more than {len(weights)} weights.")

    def fingerprinted_weights(self):
        adapters = [weight for weight in self.weights if is_adapter_weight(weight)]
        # Before they have learned anything they change nothing, so vectors that are stored can be used.
        have_learned = any(
            np.any(w.numpy()) for w in adapters if w.name.split("/")[-1].startswith(("lora_up", "bottleneck_up"))
        )
        return [*own_weights(self.weights), *(adapters if have_learned else [])]

    def identity(self) -> dict:
        identity = super().identity()
        # The weights themselves are hashed, wherever they came from and however they were changed.
        for key in ("handle", "adapter", "rank", "checkpointing"):
            identity.pop(key)
        return identity

    def get_config(self):
        names = ("handle", "adapter", "rank", "checkpointing")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def _other_module(self, reason: str) -> EncoderError:
        return EncoderError(
            f"{self.handle} does not hold the network that {type(self).__name__} tunes: {reason} Build it with: "
            "mmrec pretrained build, or leave `path` out."
        )


def layer_weights(layers: Sequence[tf_keras.layers.Layer]) -> list[tf.Variable]:
    """The weights that training can change, of several layers."""
    return [weight for layer in layers for weight in layer.trainable_weights]
