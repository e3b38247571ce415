"""Batches for the feature store: decoded ahead of the encoder, and of contents of similar length.

A batch costs what its longest content costs times its size. Texts differ in length by a factor of ten and more, so
that filling up random batches wastes most of the work; sorting within a window of what is decoded avoids that.
"""

import bisect
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from mmrec_tf.encoders.base import Encoder
from mmrec_tf.features.content import NOT_READ, Source, decoded_in_order

_SHAPES = 8
"""The most lengths that batches are filled up to, each of which the encoder is traced for."""
_WINDOW_BATCHES = 16
_WINDOW_BYTES = 192 * 2**20
_AHEAD_BYTES = 64 * 2**20
_BATCH_BYTES = 16 * 2**20
"""An encoder's own arrays are many times as large as its batch."""


@dataclass
class Batch:
    """Contents to encode together, and those found on the way that cannot be decoded.

    Attributes:
        keys: of the contents.
        contents: the contents, shorter to longer.
        undecodable: keys.
    """

    keys: list[bytes] = field(default_factory=list)
    contents: list[np.ndarray | str] = field(default_factory=list)
    undecodable: list[bytes] = field(default_factory=list)


def decoded_batches(encoder: Encoder, sources: dict[bytes, Source], decode: Callable | None = None) -> Iterator[Batch]:
    """Batches of at most `encoder.batch_size` contents, decoded in threads while earlier ones are encoded.

    The order depends on the contents alone. What is decoded and waits is bounded to about 256 MB.

    Args:
        encoder: decodes, and says how long a content is.
        sources: by key.
        decode: function of a key and its source, called in threads; the encoder's own of the source when None. What it
            gives NOT_READ for is in no batch.
    """
    size = encoder.batch_size
    # Strings can wait by the thousand, and one of them is no work for a thread.
    item_bytes = 4 * math.prod(encoder.content_shape) if _is_array(encoder) else 1024
    ahead = max(1, min(2 * size, _AHEAD_BYTES // item_bytes))
    group = 64 if not _is_array(encoder) else 4 if item_bytes < 2**20 else 1
    decode = decode or (lambda key, source: encoder.decode(source))
    decoded = zip(sources, decoded_in_order(lambda entry: decode(*entry), sources.items(), ahead, group))
    return _Window(encoder).batches(decoded)


class _Window:
    """Decoded contents in order of length, of which batches are taken from the shortest to the longest, over and over.

    Args:
        encoder: says how long a content is, and how many make a batch.
    """

    def __init__(self, encoder: Encoder):
        self._encoder = encoder
        # Length, number of arrival, key, content; the number of arrival is unique, so contents are never compared.
        self._entries: list[tuple[int, int, bytes, np.ndarray | str]] = []
        self._bytes = 0
        self._arrived = 0
        # Length and number of the longest content of the last batch.
        self._last = (-1, -1)

    def batches(self, decoded: Iterable[tuple[bytes, np.ndarray | str | None]]) -> Iterator[Batch]:
        size = self._encoder.batch_size
        # Arrays take time to decode: the encoder begins before the window is full.
        wanted = 2 * size if _is_array(self._encoder) else _WINDOW_BATCHES * size
        undecodable = []
        for key, content in decoded:
            if content is NOT_READ:
                continue
            if content is None:
                undecodable.append(key)
                # It is not held back for long, as what is not stored has to be decoded again after a crash.
                if len(undecodable) == 4 * size:
                    yield Batch(undecodable=undecodable)
                    undecodable = []
                continue
            self._add(key, content)
            if len(self._entries) >= wanted or self._bytes >= _WINDOW_BYTES or self._is_even(size):
                yield self._next(undecodable, more_to_come=True)
                undecodable = []
                wanted = min(wanted + size, _WINDOW_BATCHES * size)
        while self._entries:
            yield self._next(undecodable, more_to_come=False)
            undecodable = []
        if undecodable:
            yield Batch(undecodable=undecodable)

    def _add(self, key, content):
        length = int(self._encoder.content_length(content))
        bisect.insort(self._entries, (length, self._arrived, key, content))
        self._arrived += 1
        self._bytes += _bytes_of(content)

    def _is_even(self, size: int) -> bool:
        """Whether there is a batch, and nothing to gain by waiting, as everything is of one length."""
        return len(self._entries) >= size and self._entries[0][0] == self._entries[-1][0]

    def _next(self, undecodable: list[bytes], more_to_come: bool) -> Batch:
        first = bisect.bisect_right(self._entries, self._last, key=lambda entry: entry[:2])
        if first == len(self._entries):
            first = 0
        last = first
        while last + 1 < len(self._entries) and self._fits(last + 2 - first, last + 1):
            last += 1
        if last + 1 == len(self._entries) and more_to_come:
            # The longest few join the longest of the rest, rather than make a small batch.
            while first > 0 and self._fits(last + 2 - first, last):
                first -= 1
        taken = self._entries[first : last + 1]
        del self._entries[first : last + 1]
        self._last = taken[-1][:2]
        self._bytes -= sum(_bytes_of(content) for *_, content in taken)
        return Batch([entry[2] for entry in taken], [entry[3] for entry in taken], undecodable)

    def _fits(self, count: int, longest: int) -> bool:
        """Whether a batch may have so many contents, the longest of which is that entry."""
        content = self._entries[longest][3]
        item_bytes = _bytes_of(content)
        if self._encoder.varying_length and len(content):
            item_bytes *= padded_length(len(content), self._encoder.content_shape[0]) / len(content)
        return count <= self._encoder.batch_size and count * item_bytes <= _BATCH_BYTES


def padded_length(length: int, longest: int) -> int:
    """The length that contents of a length are filled up to: the next eighth of the longest."""
    step = -(-longest // _SHAPES)
    return max(length, min(-(-length // step) * step, longest))


def stacked(encoder: Encoder, contents: list[np.ndarray | str]) -> tf.Tensor:
    """`[contents, ...]` in one tensor; zeros fill up those of varying length to `padded_length` of the longest."""
    if isinstance(contents[0], str):
        return tf.constant(contents)
    if not encoder.varying_length:
        return tf.constant(np.stack(contents))
    longest = max(len(content) for content in contents)
    length = padded_length(longest, encoder.content_shape[0])
    filled = np.zeros((len(contents), length, *contents[0].shape[1:]), contents[0].dtype)
    for row, content in zip(filled, contents):
        row[: len(content)] = content
    return tf.constant(filled)


def _is_array(encoder: Encoder) -> bool:
    return encoder.modality != "text"


def _bytes_of(content: np.ndarray | str) -> int:
    return len(content) if isinstance(content, str) else content.nbytes
