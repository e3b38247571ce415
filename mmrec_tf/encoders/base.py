"""What every encoder is: a Keras layer that turns one modality's raw content into vectors of unit length."""

import hashlib
import json
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.readers import Reader


class Encoder(tf_keras.layers.Layer):
    """Turns one modality's raw content into vectors.

    The same layer serves twice: frozen, through the feature store, which calls `decode` on every item and `call` on
    batches of what that gives; or inside a model, trained with it. Vectors have length 1 (or 0, for silence or a text
    without a word), so that modalities are of comparable scale and a dot product is a cosine.

    Content goes through three steps. `decode` makes an array or a string of one item's file or text, `prepare` makes
    numbers of a batch of that (cleaning and tokenising; it belongs in tf.data, and in exported graphs), and `encode`
    makes vectors of the numbers, which compiles under XLA. Calling the layer does the last two.

    A subclass sets `modality`, `dim` and `reader` (see `mmrec_tf.encoders.readers`), implements `encode`, where it
    takes more than its reader gives also `prepare`, and passes its arguments on in `get_config`. One without a reader
    implements `decode` and `content_shape`. `register_encoder` makes it available to the configuration.

    Args:
        batch_size: int. Items that the feature store encodes at a time. Defaults to 64.

    Call arguments:
        batch: `[batch, ...]`, what `decode` gives, stacked.
        training: bool.

    Returns:
        `[batch, dim]` float32 tensor.
    """

    modality: str
    dim: int

    revision = 1
    """Raised when a change to the class changes its vectors, so that stores compute them anew."""

    reader: Reader | None = None

    def __init__(self, batch_size: int = 64, **kwargs):
        # Under a mixed precision policy Keras would round waveforms and pixels before the encoder sees them.
        super().__init__(autocast=False, **kwargs)
        self.batch_size = batch_size

    def decode(self, source: str | Path | bytes) -> np.ndarray | str | None:
        """One item's content, of shape `content_shape` or, with `varying_length`, shorter; None where there is none."""
        return self.reader.decode(source)

    @property
    def content_shape(self) -> tuple[int, ...]:
        """Shape of the longest array that `decode` gives; `()` for a string."""
        return self.reader.content_shape

    @property
    def varying_length(self) -> bool:
        """Whether what `decode` gives may be shorter along its first axis; zeros fill it up in a batch."""
        return self.reader is not None and self.reader.varying_length

    def content_length(self, content: np.ndarray | str) -> int:
        """What the cost of encoding grows with; the feature store encodes what is of similar length together."""
        return 0 if self.reader is None else self.reader.content_length(content)

    def prepare(self, batch: tf.Tensor, static_shape: bool = False):
        """A batch of contents as the numbers that `encode` takes.

        Args:
            batch: `[batch, ...]`, what `decode` gives, stacked.
            static_shape: bool. Fill up to one shape for every batch, as a compiled step needs, and not only to the
                longest of this one.

        Returns:
            A tensor or a dict of tensors.
        """
        return batch if self.reader is None else self.reader.prepare(batch)

    def encode(self, prepared, training: bool = False) -> tf.Tensor:
        """`[batch, dim]` float32 vectors of what `prepare` gave."""
        raise NotImplementedError

    def call(self, batch, training=False):
        return self.encode(self.prepare(batch), training=training)

    @property
    def fingerprint(self) -> str:
        """64 hex digits: what the encoder is, its weights and its preprocessing; equal ones give equal vectors."""
        if not self.built:
            self.build(None)
        digest = hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode())
        for weight in self.fingerprinted_weights():
            digest.update(weight.numpy().tobytes())
        return digest.hexdigest()

    def fingerprinted_weights(self) -> list[tf.Variable]:
        """The weights that the fingerprint covers beyond `identity`."""
        return self.weights

    def identity(self) -> dict:
        """The settings that decide the vectors, for the fingerprint."""
        config = self.get_config()
        for key in ("name", "trainable", "dtype", "batch_size"):
            config.pop(key, None)
        read = {} if self.reader is None else self.reader.identity()
        return {"encoder": type(self).__name__, "revision": self.revision, **config, **read}

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.dim)

    def get_config(self):
        return {**super().get_config(), "batch_size": self.batch_size}


def normalised(vectors, axis=-1):
    """Vectors scaled to length 1 along `axis`; one of zeros stays, and has a finite gradient."""
    return tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=axis, epsilon=1e-8)


def random_signs(shape: tuple[int, ...], scale: float, seed: int) -> np.ndarray:
    """A float32 random projection of +scale and -scale, the same bits on every machine."""
    return np.random.default_rng(seed).choice(np.float32([-scale, scale]), shape)
