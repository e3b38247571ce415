"""Content for training: files decoded in parallel, changed at random, in batches of one shape."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from mmrec_tf.data.prefetched import prefetched
from mmrec_tf.errors import DataError

Decode = Callable[[object], np.ndarray | str | None]
Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def media_dataset(
    decode: Decode,
    sources: Sequence | np.ndarray,
    content_shape: tuple[int, ...],
    dtype: tf.DType,
    batch_size: int,
    *,
    seed: int | None = None,
    shuffle: bool = False,
    repeat: int | None = 1,
    drop_remainder: bool = False,
    augment: Augment | None = None,
) -> tf.data.Dataset:
    """Batches of decoded content, for encoders that are trained on it.

    Tuning an encoder meets every item's file anew each epoch, as a catalogue of decoded photos or clips does not fit
    into memory. Files are decoded in as many threads as tf.data has, 16 at the most, ahead of the training step, and
    come in an order that depends on the seed alone.

    Args:
        decode: function from a source to an array of at most `content_shape`, or a string; None leaves the item out.
            `Encoder.decode`.
        sources: `[n]`: paths, bytes or texts; None leaves the item out.
        content_shape: shape that contents are filled up to with zeros; `()` for strings. `Encoder.content_shape`.
        dtype: of the content: `tf.uint8`, `tf.float32`, `tf.string`.
        batch_size: int. Items a batch.
        seed: int. Of the order and of the changes. Needed with `shuffle` and with `augment`.
        shuffle: bool. A new order every epoch, and every time the dataset is gone through.
        repeat: int. Epochs, which run on into each other within a batch; None for no end.
        drop_remainder: bool. Leave out a last, smaller batch, so that shapes are static.
        augment: function from (content `[batch, *content_shape]`, seed `[2]` int64) to content. The seed is another
            one for every batch, and the same in every run.

    Returns:
        A dataset of (position `[batch]` int32 in `sources`, content `[batch, *content_shape]`).

    Raises:
        ValueError: when there is no seed for the order or the changes.
        DataError: when there is no source. Where none of them can be decoded, going through the dataset raises a
            `tf.errors.OpError` that says so.
    """
    if seed is None and (shuffle or augment is not None):
        raise ValueError("shuffle and augment need a seed")
    places = np.flatnonzero([source is not None for source in sources]).astype(np.int32)
    if len(places) == 0:
        raise DataError("there is nothing to train on: every source is None")

    unusable = set()

    def decoded(position):
        content = None if int(position) in unusable else decode(sources[int(position)])
        if content is None:
            unusable.add(int(position))
            if len(unusable) == len(places):
                # Without an end to the epochs, the next usable item would be sought for ever.
                raise DataError(f"none of the {len(places):,} files or texts to train on can be decoded")
            return np.zeros([0] * len(content_shape), dtype.as_numpy_dtype) if content_shape else b"", False
        if not content_shape:
            return content.encode("utf-8") if isinstance(content, str) else content, True
        return _filled_up(content, content_shape, dtype.as_numpy_dtype), True

    def load(position):
        content, is_usable = tf.numpy_function(decoded, [position], [dtype, tf.bool], stateful=False)
        content.set_shape([None] * len(content_shape))
        return position, content, tf.ensure_shape(is_usable, [])

    def as_element(position, content, _):
        return position, tf.ensure_shape(content, content_shape)

    dataset = tf.data.Dataset.from_tensor_slices(places)
    if shuffle:
        dataset = dataset.shuffle(len(places), seed=seed, reshuffle_each_iteration=True)
    dataset = dataset.repeat(repeat).map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.filter(lambda position, content, is_usable: is_usable).map(as_element)
    dataset = dataset.batch(batch_size, drop_remainder=drop_remainder)
    if augment is not None:
        seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2, drop_remainder=True)

        def change(element, batch_seed):
            position, content = element
            return position, tf.ensure_shape(augment(content, batch_seed), content.shape)

        dataset = tf.data.Dataset.zip((dataset, seeds)).map(
            change, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
    return prefetched(dataset)


def _filled_up(content: np.ndarray, shape: tuple[int, ...], dtype) -> np.ndarray:
    content = np.asarray(content, dtype)
    if content.shape == shape:
        return content
    full = np.zeros(shape, dtype)
    full[tuple(slice(length) for length in content.shape)] = content
    return full
