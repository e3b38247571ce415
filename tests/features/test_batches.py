"""Batches of similar length: how contents are grouped, filled up and bounded."""

import numpy as np
import pytest

from mmrec_tf.encoders.base import Encoder
from mmrec_tf.features import batches
from mmrec_tf.features.batches import decoded_batches, padded_length, stacked
from mmrec_tf.features.feature_store import FeatureStore


class Waves(Encoder):
    """Takes bytes as waveforms of that many samples, at most 80; a vector is the sum of a waveform and its square's."""

    modality, dim = "audio", 2
    varying_length = True
    content_shape = (80,)

    def decode(self, source):
        return None if source.startswith(b"bad") else np.frombuffer(source, np.uint8).astype(np.float32)

    def content_length(self, content):
        return len(content)

    def encode(self, prepared, training=False):
        import tensorflow as tf

        return tf.stack([tf.reduce_sum(prepared, axis=1), tf.reduce_sum(prepared**2, axis=1)], axis=1)


def waves(count, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(1, 9, rng.integers(1, 81), dtype=np.uint8).tobytes() for _ in range(count)]


def keyed(sources):
    return {b"%016d" % number: source for number, source in enumerate(sources)}


@pytest.mark.parametrize(("length", "expected"), [(1, 10), (10, 10), (11, 20), (79, 80), (80, 80)])
def test_lengths_are_filled_up_to_an_eighth_of_the_longest(length, expected):
    # An eighth of 80 is 10.
    assert padded_length(length, 80) == expected


def test_there_are_never_more_than_eight_lengths():
    for longest in (1, 5, 7, 80, 81, 160000):
        assert len({padded_length(length, longest) for length in range(1, min(longest, 5000) + 1)}) <= 8


def test_every_content_comes_once_and_neighbours_in_length_together():
    sources = keyed(waves(200))
    found = list(decoded_batches(Waves(batch_size=8), sources))
    keys = [key for batch in found for key in batch.keys]
    assert sorted(keys) == sorted(sources)
    assert max(len(batch.keys) for batch in found) == 8
    spread = np.mean([len(batch.contents[-1]) - len(batch.contents[0]) for batch in found])
    # 8 of 80 lengths drawn at random span 62 on average; within a window of 16 batches neighbours span a few.
    assert spread < 15


def test_what_cannot_be_decoded_is_reported_and_takes_no_place():
    sources = keyed([b"bad", *waves(5), b"bad again"])
    found = list(decoded_batches(Waves(batch_size=4), sources))
    assert sorted(key for batch in found for key in batch.undecodable) == [b"%016d" % 0, b"%016d" % 6]
    assert sum(len(batch.keys) for batch in found) == 5


def test_a_batch_is_bounded_in_bytes(monkeypatch):
    # Two waveforms of 80 float32 samples are 640 bytes.
    monkeypatch.setattr(batches, "_BATCH_BYTES", 640)
    found = list(decoded_batches(Waves(batch_size=8), keyed([bytes([1]) * 80] * 6)))
    assert [len(batch.keys) for batch in found] == [2, 2, 2]


def test_zeros_fill_up():
    filled = stacked(Waves(), [np.ones(3, np.float32), np.ones(12, np.float32)]).numpy()
    assert filled.shape == (2, 20)
    assert filled.sum(axis=1).tolist() == [3, 12] and filled[0, :3].all() and filled[1, :12].all()


def test_vectors_do_not_depend_on_the_batches(tmp_path):
    sources = waves(100)
    expected = [[sum(source), sum(value**2 for value in source)] for source in sources]
    for batch_size in (1, 7, 64):
        store = FeatureStore(tmp_path / str(batch_size))
        encoder = Waves(batch_size=batch_size)
        assert store.embed(encoder, sources).computed == len(set(sources))
        vectors, mask = store.read(encoder, sources)
        assert mask.all()
        np.testing.assert_allclose(vectors, expected, rtol=1e-6)


def test_half_precision_takes_half_the_space_and_is_rounded_from_what_is_there(tmp_path):
    sources, encoder, store = waves(50), Waves(), FeatureStore(tmp_path)
    store.embed(encoder, sources)
    encoder.decode = None  # not needed: the vectors are there
    summary = store.embed(encoder, sources, dtype="float16")
    assert summary.computed == 0 and summary.reused == len(sources)
    full, half = store.read(encoder, sources)[0], store.read(encoder, sources, dtype="float16")[0]
    np.testing.assert_array_equal(half, full.astype(np.float16).astype(np.float32))
    assert half.dtype == np.float32
    # A row is 17 bytes and two numbers of four bytes or two; NumPy's header comes on top of it.
    size = {
        name: sum(path.stat().st_size for path in store.directory(encoder, name).glob("*.npy"))
        for name in ("float32", "float16")
    }
    assert size["float32"] - size["float16"] == len(set(sources)) * 2 * 2
