"""An adapter behind any encoder's vector, for encoders whose layers cannot be reached."""

import numpy as np
import tf_keras

from mmrec_tf.encoders.adapters import Bottleneck
from mmrec_tf.encoders.base import Encoder, normalised


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class AdaptedEncoder(Encoder):
    """An encoder with a bottleneck behind it, which alone learns.

        vector = normalised(v + gelu(v A + a) B + b),   v the encoder's vector

    It can turn and weigh what the encoder tells of an item, but not make it see anything else, as an adapter inside a
    network can.

    Args:
        encoder: any `Encoder`; it is not trained.
        rank: int. Width of the bottleneck. Defaults to 8.

    Call arguments:
        batch: as the encoder takes it.

    Returns:
        `[batch, dim]` float32 tensor; the encoder's own vectors before any training.
    """

    def __init__(self, encoder: Encoder, rank: int = 8, **kwargs):
        super().__init__(**{"batch_size": encoder.batch_size, **kwargs})
        self.encoder = encoder
        self.rank = rank
        self.modality, self.dim, self.reader = encoder.modality, encoder.dim, encoder.reader
        self.adapter = Bottleneck(rank, dtype="float32")

    def build(self, input_shape=None):
        if not self.encoder.built:
            self.encoder.build(None)
        self.adapter.build((None, self.dim))
        super().build(input_shape)

    def decode(self, source):
        return self.encoder.decode(source)

    @property
    def content_shape(self):
        return self.encoder.content_shape

    @property
    def varying_length(self):
        return self.encoder.varying_length

    def content_length(self, content):
        return self.encoder.content_length(content)

    def prepare(self, batch, static_shape=False):
        return self.encoder.prepare(batch, static_shape=static_shape)

    def encode(self, prepared, training=False):
        # Not trained, so without its dropout; the static shapes of a compiled step it keeps.
        return normalised(self.adapter(self.encoder.encode(prepared, training=training)))

    def fingerprinted_weights(self):
        own = self.adapter.weights if np.any(self.adapter.up.numpy()) else []
        return [*self.encoder.fingerprinted_weights(), *own]

    def identity(self) -> dict:
        return {"adapted": self.encoder.identity(), "revision": self.revision}

    def get_config(self):
        return {**super().get_config(), "encoder": tf_keras.layers.serialize(self.encoder), "rank": self.rank}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "encoder": tf_keras.layers.deserialize(config["encoder"])})
