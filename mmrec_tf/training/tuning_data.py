"""What an encoder is tuned on: items with their content, each with a user who chose it."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from mmrec_tf.config_encoders import AugmentationConfig
from mmrec_tf.data.augmentation.audio import augment_waveforms
from mmrec_tf.data.augmentation.image import augment_images
from mmrec_tf.data.media_dataset import Augment, media_dataset
from mmrec_tf.data.prefetched import prefetched
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.features.prepared import Prepared

USERS = 8
"""Users of an item in a training example: they cost next to nothing beside its encoding."""


class TuningData:
    """Examples for an `EncoderTuning` model, from training interactions alone.

    Args:
        prepared: the data as numbers.
        feature: str. The item feature whose encoder is tuned.
        encoder: decodes the content, and makes numbers of it.
        seed: int. Of order, draws and augmentation.
        augment: how content is changed at random in training; not at all when None.
        static_shape: bool. Fill texts and clips up to one length, as a compiled step needs, and not only to the longest
            of a batch. Defaults to False.

    Raises:
        EncoderError: if fewer than two items with training interactions have content.
    """

    def __init__(
        self,
        prepared: Prepared,
        feature: str,
        encoder: Encoder,
        seed: int = 0,
        augment: AugmentationConfig | None = None,
        static_shape: bool = False,
    ):
        self._prepared, self._encoder, self._seed = prepared, encoder, seed
        self._static_shape = static_shape
        self._sequences = prepared.sequences()
        self._sources = [
            Path(source) if isinstance(source, str) and encoder.modality != "text" else source
            for source in prepared.data.items[feature]
        ]
        chosen = np.unique(self._sequences.item_index).astype(np.int32)
        self.items = chosen[prepared.items.masks[feature][chosen]]
        """Indices of the items that can be encoded and that a training user chose."""
        if len(self.items) < 2:
            raise EncoderError(
                f"the encoder of {feature!r} cannot be tuned: {len(self.items)} items with training interactions have "
                "content, and it takes two to tell them apart. Set `tuning: frozen`."
            )
        self._augment = _augmentation(encoder, augment)
        self._size = prepared.items.size
        users, chosen = self._sequences.user_index.astype(np.int64), self._sequences.item_index
        self._pairs = np.unique(users * self._size + chosen)

    def examples(self, batch_size: int) -> tf.data.Dataset:
        """Endless batches of `batch_size` items, each with 8 times a random training user who chose it.

        Every item comes once before any comes again. A user comes with what they had chosen before.

        Returns:
            A dataset of dicts of what an `EncoderTuning` model takes.
        """
        sequences = self._sequences
        order = np.argsort(sequences.item_index, kind="stable")
        starts = np.searchsorted(sequences.item_index[order], self.items)
        counts = np.searchsorted(sequences.item_index[order], self.items, side="right") - starts
        order, starts, counts = (tf.constant(array) for array in (order, starts, counts))
        items, users = tf.constant(self.items), tf.constant(sequences.user_index)
        histories = tf.constant(sequences.before(np.arange(len(sequences))))

        def draw(drawn, step):
            rows, content = drawn
            chance = tf.random.stateless_uniform([batch_size, USERS], [self._seed, step])
            count = tf.gather(counts, rows)[:, tf.newaxis]
            picked = tf.minimum(tf.cast(chance * tf.cast(count, tf.float32), count.dtype), count - 1)
            position = tf.gather(order, tf.gather(starts, rows)[:, tf.newaxis] + picked)
            examples = {
                "user_index": tf.gather(users, position),
                "history": tf.gather(histories, position),
                "item_index": tf.gather(items, rows),
            }
            return self._completed(examples, content)

        contents = self._contents(self.items, batch_size, seed=self._seed, shuffle=True, repeat=None)
        return prefetched(tf.data.Dataset.zip((contents, tf.data.Dataset.counter())).map(draw))

    def held_out(self, batch_size: int, most: int) -> tf.data.Dataset | None:
        """Batches of positives of the validation split whose items can be encoded, always the same ones.

        Args:
            batch_size: int. Examples a batch.
            most: int. The most examples; they are drawn by the seed.

        Returns:
            A dataset as `examples` gives, but finite, with one user an item and without augmentation; None where there
            are not two examples.
        """
        positives = self._prepared.data.positives(self._prepared.split.validation)
        examples = self._prepared.ranking_examples(positives, self._sequences)
        known = np.flatnonzero(np.isin(examples["item_index"], self.items))
        picked = np.random.default_rng(self._seed).permutation(known)[:most]
        batch_size = min(batch_size, len(picked))
        if batch_size < 2:
            return None
        arrays = {name: tf.constant(examples[name][picked][:, np.newaxis]) for name in ("user_index", "history")}
        arrays["item_index"] = tf.constant(examples["item_index"][picked])

        def gather(rows, content):
            return self._completed({name: tf.gather(array, rows) for name, array in arrays.items()}, content)

        return self._contents(examples["item_index"][picked], batch_size).map(gather)

    def _completed(self, examples: dict, content) -> dict:
        is_known = self._is_known(examples["user_index"], examples["item_index"])
        prepared = self._encoder.prepare(content, static_shape=self._static_shape)
        return {**examples, "is_known": is_known, "content": prepared}

    def _is_known(self, user_index, item_index):
        """`[batch, users, batch]` bool: whether training has each user with each item."""
        wanted = tf.cast(user_index, tf.int64)[..., tf.newaxis] * self._size + tf.cast(item_index, tf.int64)
        pairs = tf.constant(self._pairs)
        places = tf.searchsorted(pairs, tf.reshape(wanted, [-1]))
        found = tf.gather(pairs, tf.minimum(places, len(self._pairs) - 1))
        return tf.reshape(found, tf.shape(wanted)) == wanted

    def _contents(self, items: np.ndarray, batch_size: int, **options) -> tf.data.Dataset:
        """Batches of (position in `items`, content)."""
        return media_dataset(
            self._encoder.decode,
            [self._sources[item - 1] for item in items],
            self._encoder.content_shape,
            self._content_type(),
            batch_size,
            drop_remainder=True,
            augment=self._augment if options else None,
            **options,
        )

    def _content_type(self) -> tf.DType:
        decoded = (self._encoder.decode(self._sources[item - 1]) for item in self.items)
        content = next((content for content in decoded if content is not None), "")
        return tf.string if isinstance(content, str) else tf.as_dtype(content.dtype)


def _augmentation(encoder: Encoder, options: AugmentationConfig | None) -> Augment | None:
    if options is None or encoder.modality == "text":
        return None
    if encoder.modality == "audio":
        return lambda content, seed: augment_waveforms(content, encoder.reader.sample_rate, options, seed)
    return lambda content, seed: augment_images(content, options, seed)
