"""Items of several parts: windows of a long clip, frames of a video. Each part is encoded, the vectors are averaged."""

from collections.abc import Callable

import tensorflow as tf

from mmrec_tf.encoders.base import normalised

Encode = Callable[[tf.Tensor], tf.Tensor]


def mean_over_parts(encode: Encode, parts: tf.Tensor, dim: int, static_shape: bool = False) -> tf.Tensor:
    """The mean vector of an item's parts, scaled to length 1; parts of zeros only fill up and do not count.

    Args:
        encode: function from `[parts, ...]` to `[parts, dim]`, called once.
        parts: `[batch, parts, ...]`.
        dim: int. Width of the vectors.
        static_shape: bool. Encode the parts that fill up too and weigh them with 0, as a compiled step needs, instead
            of leaving them out.

    Returns:
        `[batch, dim]` float32; zeros for an item without a part.
    """
    if parts.shape[1] == 1:
        return normalised(encode(parts[:, 0]))
    shape = tf.shape(parts)
    flat = tf.reshape(parts, tf.concat([[shape[0] * shape[1]], shape[2:]], axis=0))
    flat = tf.ensure_shape(flat, [None, *parts.shape[2:]])
    counts = tf.reduce_any(tf.not_equal(flat, 0), axis=list(range(1, flat.shape.rank)))
    owners = tf.repeat(tf.range(shape[0]), shape[1])
    if not static_shape:
        # Not every encoder takes a batch of none, so the first part stays.
        places = tf.where(tf.logical_or(counts, tf.range(tf.size(counts)) == 0))[:, 0]
        owners, counts, flat = (tf.gather(values, places) for values in (owners, counts, flat))
    vectors = normalised(encode(flat)) * tf.cast(counts, tf.float32)[:, tf.newaxis]
    total = tf.math.unsorted_segment_sum(vectors, owners, shape[0])
    return tf.ensure_shape(normalised(total), [parts.shape[0], dim])


def windows_of(waveforms: tf.Tensor, window: int) -> tf.Tensor:
    """`[batch, samples]` cut into `[batch, windows, window]`, filled up with zeros; a shorter one stays as it is."""
    samples = waveforms.shape[1]
    if samples is not None and samples <= window:
        return waveforms[:, tf.newaxis]
    missing = -tf.shape(waveforms)[1] % window
    filled = tf.pad(waveforms, [[0, 0], [0, missing]])
    count = None if samples is None else -(-samples // window)
    return tf.ensure_shape(tf.reshape(filled, [tf.shape(filled)[0], -1, window]), [waveforms.shape[0], count, window])
