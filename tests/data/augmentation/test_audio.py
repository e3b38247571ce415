"""Audio augmentation: what each change does to tones, that it depends on the seed alone, and that it compiles."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_encoders import AugmentationConfig
from mmrec_tf.data.augmentation.audio import augment_waveforms, mask_spectrogram

RATE = 8000
EVERYTHING = {
    "noise": 0.1, "gain": 6.0, "shift": 0.1, "speed": 0.1, "pitch": 2.0, "time_mask": 0.2, "frequency_mask": 0.2,
}  # fmt: skip


def tones(count=8, samples=8000, hertz=500.0):
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)
    return np.repeat(wave[None].astype(np.float32), count, axis=0)


def augmented(waves, seed=(1, 2), **options):
    return augment_waveforms(tf.constant(waves), RATE, AugmentationConfig(**options), tf.constant(seed)).numpy()


def pitches(waves):
    """The loudest frequency of each clip's middle, in Hz."""
    middle = waves[:, 2000:6000]
    return np.abs(np.fft.rfft(middle * np.hanning(4000), 16000)).argmax(axis=1) * RATE / 16000


def test_nothing_is_nothing():
    np.testing.assert_array_equal(augmented(tones()), tones())


@pytest.mark.parametrize("names", [*([name] for name in EVERYTHING), list(EVERYTHING)])
def test_the_seed_alone_decides_and_silence_after_a_clip_stays(names):
    options = {name: EVERYTHING[name] for name in names}
    waves = tones(4)
    waves[:, 5000:] = 0.0
    first = augmented(waves, **options)
    assert first.shape == waves.shape and first.dtype == np.float32 and np.isfinite(first).all()
    np.testing.assert_array_equal(first, augmented(waves, **options))
    np.testing.assert_array_equal(first[:2], augmented(waves[:2], **options))
    assert (augmented(waves, seed=(1, 3), **options) != first).any(axis=1).all()
    assert all((first[i] != first[j]).any() for i in range(4) for j in range(i))
    if not {"shift", "speed"} & set(names):
        np.testing.assert_array_equal(first[:, 5001:], 0.0)
    np.testing.assert_array_equal(augmented(np.zeros((2, 4000), np.float32), **options), 0.0)


def test_gain_by_hand():
    factors = augmented(np.full((200, 10), 0.1, np.float32), gain=6.0)[:, 0] / 0.1
    decibels = 20 * np.log10(factors)
    assert -6 <= decibels.min() < -5.5 and 5.5 < decibels.max() <= 6


def test_noise_is_a_share_of_the_clip_s_own_deviation():
    added = augmented(tones(100), noise=0.2) - tones(100)
    # A sine of 0.5 deviates by 0.5 / sqrt(2).
    shares = added.std(axis=1) / (0.5 / np.sqrt(2))
    assert shares.min() < 0.02 and 0.17 < shares.max() < 0.21
    quiet = augmented(0.001 * tones(100), noise=0.2) - 0.001 * tones(100)
    np.testing.assert_allclose(quiet, 0.001 * added, atol=1e-6)


def test_shift_moves_and_brings_silence():
    waves = np.zeros((50, 4000), np.float32)
    waves[:, 2000] = 1.0
    places = augmented(waves, shift=0.1).argmax(axis=1)
    # 0.1 s are 800 samples.
    assert 1200 <= places.min() < 1300 and 2700 < places.max() <= 2800


def test_speed_changes_pitch_and_length_together():
    waves = tones(40)
    waves[:, 4000:] = 0.0
    found = augmented(waves, speed=0.2)
    lengths = 8000 - (found[:, ::-1] != 0).argmax(axis=1)
    # Faster by f: the pitch is f times as high, and the clip 1 / f as long.
    spectra = np.abs(np.fft.rfft(found[:, :3300] * np.hanning(3300), 16000)).argmax(axis=1) / 2
    np.testing.assert_allclose(spectra * lengths, 500.0 * 4000, rtol=0.01)
    assert 410 > spectra.min() >= 399 and 590 < spectra.max() <= 601


