"""Many contents through one encoder: decoding, batches, and one trace for each shape of batch."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.readers import TextReader
from mmrec_tf.errors import EncoderError
from mmrec_tf.features.batches import decoded_batches, stacked
from mmrec_tf.features.content import Source


def encoded(
    encoder: Encoder, sources: dict[bytes, Source], decode: Callable | None = None
) -> Iterator[tuple[list[bytes], list[bool], np.ndarray]]:
    """Keys, whether each has content, and `[keys, dim]` float32 vectors, about a batch at a time.

    What cannot be decoded has none, nor has a text of which cleaning leaves nothing.

    Args:
        encoder: decodes and encodes.
        sources: by key.
        decode: as `decoded_batches` takes it; what it gives NOT_READ for is left out.

    Raises:
        EncoderError: if the vectors are not `encoder.dim` wide.
    """
    encode = tf.function(lambda batch: (encoder(batch, training=False), _is_there(encoder, batch)))
    for batch in decoded_batches(encoder, sources, decode):
        keys, count = batch.keys + batch.undecodable, len(batch.keys)
        vectors, present = np.zeros((len(keys), encoder.dim), np.float32), np.zeros(len(keys), bool)
        if count:
            vectors[:count], present[:count] = _vectors(encoder, encode, stacked(encoder, batch.contents))
        yield keys, present.tolist(), vectors


def _is_there(encoder: Encoder, batch: tf.Tensor) -> tf.Tensor:
    """`[batch]` bool: which of the decoded contents are still there when they have been prepared."""
    reader = encoder.reader
    if isinstance(reader, TextReader) and reader.clean is not None:
        return reader.is_there(batch)
    return tf.ones(tf.shape(batch)[:1], tf.bool)


def _vectors(encoder: Encoder, encode, contents: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
    # Traced for any number of contents, so that a short last batch neither costs a trace nor has to be filled up.
    spec = tf.TensorSpec([None, *contents.shape[1:]], contents.dtype)
    output, is_there = encode.get_concrete_function(spec)(contents)
    if output.shape != (len(contents), encoder.dim):
        raise EncoderError(
            f"{type(encoder).__name__} gave {list(output.shape)} for a batch of {len(contents)}; its `dim` promises "
            f"[{len(contents)}, {encoder.dim}]."
        )
    return np.where(is_there[:, np.newaxis], output, 0.0), is_there.numpy()
