"""WAV files decoded in the served graph, against the Python decoder."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.encoders.readers import AudioReader
from mmrec_tf.serving.waveforms_in_graph import decode_waveforms
from tests.media_files import sound, tone


def clip(rate, seconds, channels=1) -> bytes:
    # A chirp, so that windows of it differ.
    waves = [
        tone(seconds, rate, 200.0 + 30 * n) * np.linspace(0.2, 1.0, round(seconds * rate)) for n in range(channels)
    ]
    return sound(np.stack(waves, axis=1).astype(np.float32), rate, subtype="PCM_16")


@pytest.mark.parametrize(
    ("rate", "channels", "seconds", "windows"),
    [
        (8000, 1, 0.3, 1),
        (8000, 2, 2.0, 1),
        (44100, 2, 0.35, 1),
        (44100, 1, 1.7, 1),
        (11025, 1, 0.4, 1),
        (4000, 1, 0.9, 1),
        (22050, 2, 3.1, 3),
        (8000, 1, 1.2, 3),
        (6000, 1, 0.2, 1),
    ],
)
def test_samples_are_those_of_the_python_decoder(rate, channels, seconds, windows):
    reader = AudioReader(8000, 0.5, windows)
    data = clip(rate, seconds, channels)
    expected = reader.decode(data)
    found = decode_waveforms(tf.constant([data]), reader).numpy()
    assert found.shape == (1, windows * 4000)
    # At 16 bits a sample is told to 1.5e-5.
    np.testing.assert_allclose(found[0, : len(expected)], expected, atol=2e-6)
    assert not found[0, len(expected) :].any()


def test_no_bytes_are_silence_and_a_batch_may_be_empty():
    reader = AudioReader(8000, 0.5)
    waves = decode_waveforms(tf.constant([b"", clip(8000, 0.1)]), reader).numpy()
    assert not waves[0].any() and np.abs(waves[1, :800]).max() > 0.05
    assert decode_waveforms(tf.zeros([0], tf.string), reader).shape == (0, 4000)


@pytest.mark.parametrize("data", [b"no sound", b"RIFF", sound(tone(0.1, 8000), 8000, subtype="FLOAT")])
def test_what_is_no_wav_file_of_16_bits_is_refused(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_waveforms(tf.constant([data]), AudioReader(8000, 0.5))
