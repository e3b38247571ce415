"""What an encoder is tuned on: items with their content, each with a user who chose it."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from mmrec_tf.config_encoders import AugmentationConfig
from mmrec_tf.data.augmentation.audio import augment_waveforms
from mmrec_tf.data.augmentation.image import augment_images
from mmrec_tf.data.media_dataset import Augment, media_dataset
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.features.prepared import Prepared

MOST_NEGATIVES = 4096


class TuningData:
    """Examples for an `EncoderTuning` model, from training interactions alone.

    Args:
        prepared: the data as numbers.
        feature: str. The item feature whose encoder is tuned.
        encoder: decodes the content, and makes numbers of it.
        seed: int. Of order, draws and augmentation.
        augment: how content is changed at random in training; not at all when None.

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
    ):
        self._prepared, self._encoder, self._seed = prepared, encoder, seed
        self._sequences = prepared.sequences()
        self._sources = [
            Path(source) if isinstance(source, str) and encoder.modality != "text" else source
            for source in prepared.data.items[feature]
        ]
        self._chosen = np.unique(self._sequences.item_index).astype(np.int32)
        self.items = self._chosen[prepared.items.masks[feature][self._chosen]]
        """Indices of the items that can be encoded and that a training user chose."""
        if len(self.items) < 2:
            raise EncoderError(
                f"the encoder of {feature!r} cannot be tuned: {len(self.items)} items with training interactions have "
                "content, and it takes two to tell them apart. Set `tuning: frozen`."
            )
        self._augment = _augmentation(encoder, augment)

    def examples(self, batch_size: int) -> tf.data.Dataset:
        """Endless batches of `batch_size` items, each with a random training user who chose it.

        Every item comes once before any comes again.

        Returns:
            A dataset of dicts: `user_index` `[batch]`, `history` `[batch, length]`, `item_index` `[batch]`,
            `negatives` `[up to 4096]`, all int32, and `content`, what `Encoder.prepare` gives, of one shape.
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
            chance = tf.random.stateless_uniform([batch_size], [self._seed, step])
            count = tf.gather(counts, rows)
            picked = tf.minimum(tf.cast(chance * tf.cast(count, tf.float32), count.dtype), count - 1)
            position = tf.gather(order, tf.gather(starts, rows) + picked)
            return {
                "user_index": tf.gather(users, position),
                "history": tf.gather(histories, position),
                "item_index": tf.gather(items, rows),
                "negatives": self._negatives([self._seed + 1, step]),
                "content": self._encoder.prepare(content, static_shape=True),
            }

        contents = self._contents(self.items, batch_size, seed=self._seed, shuffle=True, repeat=None)
        return tf.data.Dataset.zip((contents, tf.data.Dataset.counter())).map(draw).prefetch(2)

    def held_out(self, batch_size: int, most: int) -> tf.data.Dataset | None:
        """Batches of positives of the validation split whose items can be encoded, always the same ones.

        Args:
            batch_size: int. Examples a batch.
            most: int. The most examples; they are drawn by the seed.

        Returns:
            A dataset as `examples` gives, but finite and without augmentation; None where there are not two examples.
        """
        positives = self._prepared.data.positives(self._prepared.split.validation)
        examples = self._prepared.ranking_examples(positives, self._sequences)
        known = np.flatnonzero(np.isin(examples["item_index"], self.items))
        picked = np.random.default_rng(self._seed).permutation(known)[:most]
        batch_size = min(batch_size, len(picked))
        if batch_size < 2:
            return None
        arrays = {name: tf.constant(examples[name][picked]) for name in ("user_index", "history", "item_index")}
        negatives = self._negatives([self._seed, 0])

        def gather(rows, content):
            gathered = {name: tf.gather(array, rows) for name, array in arrays.items()}
            prepared = self._encoder.prepare(content, static_shape=True)
            return {**gathered, "negatives": negatives, "content": prepared}

        return self._contents(examples["item_index"][picked], batch_size).map(gather)

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

    def _negatives(self, seed):
        """All items that training has seen, or a sample of them: one that it has not is no evidence against itself."""
        chosen = tf.constant(self._chosen)
        if len(self._chosen) <= MOST_NEGATIVES:
            return chosen
        places = tf.math.top_k(tf.random.stateless_uniform([len(self._chosen)], seed), MOST_NEGATIVES).indices
        return tf.gather(chosen, places)


def _augmentation(encoder: Encoder, options: AugmentationConfig | None) -> Augment | None:
    if options is None or encoder.modality == "text":
        return None
    if encoder.modality == "audio":
        return lambda content, seed: augment_waveforms(content, encoder.reader.sample_rate, options, seed)
    return lambda content, seed: augment_images(content, options, seed)
