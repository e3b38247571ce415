"""Sound into vectors by a small convolutional network over log-mel spectrograms, useful before it has been trained."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.base import Encoder, normalised, random_signs
from mmrec_tf.encoders.log_mel import cosines, log_mel_spectrogram
from mmrec_tf.encoders.parts import mean_over_parts, windows_of
from mmrec_tf.encoders.readers import AudioReader

_MELS = 64
_COEFFICIENTS = 20
_FILTERS = 32
_FILTER_SIZE = 9
_FILTER_RADIUS = 2.5
_FASTEST = 0.12
"""Highest frequency of the filters, in waves per frame (10 ms) and per mel band."""
_PITCH_STRIDE = 4
_PITCH_CELLS = 4
_DYNAMIC_RANGE = 80.0
_SILENCE = 60.0
"""Decibels below the clip's loudest point at which a frame counts as silent."""


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class AudioCnnEncoder(Encoder):
    """Turns a waveform into a vector of its timbre and of the patterns in its spectrogram, without a download.

    The waveform becomes a log-mel spectrogram, with the clip's own mean level taken out, so that loudness does not
    count. From it two kinds of features are taken at each moment: 20 cepstral coefficients (the spectrum's overall
    shape) with their changes, and the responses of 32 filters over time and pitch, which start as seeded Gabor filters
    (rising, falling and steady tones, onsets), rectified and averaged over quarters of the pitch range. The vector
    joins their means and deviations over the moments that are not silent (so the zeros after a short clip do not
    count), each kind centred and scaled to length 1, projected to `dim` by seeded random signs. Filters and projection
    are ordinary weights and can be trained.

    Args:
        dim: int. Width of the vector. Defaults to 128.
        sample_rate: int. Hz of the waveform. Defaults to 16000.
        seconds: float. Length of the window of a clip that is heard at a time. Defaults to 10.
        windows, loudness, trim_silence: of the clip; see `AudioReader`.
        seed: int. Chooses filters and projection. Defaults to 0.
        batch_size: int. Items that the feature store encodes at a time. Defaults to 64.

    Call arguments:
        batch: `[batch, samples]` float32 in about [-1, 1].

    Returns:
        `[batch, dim]` float32 tensor.

    Reference: Davis and Mermelstein, Comparison of parametric representations for monosyllabic word recognition
    (1980), for the coefficients; Schädler et al., Spectro-temporal modulation subspace-spanning filter bank features
    (2012), for the filters.
    """

    modality = "audio"

    def __init__(
        self,
        dim: int = 128,
        sample_rate: int = 16000,
        seconds: float = 10.0,
        windows: int = 1,
        loudness: float | None = None,
        trim_silence: bool = False,
        seed: int = 0,
        batch_size: int = 64,
        **kwargs,
    ):
        super().__init__(batch_size=batch_size, **kwargs)
        self.dim = dim
        self.reader = AudioReader(sample_rate, seconds, windows, loudness, trim_silence)
        self.sample_rate = sample_rate
        self.seed = seed

    def build(self, input_shape=None):
        filters = first_filters(self.seed)
        width = 3 * _COEFFICIENTS - 1 + 2 * _FILTERS * _PITCH_CELLS
        project = random_signs((width, self.dim), 1.0 / np.sqrt(self.dim), self.seed)
        for name, value in (("filters", filters), ("project", project)):
            setattr(self, name, self.add_weight(name, value.shape, initializer=tf.constant_initializer(value)))
        self.bias = self.add_weight("bias", (self.dim,), initializer="zeros")
        super().build(input_shape)

    def encode(self, prepared, training=False):
        windows = windows_of(tf.cast(prepared, tf.float32), self.reader.window)
        return mean_over_parts(self._encode_window, windows, self.dim, static_shape=training)

    def _encode_window(self, waveforms):
        decibels = log_mel_spectrogram(waveforms, self.sample_rate, _MELS)
        peak = tf.reduce_max(decibels, axis=[1, 2], keepdims=True)
        heard = tf.cast(tf.reduce_max(decibels, axis=2, keepdims=True) > peak - _SILENCE, tf.float32)
        levels = tf.maximum(decibels, peak - _DYNAMIC_RANGE) / 20.0
        # Silent frames get the mean level, so that the end of a clip is no loud event where zeros follow it.
        levels = (levels - tf.reduce_mean(_mean(levels, heard), axis=2, keepdims=True)) * heard

        coefficients = tf.tensordot(levels, cosines(_MELS, _COEFFICIENTS), 1)
        changes = coefficients[:, 2:] - coefficients[:, :-2]
        patterns = tf.nn.conv2d(
            tf.cast(levels, self.compute_dtype)[..., None], self.filters, [1, 1, _PITCH_STRIDE, 1], "SAME"
        )
        patterns = tf.cast(tf.nn.relu(patterns), tf.float32)
        # A square root, but with a finite slope at zero.
        patterns *= tf.math.rsqrt(patterns + 1e-4)
        width = _MELS // _PITCH_STRIDE // _PITCH_CELLS
        patterns = tf.nn.avg_pool2d(patterns, [1, width], [1, width], "SAME")
        patterns = tf.reshape(patterns, [-1, patterns.shape[1] or tf.shape(patterns)[1], _FILTERS * _PITCH_CELLS])

        parts = [
            # The first coefficient is the level, which is zero by now.
            _mean(coefficients, heard)[..., 1:],
            _centred(_deviation(coefficients, heard)),
            _centred(_deviation(changes, heard[:, 1:-1])),
            _centred(_mean(patterns, heard)),
            _centred(_deviation(patterns, heard)),
        ]
        joined = tf.concat([normalised(part[:, 0]) for part in parts], axis=1) / np.sqrt(len(parts))
        return normalised(tf.matmul(tf.cast(joined, self.compute_dtype), self.project) + self.bias)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            **self.reader.identity(),
            "seed": self.seed,
        }


def first_filters(seed: int) -> np.ndarray:
    """`[9, 9, 1, 32]` float32: Gabor filters over time and pitch, of seeded direction, width and phase.

    Rounded, so that every machine gets the same ones.
    """
    random = np.random.default_rng(seed)
    offsets = np.arange(_FILTER_SIZE) - (_FILTER_SIZE - 1) / 2
    time, pitch = np.meshgrid(offsets, offsets, indexing="ij")
    envelope = np.exp(-(time**2 + pitch**2) / (2 * _FILTER_RADIUS**2))
    filters = []
    for _ in range(_FILTERS):
        waves = random.uniform(0, _FASTEST) * time + random.uniform(-_FASTEST, _FASTEST) * pitch
        wave = envelope * np.cos(2 * np.pi * (waves + random.uniform()))
        wave -= wave.mean()
        filters.append(wave / np.abs(wave).sum())
    return np.stack(filters, axis=-1)[:, :, None].round(6).astype(np.float32)


def _mean(values, heard):
    """`[batch, 1, width]`: mean over the frames that are heard."""
    total = tf.reduce_sum(values * heard, axis=1, keepdims=True)
    return total / tf.maximum(tf.reduce_sum(heard, axis=1, keepdims=True), 1.0)


def _deviation(values, heard):
    """`[batch, 1, width]`: standard deviation over the frames that are heard."""
    return tf.sqrt(_mean(tf.square(values - _mean(values, heard)), heard) + 1e-6)


def _centred(values):
    return values - tf.reduce_mean(values, axis=2, keepdims=True)