def test_pitch_changes_and_length_stays():
    found = augmented(tones(40), pitch=12.0)
    heard = pitches(found)
    # An octave down to an octave up.
    assert 250 <= heard.min() < 300 and 850 < heard.max() <= 1000
    # Where the pitch is, all of the sound is, as loud as before: 0.5 / sqrt(2).
    np.testing.assert_allclose(found[:, 2000:6000].std(axis=1), 0.5 / np.sqrt(2), rtol=0.03)
    chord = tones(8, hertz=500.0) + tones(8, hertz=1250.0)
    middle = augmented(chord, pitch=4.0)[:, 2000:6000] * np.hanning(4000)
    spectra = np.abs(np.fft.rfft(middle, 16000))
    low = spectra[:, :1700].argmax(axis=1)
    high = 1700 + spectra[:, 1700:].argmax(axis=1)
    np.testing.assert_allclose(high / low, 2.5, rtol=0.02)


def test_time_mask_silences_one_stretch():
    found = augmented(np.ones((100, 1000), np.float32), time_mask=0.3)
    widths = (found == 0).sum(axis=1)
    assert widths.min() < 20 and 270 < widths.max() <= 301
    for wave in found:
        assert np.abs(np.diff(wave)).sum() <= 2


def test_frequency_mask_takes_out_one_band():
    random = np.random.default_rng(0)
    waves = np.repeat(random.standard_normal((1, 16000)).astype(np.float32), 30, axis=0)
    found = augmented(waves, frequency_mask=0.3)
    before, after = (np.abs(np.fft.rfft(part)) ** 2 for part in (waves, found))
    bands = np.add.reduceat(after, np.arange(0, 8000, 200), axis=1) / np.add.reduceat(
        before, np.arange(0, 8000, 200), axis=1
    )
    # 100 Hz a band; well inside of the mask nothing is left, well outside all of it.
    assert (np.median(bands, axis=1) > 0.98).all()
    assert (bands.min(axis=1) < 0.02).sum() > 15
    for wave in bands < 0.02:
        assert np.abs(np.diff(wave.astype(int))).sum() <= 2
    np.testing.assert_allclose(augmented(tones(2), frequency_mask=1e-9), tones(2), atol=1e-5)


@pytest.mark.slow
def test_it_compiles():
    options = AugmentationConfig(**EVERYTHING)
    compiled = tf.function(lambda waves, seed: augment_waveforms(waves, RATE, options, seed), jit_compile=True)
    found = compiled(tf.constant(tones(2, 4000)), tf.constant([1, 2])).numpy()
    assert found.shape == (2, 4000) and np.isfinite(found).all()
    # XLA draws other numbers from a seed; they depend on the seed alone all the same.
    np.testing.assert_array_equal(found, compiled(tf.constant(tones(2, 4000)), tf.constant([1, 2])).numpy())


def test_in_a_dataset_with_unknown_batch():
    options = AugmentationConfig(pitch=1.0, shift=0.1)
    dataset = tf.data.Dataset.from_tensor_slices(tones(5, 4000)).batch(2)
    dataset = dataset.map(lambda waves: augment_waveforms(waves, RATE, options, [0, 1]))
    assert [batch.shape for batch in dataset] == [(2, 4000), (2, 4000), (1, 4000)]


def test_spectrogram_masks():
    spectrograms = np.broadcast_to(np.arange(40, dtype=np.float32), (60, 50, 40)).copy()
    found = mask_spectrogram(tf.constant(spectrograms), 0.2, 0.25, tf.constant([3, 4])).numpy()
    np.testing.assert_array_equal(found, mask_spectrogram(spectrograms, 0.2, 0.25, [3, 4]).numpy())
    changed = found != spectrograms
    # The mean of 0 to 39 is 19.5, which no band has.
    np.testing.assert_array_equal(found[changed], 19.5)
    stretches, bands = changed.all(axis=2).sum(axis=1), changed.all(axis=1).sum(axis=1)
    # 0.2 of 50 frames, 0.25 of 40 bands.
    assert 8 <= stretches.max() <= 11 and 8 <= bands.max() <= 11
    expected = changed.all(axis=2)[:, :, None] | changed.all(axis=1)[:, None]
    np.testing.assert_array_equal(changed, expected)
