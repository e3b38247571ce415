"""Texts into rows of token ids with special tokens at both ends, in graphs that are exported."""

from collections.abc import Callable

import tensorflow as tf


class TokenPacker(tf.__internal__.tracking.AutoTrackable):
    """A KerasNLP tokenizer with what its graph needs: its tables, tracked so that they are exported with it.

    Args:
        tokenizer: gives ragged token ids `[batch, tokens]` of strings, and names its special tokens' ids as
            `start_token_id`, `end_token_id` and `pad_token_id`.
        lowers: bool. Take off accents and capitals first.
    """

    def __init__(self, tokenizer, lowers: bool):
        initialise: Callable[[], None] = getattr(tokenizer, "_maybe_initialized_tf", lambda: None)
        with tf.init_scope():
            # Some make their tables at the first call, which may be inside a graph, where they would stay.
            initialise()
        kept = vars(tokenizer).values()
        self.resources = [value for value in kept if isinstance(value, tf.__internal__.tracking.Trackable)]
        begin, end, pad = (getattr(tokenizer, f"{name}_token_id", None) for name in ("start", "end", "pad"))
        self._begin = [] if begin is None else [begin]
        self._end = [] if end is None else [end]
        self._pad = 0 if pad is None else pad
        normalise = _without_accents_and_capitals if lowers else tf.identity
        # Called on strings outside a graph, tokenizers give lists.
        self._split = tf.function(
            lambda texts: tokenizer(normalise(texts)), input_signature=[tf.TensorSpec([None], tf.string, "texts")]
        )

    def pack(self, texts: tf.Tensor, max_tokens: int, length: int | None) -> dict[str, tf.Tensor]:
        """`token_ids` and `padding_mask`, `[batch, length]` int32.

        Args:
            texts: `[batch]` strings.
            max_tokens: int. The most tokens of a text, special ones included.
            length: int. Tokens that all texts are filled up to; None for the longest of them.
        """
        ids = tf.cast(self._split(texts), tf.int32)[:, : max_tokens - len(self._begin) - len(self._end)]
        rows = ids.nrows()
        ends = [tf.tile(tf.constant([end], tf.int32, [1, len(end)]), [rows, 1]) for end in (self._begin, self._end)]
        ids = tf.concat([ends[0], ids, ends[1]], axis=1)
        shape = [None, length]
        mask = tf.ones_like(ids).to_tensor(shape=shape)
        return {"token_ids": ids.to_tensor(self._pad, shape=shape), "padding_mask": mask}


def _without_accents_and_capitals(texts):
    import tensorflow_text as tf_text

    plain = tf.strings.regex_replace(tf_text.normalize_utf8(texts, "NFKD"), r"\p{Mn}", "")
    return tf.strings.lower(plain, encoding="utf-8")
