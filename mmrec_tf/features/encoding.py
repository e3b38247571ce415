"""Many contents through one encoder: decoding, batches, and one trace for each shape of batch."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from mmrec_tf.encoders.base import Encoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.features.batches import decoded_batches, stacked
from mmrec_tf.features.content import Source


def encoded(
    encoder: Encoder, sources: dict[bytes, Source], decode: Callable | None = None
) -> Iterator[tuple[list[bytes], list[bool], np.ndarray]]:
    """Keys, whether each could be decoded, and `[keys, dim]` float32 vectors, about a batch at a time.

    Args:
        encoder: decodes and encodes.
        sources: by key.
        decode: as `decoded_batches` takes it; what it gives NOT_READ for is left out.

    Raises:
        EncoderError: if the vectors are not `encoder.dim` wide.
    """
    encode = tf.function(lambda batch: encoder(batch, training=False))
    for batch in decoded_batches(encoder, sources, decode):
        vectors = np.zeros((len(batch.keys) + len(batch.undecodable), encoder.dim), np.float32)
        if batch.keys:
            vectors[: len(batch.keys)] = _vectors(encoder, encode, stacked(encoder, batch.contents))
        present = [True] * len(batch.keys) + [False] * len(batch.undecodable)
        yield batch.keys + batch.undecodable, present, vectors


def _vectors(encoder: Encoder, encode, contents: tf.Tensor) -> np.ndarray:
    # Traced for any number of contents, so that a short last batch neither costs a trace nor has to be filled up.
    spec = tf.TensorSpec([None, *contents.shape[1:]], contents.dtype)
    output = encode.get_concrete_function(spec)(contents)
    if output.shape != (len(contents), encoder.dim):
        raise EncoderError(
            f"{type(encoder).__name__} gave {list(output.shape)} for a batch of {len(contents)}; its `dim` promises "
            f"[{len(contents)}, {encoder.dim}]."
        )
    return output.numpy()
