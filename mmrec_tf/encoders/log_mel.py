"""Waveforms into log-mel spectrograms and cepstral coefficients, by tensorflow-io's operations where they exist."""

import numpy as np
import tensorflow as tf

from mmrec_tf.data.tensorflow_io import import_tensorflow_io

_LOWEST_HERTZ = 40.0
_HIGHEST_HERTZ = 8000.0
# No decibel in a spectrogram of samples in [-1, 1] is that far below the loudest; see `log_mel_spectrogram`.
_NO_CUT = 400.0


def log_mel_spectrogram(waveforms: tf.Tensor, sample_rate: int, mels: int) -> tf.Tensor:
    """How loud each pitch is at each moment, in decibels, on scales close to hearing.

    Windows of 25 ms every 10 ms; mel bands from 40 Hz to 8 kHz or half the sample rate. tensorflow-io's operations are
    plain TensorFlow inside, so they also run where that package's native kernels do not load, and export into core
    operations.

    Args:
        waveforms: `[batch, samples]` float32.
        sample_rate: int. Hz.
        mels: int. Number of bands.

    Returns:
        `[batch, frames, mels]` float32, not below -100.
    """
    tfio = import_tensorflow_io()
    compute = spectrogram_by_core_operations if tfio is None else _by_tensorflow_io
    return compute(waveforms, sample_rate, mels)


def mfcc(waveforms: tf.Tensor, sample_rate: int, mels: int = 64, coefficients: int = 20) -> tf.Tensor:
    """The overall shape of each moment's spectrum: mel-frequency cepstral coefficients, the classic features of timbre.

    They are the orthonormal discrete cosine transform of `log_mel_spectrogram` along the bands. The first one is the
    level (the mean of the bands times the root of their number); few of the next ones say most of the rest.

    Args:
        waveforms: `[batch, samples]` float32.
        sample_rate: int. Hz.
        mels: int. Bands of the spectrogram.
        coefficients: int. Coefficients that are kept, at most `mels`.

    Returns:
        `[batch, frames, coefficients]` float32.

    Reference: Davis and Mermelstein, Comparison of parametric representations for monosyllabic word recognition
    (1980).
    """
    return tf.tensordot(log_mel_spectrogram(waveforms, sample_rate, mels), cosines(mels, coefficients), 1)


def cosines(bands: int, coefficients: int) -> np.ndarray:
    """`[bands, coefficients]` float32: the orthonormal discrete cosine transform (DCT-II)."""
    band = np.arange(bands)[:, None] + 0.5
    matrix = np.sqrt(2 / bands) * np.cos(np.pi / bands * band * np.arange(coefficients))
    matrix[:, 0] /= np.sqrt(2)
    return matrix.astype(np.float32)


def _by_tensorflow_io(waveforms, sample_rate, mels):
    audio = import_tensorflow_io().audio
    window, stride, points, highest = _sizes(sample_rate)
    amplitude = audio.spectrogram(waveforms, nfft=points, window=window, stride=stride)
    bands = audio.melscale(amplitude, rate=sample_rate, mels=mels, fmin=_LOWEST_HERTZ, fmax=highest)
    # `top_db` is counted from the loudest point of the whole batch, so a finite cut would let clips affect each other.
    return audio.dbscale(bands, top_db=_NO_CUT)


def spectrogram_by_core_operations(waveforms: tf.Tensor, sample_rate: int, mels: int) -> tf.Tensor:
    """The same as `log_mel_spectrogram`, without tensorflow-io, for which there is no wheel for Python 3.13."""
    window, stride, points, highest = _sizes(sample_rate)
    amplitude = tf.abs(tf.signal.stft(waveforms, window, stride, points, pad_end=True))
    to_mel = tf.signal.linear_to_mel_weight_matrix(mels, points // 2 + 1, sample_rate, _LOWEST_HERTZ, highest)
    power = tf.square(tf.tensordot(amplitude, to_mel, 1))
    return 10.0 / tf.math.log(10.0) * tf.math.log(tf.maximum(power, 1e-10))


def _sizes(sample_rate: int) -> tuple[int, int, int, float]:
    """Window and stride in samples, points of the Fourier transform, and the highest frequency in Hz."""
    window = max(2, round(0.025 * sample_rate))
    stride = max(1, round(0.010 * sample_rate))
    return window, stride, 1 << (window - 1).bit_length(), min(_HIGHEST_HERTZ, sample_rate / 2)
