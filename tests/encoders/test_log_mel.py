"""Log-mel spectrograms: tensorflow-io's operations against core TensorFlow, and both against NumPy."""

import numpy as np
import pytest
from scipy.fft import dct

from mmrec_tf.data.tensorflow_io import import_tensorflow_io
from mmrec_tf.encoders.log_mel import (
    _by_tensorflow_io,
    cosines,
    log_mel_spectrogram,
    mfcc,
    spectrogram_by_core_operations,
)


def waves():
    time = np.arange(4000) / 16000
    random = np.random.default_rng(0)
    tone, noise = 0.5 * np.sin(2 * np.pi * 1000 * time), 0.1 * random.standard_normal(4000)
    return np.stack([tone, noise, np.zeros(4000)]).astype(np.float32)


@pytest.mark.parametrize("sample_rate", [8000, 16000, 44100])
def test_tensorflow_io_and_core_operations_agree(sample_rate):
    if import_tensorflow_io() is None:
        pytest.skip("tensorflow-io is not installed (it has no wheel for Python 3.13)")
    by_io = _by_tensorflow_io(waves(), sample_rate, 64).numpy()
    by_core = spectrogram_by_core_operations(waves(), sample_rate, 64).numpy()
    np.testing.assert_allclose(by_io, by_core, atol=1e-3)


def test_against_numpy():
    # 16 kHz: windows of 400 samples every 160, Hann, 512 points; mel(f) = 1127 ln(1 + f / 700) as in HTK, triangles
    # whose corners are 66 points evenly spaced in mel from 40 Hz to 8 kHz.
    wave = waves()[1].astype(np.float64)
    padded = np.pad(wave, (0, 400))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.stack([padded[i : i + 400] * window for i in range(0, 4000, 160)])
    amplitude = np.abs(np.fft.rfft(frames, 512))
    mel = 1127 * np.log1p(np.arange(257) * 16000 / 512 / 700)
    corners = np.linspace(1127 * np.log1p(40 / 700), 1127 * np.log1p(8000 / 700), 66)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (mel[:, None] - left) / (centre - left)
    falling = (right - mel[:, None]) / (right - centre)
    bands = amplitude @ np.maximum(0, np.minimum(rising, falling))
    expected = 10 * np.log10(np.maximum(bands**2, 1e-10))
    np.testing.assert_allclose(log_mel_spectrogram(waves(), 16000, 64).numpy()[1], expected, atol=0.05)


def test_silence_is_the_floor_and_a_tone_its_band():
    decibels = log_mel_spectrogram(waves(), 16000, 64).numpy()
    np.testing.assert_allclose(decibels[2], -100.0, atol=1e-3)
    corners = np.linspace(1127 * np.log1p(40 / 700), 1127 * np.log1p(8000 / 700), 66)
    nearest = np.abs(corners[1:-1] - 1127 * np.log1p(1000 / 700)).argmin()
    assert abs(int(decibels[0, 10].argmax()) - int(nearest)) <= 1


def test_coefficients_are_the_cosine_transform_of_the_bands():
    found = mfcc(waves(), 16000, mels=40, coefficients=13).numpy()
    decibels = log_mel_spectrogram(waves(), 16000, 40).numpy()
    assert found.shape == (*decibels.shape[:2], 13)
    np.testing.assert_allclose(found, dct(decibels, norm="ortho")[:, :, :13], atol=2e-3)
    # Silence is -100 in each of 40 bands: -100 * sqrt(40), and no shape.
    np.testing.assert_allclose(found[2], np.broadcast_to([-632.4555] + [0.0] * 12, found[2].shape), atol=2e-3)


def test_cosines_by_hand():
    # Three bands: a constant, then cos(pi / 3 * (band + 0.5)) = cos 30, 90, 150 degrees, scaled by sqrt(2 / 3).
    expected = [[3**-0.5, 2**-0.5], [3**-0.5, 0.0], [3**-0.5, -(2**-0.5)]]
    np.testing.assert_allclose(cosines(3, 2), expected, atol=1e-6)
