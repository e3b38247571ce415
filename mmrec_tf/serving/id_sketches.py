"""Sets of ids in little memory, from which no id can be read: which are known, and how many were met."""

import base64
import math

import numpy as np
import tensorflow as tf

_BUCKETS = 2**62
_BITS_PER_ID = 10
_PROBES = 7


def hash_ids(ids: np.ndarray) -> np.ndarray:
    """`[n]` int64 hashes of strings, the same on every machine; `""`, which says nothing, is left out.

    Args:
        ids: str or bytes, of any shape.
    """
    ids = np.asarray(ids, object).ravel()
    hashes = tf.raw_ops.StringToHashBucketFast(input=ids, num_buckets=_BUCKETS).numpy()
    return hashes[[len(name) > 0 for name in ids]] if len(ids) else hashes


class KnownIds:
    """A Bloom filter: says of every id that was put in that it is known, and of 1 in 120 others too.

    It takes 10 bits an id, 1.25 MB for a million. Asked for the share of unknown ids it says 0.8 % of it too little.

    Args:
        bits: `[size]` uint8.

    Reference: Bloom, Space/time trade-offs in hash coding with allowable errors (1970); Kirsch and Mitzenmacher, Less
    hashing, same performance (2006).
    """

    def __init__(self, bits: np.ndarray):
        self.bits = bits

    @classmethod
    def of(cls, ids: np.ndarray) -> "KnownIds":
        """Of strings."""
        hashes = hash_ids(ids)
        known = cls(np.zeros(max(8, math.ceil(len(hashes) * _BITS_PER_ID / 8)), np.uint8))
        for places in known._places(hashes):
            np.bitwise_or.at(known.bits, places >> 3, _bit(places))
        return known

    def __contains__(self, name: str | bytes) -> bool:
        return bool(self.are_known(hash_ids(np.array([name], object))).all())

    def are_known(self, hashes: np.ndarray) -> np.ndarray:
        """`[n]` bool for `[n]` hashes."""
        found = np.ones(len(hashes), bool)
        for places in self._places(hashes):
            found &= (self.bits[places >> 3] & _bit(places)) > 0
        return found

    def to_text(self) -> str:
        """For `from_text`."""
        return base64.b64encode(self.bits.tobytes()).decode()

    @classmethod
    def from_text(cls, text: str) -> "KnownIds":
        """Raises ValueError for text that is not from `to_text`."""
        bits = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
        if not len(bits):
            raise ValueError("a set of known ids has no bits")
        return cls(bits)

    def _places(self, hashes: np.ndarray):
        # Halves of a hash serve as two, and their sums as all others.
        first, second = hashes & 0x7FFFFFFF, (hashes >> 31) | 1
        for probe in range(_PROBES):
            yield (first + probe * second) % (8 * len(self.bits))


class DistinctIds:
    """Estimates how many distinct ids it has met, in a bitmap whose size does not grow.

        n = -m ln(share of the m bits that are 0)

    With 8 bits for each id that there can be, and 8,192 at least, the standard error is below 1 %, and 0.03 % for a
    million ids.

    Args:
        size: int. How many distinct ids there can be. Beyond a million the bitmap stays at 1 MB.

    Reference: Whang, Vander-Zanden and Taylor, A linear-time probabilistic counting algorithm (1990).
    """

    def __init__(self, size: int):
        self.met = np.zeros(min(2**20, max(1024, size)), np.uint8)

    def add(self, hashes: np.ndarray) -> None:
        """Takes `[n]` hashes."""
        places = hashes % (8 * len(self.met))
        np.bitwise_or.at(self.met, places >> 3, _bit(places))

    def join(self, other: "DistinctIds") -> None:
        """Takes what another of the same size has met."""
        self.met |= other.met

    @property
    def count(self) -> float:
        """The estimate."""
        bits = 8 * len(self.met)
        zeros = bits - int(np.unpackbits(self.met).sum())
        return -bits * math.log(max(zeros, 1) / bits)


def _bit(places: np.ndarray) -> np.ndarray:
    return np.left_shift(np.uint8(1), (places & 7).astype(np.uint8))
