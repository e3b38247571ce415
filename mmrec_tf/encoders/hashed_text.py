"""Text into vectors by hashing: no vocabulary, no weights, no language."""

import unicodedata
from pathlib import Path

import tensorflow as tf
import tf_keras

from mmrec_tf.config_encoders import CleaningConfig
from mmrec_tf.encoders.base import Encoder, normalised, random_signs
from mmrec_tf.encoders.readers import TextReader

# Scripts that are written without spaces between words.
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_UNSPACED_LENGTH = 6.0
_TYPICAL_LENGTH = 5.0
_PAIR_WEIGHT = 0.5
_CHARACTERS = (3, 4, 5)
_CHARACTER_WEIGHT = 0.2
_BUCKETS = 32768


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class HashedTextEncoder(Encoder):
    """Turns text into a vector of its words, word pairs and word pieces, without having seen any data.

    Descriptions that share rare words are likely about the same thing. A text is split into words, pairs of
    neighbouring words, and the 3 to 5 characters long pieces of each word (which match inflected forms and
    misspellings). Frequent words of most languages are short, so a word of `n` letters weighs `sigmoid(n - 5)`: it
    stands in for the inverse document frequency, which would need the data. Each n-gram is hashed to a coordinate and
    a sign (feature hashing); its count enters as `log(1 + weighted count)`; the vector is scaled to length 1.

    Scripts without spaces, such as Chinese and Thai, are taken character by character. Only core TensorFlow operations
    are used, so the layer also works inside an exported model; there, Unicode is not normalised to NFC, which `decode`
    does.

    Args:
        dim: int. Width of the vector. Defaults to 256; wider ones have fewer collisions.
        clean: what is done to a text first, as in the configuration; nothing by default.
        seed: int. Chooses the signs. Defaults to 0.
        batch_size: int. Items that the feature store encodes at a time. Defaults to 64.

    Call arguments:
        batch: `[batch]` string tensor, UTF-8.

    Returns:
        `[batch, dim]` float32 tensor. A text without a letter or digit gives zeros.

    Example:

        >>> encoder = HashedTextEncoder(dim=64)
        >>> encoder(tf.constant(["red cotton shirt", "rotes Baumwollhemd"])).shape
        TensorShape([2, 64])

    Reference: Weinberger et al., Feature Hashing for Large Scale Multitask Learning (2009); Bojanowski et al.,
    Enriching Word Vectors with Subword Information (2017), for the word pieces.
    """

    modality = "text"

    def __init__(
        self,
        dim: int = 256,
        clean: CleaningConfig | dict | None = None,
        seed: int = 0,
        batch_size: int = 64,
        **kwargs,
    ):
        super().__init__(batch_size=batch_size, **kwargs)
        self.reader = TextReader(clean)
        self.dim = dim
        self.seed = seed

    def decode(self, source: str | Path | bytes) -> str | None:
        text = self.reader.decode(source)
        return text and unicodedata.normalize("NFC", text)

    def prepare(self, batch, static_shape=False):
        """`[batch]` strings -> `[batch, dim]` float32, the damped counts of hashed n-grams."""
        grams, texts, weights = self._grams(self.reader.prepare(batch))
        # Several n-grams fall on each coordinate; the finer buckets keep them apart until their counts are damped.
        per_coordinate = -(-_BUCKETS // self.dim)
        buckets = per_coordinate * self.dim
        count = tf.shape(batch, out_type=tf.int64)[0]
        places = texts * buckets + tf.strings.to_hash_bucket_fast(grams, buckets)
        damped = tf.math.log1p(tf.math.unsorted_segment_sum(weights, places, count * buckets))
        signs = random_signs((per_coordinate, self.dim), 1.0, self.seed)
        return tf.einsum("bpd,pd->bd", tf.reshape(damped, [count, per_coordinate, self.dim]), signs)

    def encode(self, prepared, training=False):
        return normalised(prepared)

    @staticmethod
    def _grams(batch):
        """N-grams of all texts in one row: `[grams]` strings, the texts they are from, and their weights."""
        text = tf.strings.lower(batch, encoding="utf-8")
        text = tf.strings.regex_replace(text, r"[^\p{L}\p{M}\p{N}]+", " ")
        split = tf.strings.split(tf.strings.regex_replace(text, f"({_UNSPACED})", r" \1 "))
        words, texts = split.flat_values, split.value_rowids()

        length = tf.cast(tf.strings.length(words, unit="UTF8_CHAR"), tf.float32)
        length = tf.where(tf.strings.regex_full_match(words, _UNSPACED), _UNSPACED_LENGTH, length)
        weights = tf.sigmoid(length - _TYPICAL_LENGTH)
        grams = [(words, texts, weights)]

        together = texts[1:] == texts[:-1]
        pairs = tf.strings.join([words[:-1], words[1:]], separator=" ")
        pair_weights = _PAIR_WEIGHT * weights[:-1] * weights[1:]
        grams.append(tuple(tf.boolean_mask(part, together) for part in (pairs, texts[1:], pair_weights)))

        characters = tf.strings.unicode_split(tf.strings.join(["<", words, ">"]), "UTF-8")
        for width in _CHARACTERS:
            pieces = tf.strings.ngrams(characters, width, separator="")
            word = pieces.value_rowids()
            grams.append((pieces.flat_values, tf.gather(texts, word), _CHARACTER_WEIGHT * tf.gather(weights, word)))
        return tuple(tf.concat(part, axis=0) for part in zip(*grams))

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "seed": self.seed, **self.reader.get_config()}
