"""The built-in audio encoder: its contract, and that it tells sounds and voices apart before any training."""

import numpy as np
import pytest

from mmrec_tf.encoders.audio_cnn import AudioCnnEncoder
from tests.layer_checks import check_layer


def nearest_agree(vectors, labels):
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    labels = np.asarray(labels)
    return (labels[similarity.argmax(axis=1)] == labels).mean()


def batch_of(encoder, paths):
    """Decoded clips in one batch, filled up with zeros."""
    batch = np.zeros((len(paths), *encoder.content_shape), np.float32)
    for row, path in enumerate(paths):
        wave = encoder.decode(path)
        batch[row, : len(wave)] = wave
    return batch


def chirps(count=3, samples=4000, rate=8000):
    time = np.arange(samples) / rate
    waves = [0.5 * np.sin(2 * np.pi * (300 + 200 * i) * time * (1 + 0.5 * time)) for i in range(count)]
    return (waves + 0.01 * np.random.default_rng(0).standard_normal((count, samples))).astype(np.float32)


def test_layer(tmp_path):
    check_layer(
        lambda: AudioCnnEncoder(dim=16, sample_rate=8000, seconds=0.5),
        chirps(),
        tmp_path,
        expected_shape=(3, 16),
        has_float32_output=True,
    )


def test_loudness_and_the_zeros_after_a_clip_do_not_count():
    encoder = AudioCnnEncoder(sample_rate=8000)
    wave = chirps(1)
    vectors = [encoder(given).numpy()[0] for given in (wave, 0.1 * wave, np.pad(wave, [(0, 0), (0, 12000)]))]
    assert vectors[0] @ vectors[1] > 0.99
    # Two or three frames at the clip's end differ, as their windows now hold zeros and not the end of the tensor.
    assert vectors[0] @ vectors[2] > 0.99


@pytest.mark.parametrize("samples", [1, 100, 400])
def test_silence_gives_zeros_and_short_clips_are_finite(samples):
    encoder = AudioCnnEncoder(dim=8)
    np.testing.assert_array_equal(encoder(np.zeros((2, samples), np.float32)).numpy(), 0.0)
    assert np.isfinite(encoder(chirps(2)[:, :samples]).numpy()).all()


def test_clips_of_a_batch_do_not_touch_each_other():
    encoder = AudioCnnEncoder(sample_rate=8000)
    waves = chirps() * np.float32([[1.0], [0.001], [0.3]])
    alone = np.concatenate([encoder(wave[None]).numpy() for wave in waves])
    np.testing.assert_allclose(encoder(waves).numpy(), alone, atol=1e-5)


def test_fingerprint_tells_settings_apart():
    settings = [{}, {"seconds": 5.0}, {"sample_rate": 8000}, {"dim": 64}, {"seed": 1}]
    fingerprints = [AudioCnnEncoder(**options).fingerprint for options in settings]
    assert len(set(fingerprints)) == 5
    assert AudioCnnEncoder(batch_size=2).fingerprint == fingerprints[0]


def test_sounds_of_one_class_are_near(shared_data):
    paths = sorted((shared_data / "sounds-esc10-ccby").glob("*.ogg"))
    encoder = AudioCnnEncoder(seconds=5.0)
    vectors = encoder(batch_of(encoder, paths)).numpy()
    # Ten classes, four clips each: chance is 3 of 39, 8 %.
    assert nearest_agree(vectors, [path.name.split("_")[0] for path in paths]) > 0.55


def test_digits_and_speakers_are_near(shared_data):
    paths = sorted((shared_data / "speech-fsdd-ccbysa").glob("*.wav"))
    encoder = AudioCnnEncoder(sample_rate=8000, seconds=1.5)
    vectors = encoder(batch_of(encoder, paths)).numpy()
    digits, speakers, _ = zip(*(path.stem.split("_") for path in paths))
    # Ten digits and six speakers.
    assert nearest_agree(vectors, digits) > 0.75
    assert nearest_agree(vectors, speakers) > 0.85
