"""Texts cleaned by TensorFlow's own operations, in tf.data and in exported graphs alike.

Product feeds bring markup, addresses and every writing system. What is done here holds for all of them: nothing
depends on an alphabet, and what is no markup stays, emoji included.
"""

import functools

import numpy as np
import tensorflow as tf

from mmrec_tf.config_encoders import CleaningConfig
from mmrec_tf.data.html_text import without_html
from mmrec_tf.errors import ConfigError, suggestion

_SPACE = r"[\s\pZ\x{85}]+"
_CONTROL = r"[\x{00}-\x{08}\x{0B}\x{0E}-\x{1F}\x{7F}]"
# Marks that show nothing: soft hyphen, word joiner, byte order mark. Joiners that shape Persian words and emoji stay.
_INVISIBLE = r"[\x{AD}\x{2060}\x{FEFF}]"

# Languages that are written without spaces put an address and the next word side by side.
_ADDRESS = r"[^\s\pZ<>\"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\x{3000}-\x{303F}\x{FF00}-\x{FFEF}]"
_ADDRESS_END = r"[^\s\pZ\pP<>\"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\x{3000}-\x{303F}\x{FF00}-\x{FFEF}]/?"
_URL = rf"(?i)\b(?:(?:https?|ftp)://|www\.){_ADDRESS}*{_ADDRESS_END}"
_MAIL = r"(?i)(?:mailto:)?[\pL\pN._%+\-]+@[\pL\pN\-]+(?:\.[\pL\pN\-]+)+"

_BUCKETS = 2**62


def clean_texts(texts: tf.Tensor, options: CleaningConfig) -> tf.Tensor:
    """Texts without what says nothing about the item.

    In this order: invalid UTF-8 becomes U+FFFD and control characters spaces; HTML is taken out and its entities
    resolved; Unicode is brought to its composed compatibility form (NFKC), so that full-width letters and ligatures
    are plain ones; web and mail addresses go; letters become small; stop words go; the first words are kept; white
    space becomes single spaces.

    Words are what stands between white space. So in languages that are written without spaces (Chinese, Japanese,
    Thai), `stop_words` takes out only what stands alone and `max_words` counts phrases. A text of nothing but stop
    words keeps them: films are called "It" and "Us".

    Args:
        texts: `[batch]` strings.
        options: what is done.

    Returns:
        `[batch]` strings, valid UTF-8. All operations but NFKC (TensorFlow Text's, which TensorFlow Serving has too)
        are TensorFlow's own.

    Raises:
        ConfigError: when there are no stop words for a language.

    Reference: Unicode Standard Annex 15, Unicode normalization forms; the lists of stop words are those of the package
    stopwordsiso.
    """
    import tensorflow_text as tf_text

    stop_words = stop_words_of(tuple(options.stop_words))
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    texts = tf.strings.regex_replace(texts, _CONTROL, " ")
    if options.strip_html:
        texts = without_html(texts)
    texts = tf_text.normalize_utf8(tf.strings.regex_replace(texts, _INVISIBLE, ""), "NFKC")
    if options.strip_urls:
        texts = tf.strings.regex_replace(tf.strings.regex_replace(texts, _URL, " "), _MAIL, " ")
    if options.lower:
        texts = tf.strings.lower(texts, encoding="utf-8")
    texts = tf.strings.strip(tf.strings.regex_replace(texts, _SPACE, " "))
    if not stop_words and options.max_words is None:
        return texts
    words = tf.strings.split(texts)
    if stop_words:
        words = _without(words, stop_words)
    if options.max_words is not None:
        words = words[:, : options.max_words]
    return tf.ensure_shape(tf.strings.reduce_join(words, axis=1, separator=" "), texts.shape)


@functools.cache
def stop_words_of(languages: tuple[str, ...]) -> tuple[str, ...]:
    """The most frequent words of one or several languages, in small letters.

    Args:
        languages: ISO 639-1 codes.

    Raises:
        ConfigError: when there are none for a language.
    """
    if not languages:
        return ()
    import stopwordsiso

    known = sorted(stopwordsiso.langs())
    for language in languages:
        if language not in known:
            raise ConfigError(
                f"There are no stop words for the language {language!r}. Two-letter codes (ISO 639-1) are expected; "
                f"there are stop words for: {', '.join(known)}.{suggestion(language, known)}"
            )
    return tuple(sorted({_plain(word) for language in languages for word in stopwordsiso.stopwords(language)}))


def _plain(word: str) -> str:
    return word.lower().replace("\u2019", "'")


def _without(words: tf.RaggedTensor, stop_words: tuple[str, ...]) -> tf.RaggedTensor:
    """The words that are no stop words, case and the punctuation around them aside."""
    plain = tf.strings.lower(words.flat_values, encoding="utf-8")
    plain = tf.strings.regex_replace(plain, "\u2019", "'")
    plain = tf.strings.regex_replace(plain, r"^[\pP\pS]+|[\pP\pS]+$", "")
    # A lookup table would have to be carried along by whatever exports the graph; sorted hashes are a constant.
    hashes = tf.constant(_sorted_hashes(stop_words))
    found = tf.strings.to_hash_bucket_fast(plain, _BUCKETS)
    places = tf.minimum(tf.searchsorted(hashes, found), len(stop_words) - 1)
    is_word = words.with_flat_values(tf.not_equal(tf.gather(hashes, places), found))
    nothing_left = tf.logical_not(tf.reduce_any(is_word, axis=1))
    keep = tf.logical_or(is_word.flat_values, tf.gather(nothing_left, words.value_rowids()))
    return tf.ragged.boolean_mask(words, words.with_flat_values(keep))


@functools.cache
def _sorted_hashes(words: tuple[str, ...]) -> np.ndarray:
    with tf.init_scope():
        return np.sort(tf.strings.to_hash_bucket_fast(tf.constant(words), _BUCKETS).numpy())
