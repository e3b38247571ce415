"""Audio decoding: formats, rates and channels, the same samples by either decoder, hostile files."""

import io

import numpy as np
import pytest
import soundfile

from mmrec_tf.data import audio
from mmrec_tf.data.audio import decode_audio

FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("AIFF", "PCM_16"),
]
LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_III")


def tone(seconds, rate, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encoded(samples, rate, container="WAV", subtype="FLOAT"):
    data = io.BytesIO()
    soundfile.write(data, samples, rate, format=container, subtype=subtype)
    return data.getvalue()


@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_formats(container, subtype, tmp_path):
    rate = 48000 if subtype == "OPUS" else 44100
    data = encoded(tone(1.0, rate), rate, container, subtype)
    wave = decode_audio(data, sample_rate=rate, seconds=0.5)
    assert wave.shape == (rate // 2,) and wave.dtype == np.float32
    # A lossy format may shift or colour the beginning and the end; the middle is still that tone.
    middle = slice(rate // 8, rate // 4)
    if subtype in LOSSY:
        spectrum = np.abs(np.fft.rfft(wave[middle] * np.hanning(rate // 4 - rate // 8)))
        assert abs(spectrum.argmax() * rate / (rate // 4 - rate // 8) - 440) < 10
        assert np.abs(wave[middle]).max() == pytest.approx(0.5, abs=0.05)
    else:
        np.testing.assert_allclose(wave, tone(0.5, rate), atol=1e-4)
    path = tmp_path / "misnamed.txt"
    path.write_bytes(data)
    np.testing.assert_array_equal(decode_audio(path, sample_rate=rate, seconds=0.5), wave)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_any_rate_becomes_the_one_asked_for(rate):
    wave = decode_audio(encoded(tone(2.0, rate), rate), sample_rate=16000, seconds=1.0)
    assert wave.shape == (16000,)
    # The filter needs a few samples to settle at the very beginning; the end is that of the longer file.
    np.testing.assert_allclose(wave[200:], tone(1.0, 16000)[200:], atol=2e-3)


def test_channels_are_averaged_by_hand():
    samples = np.stack([np.full(100, 0.5), np.full(100, -0.25), np.full(100, 0.125)], axis=1)
    wave = decode_audio(encoded(samples, 8000), sample_rate=8000, seconds=100 / 8000)
    np.testing.assert_allclose(wave, (0.5 - 0.25 + 0.125) / 3, atol=1e-7)


def test_short_clips_are_followed_by_zeros():
    wave = decode_audio(encoded(np.full(80, 0.5), 8000), sample_rate=8000, seconds=0.02)
    np.testing.assert_array_equal(wave, [0.5] * 80 + [0.0] * 80)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seconds", [0.4, 5.0])
def test_vorbis_is_the_same_by_either_decoder(monkeypatch, channels, seconds):
    if audio.tensorflow_io_with_kernels() is None:
        pytest.skip("tensorflow-io's native kernels do not load here; soundfile is the only decoder")
    samples = np.stack([tone(1.0, 22050, 300.0 * (i + 1)) for i in range(channels)], axis=1)
    data = encoded(samples, 22050, "OGG", "VORBIS")
    calls = []
    decode_vorbis = audio._decode_vorbis
    monkeypatch.setattr(audio, "_decode_vorbis", lambda source: calls.append(1) or decode_vorbis(source))
    by_tensorflow_io = decode_audio(data, 16000, seconds)
    assert len(calls) == 1
    monkeypatch.setattr(audio, "tensorflow_io_with_kernels", lambda: None)
    np.testing.assert_allclose(by_tensorflow_io, decode_audio(data, 16000, seconds), atol=2e-6)


@pytest.mark.parametrize(
    ("container", "subtype", "decoder"),
    [("OGG", "VORBIS", "decode_vorbis"), ("MP3", "MPEG_LAYER_III", "decode_mp3"), ("FLAC", "PCM_16", "decode_flac")],
)
def test_tensorflow_io_and_soundfile_agree_on_undamaged_files(container, subtype, decoder):
    tfio = audio.tensorflow_io_with_kernels()
    if tfio is None:
        pytest.skip("tensorflow-io's native kernels do not load here; soundfile is the only decoder")
    data = encoded(np.stack([tone(1.0, 44100), tone(1.0, 44100, 700.0)], axis=1), 44100, container, subtype)
    found = getattr(tfio.audio, decoder)(data, **({"dtype": "int16"} if container == "FLAC" else {})).numpy()
    found = found / 32768 if container == "FLAC" else found
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_real_clips_are_the_same_by_either_decoder(monkeypatch, shared_data):
    paths = sorted((shared_data / "sounds-esc10-ccby").glob("*.ogg"))[::8]
    found = [decode_audio(path, 16000, 5.0) for path in paths]
    monkeypatch.setattr(audio, "tensorflow_io_with_kernels", lambda: None)
    for path, wave in zip(paths, found):
        np.testing.assert_allclose(wave, decode_audio(path, 16000, 5.0), atol=2e-6)


def test_only_the_beginning_of_a_long_file_is_read(monkeypatch):
    data = encoded(np.zeros(8000 * 600, np.int16), 8000, "FLAC", "PCM_16")
    read = []
    original = soundfile.SoundFile.read

    def recorded(self, frames, **options):
        read.append(frames)
        return original(self, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", recorded)
    assert decode_audio(data, 16000, 2.0).shape == (32000,)
    # 2 s and a margin of 0.1 s, at 8 kHz.
    assert read == [16800]


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"not audio at all",
        b"OggS" + bytes(100),
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"ID3\x04\x00\x00\x00\x00\x00\x00",
        encoded(np.zeros(0), 8000),
        encoded(np.array([0.1, np.nan, 0.2]), 8000),
        encoded(np.zeros((10, audio.MAX_CHANNELS + 1)), 8000),
        encoded(np.zeros(100), audio.MAX_RATE + 1),
    ],
)
def test_what_cannot_be_used_is_none(source, tmp_path):
    assert decode_audio(source, 16000, 1.0) is None


def test_a_missing_file_or_a_folder_is_none(tmp_path):
    assert decode_audio(tmp_path / "none.wav", 16000, 1.0) is None
    assert decode_audio(tmp_path, 16000, 1.0) is None


@pytest.mark.parametrize(("container", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")])
def test_damaged_files_end_in_a_waveform_or_none(container, subtype):
    random = np.random.default_rng(0)
    data = encoded(tone(0.5, 22050), 22050, container, subtype)
    for _ in range(20):
        damaged = bytearray(data[: random.integers(100, len(data))])
        for place in random.integers(0, len(damaged), 5):
            damaged[place] = random.integers(256)
        wave = decode_audio(bytes(damaged), 16000, 0.5)
        assert wave is None or (wave.shape == (8000,) and np.isfinite(wave).all())
