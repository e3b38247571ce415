"""Audio decoding: formats, rates and channels, windows, loudness, silence, a video's sound, hostile files, bounds."""

import io

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from mmrec_tf.data import audio, audio_files
from mmrec_tf.data.audio import decode_audio
from mmrec_tf.data.loudness import integrated_loudness
from mmrec_tf.data.media import media_fault
from mmrec_tf.data.tensorflow_io import tensorflow_io_with_kernels
from tests.media_files import grey, tone, video
from tests.media_files import sound as encoded

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


def test_short_clips_are_as_long_as_they_are():
    wave = decode_audio(encoded(np.full(80, 0.5), 8000), sample_rate=8000, seconds=0.02, windows=3)
    np.testing.assert_array_equal(wave, [0.5] * 80)
    # 80 samples at 8 kHz are 160 at 16 kHz.
    assert decode_audio(encoded(np.full(80, 0.5), 8000), 16000, 1.0).shape == (160,)


def test_windows_are_spread_evenly_over_a_longer_clip():
    samples = np.arange(1000, dtype=np.float32) / 1000
    data = encoded(samples, 8000)
    # Windows of 100 samples; the last of three begins at 900, the middle one at 450.
    wave = decode_audio(data, 8000, 100 / 8000, windows=3)
    np.testing.assert_array_equal(wave, np.concatenate([samples[:100], samples[450:550], samples[900:]]))
    np.testing.assert_array_equal(decode_audio(data, 8000, 100 / 8000), samples[:100])
    np.testing.assert_array_equal(decode_audio(data, 8000, 100 / 8000, windows=10), samples)


@pytest.mark.parametrize("rate", [11025, 44100, 48000])
@pytest.mark.parametrize("piece", [1 << 19, 700])
def test_windows_and_pieces_are_parts_of_the_whole_resampled(rate, piece, monkeypatch):
    monkeypatch.setattr(audio, "_PIECE", piece)
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, rate).astype(np.float32)
    common = np.gcd(rate, 16000)
    whole = resample_poly(samples, 16000 // common, rate // common)
    np.testing.assert_allclose(decode_audio(encoded(samples, rate), 16000, 2.0), whole, atol=1e-6)
    wave = decode_audio(encoded(samples, rate), 16000, 0.1, windows=2)
    np.testing.assert_allclose(wave, np.concatenate([whole[:1600], whole[-1600:]]), atol=1e-6)


def test_rates_without_a_common_factor():
    # 44,101 is prime; exactly, its filter would have 882,021 taps.
    wave = decode_audio(encoded(tone(2.0, 44101), 44101), 16000, 1.0)
    np.testing.assert_allclose(wave[200:], tone(1.0, 16000)[200:], atol=2e-3)


def test_loudness_is_brought_to_the_target_with_the_peak_at_one():
    quiet = encoded(tone(2.0, 16000, 997.0, level=0.01), 16000)
    wave = decode_audio(quiet, 16000, 2.0, loudness=-23.0)
    assert integrated_loudness(wave, 16000) == pytest.approx(-23.0, abs=0.01)
    # A sine of level 1 is at -3 LUFS; more is not to be had.
    wave = decode_audio(quiet, 16000, 2.0, loudness=0.0)
    assert np.abs(wave).max() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_array_equal(decode_audio(encoded(np.zeros(8000), 8000), 8000, 1.0, loudness=-23.0), 0.0)


def test_silence_at_both_ends_is_trimmed():
    sounding = tone(0.5, 8000)[1:]
    # -66 dB below the peak counts as silence, -54 dB does not.
    samples = np.concatenate([np.full(4000, 0.00025), sounding, np.full(100, 0.001), np.zeros(3000)])
    wave = decode_audio(encoded(samples, 8000), 8000, 5.0, trim_silence=True)
    np.testing.assert_allclose(wave, np.concatenate([sounding, np.full(100, 0.001)]), atol=1e-6)
    # The window begins where the sound does.
    wave = decode_audio(encoded(samples, 8000), 8000, 0.1, trim_silence=True)
    np.testing.assert_allclose(wave, sounding[:800], atol=1e-6)
    np.testing.assert_array_equal(decode_audio(encoded(np.zeros(100), 8000), 8000, 1.0, trim_silence=True), [0.0] * 100)


def test_silence_is_sought_a_bounded_way(monkeypatch):
    monkeypatch.setattr(audio, "MAX_TRIM_SECONDS", 0.5)
    sounding = np.full(8000, 0.5, np.float32)
    samples = np.concatenate([np.zeros(8000), sounding, np.zeros(1000)])
    wave = decode_audio(encoded(samples, 8000), 8000, 9.0, trim_silence=True)
    # 4,000 zeros are looked at and left out at the beginning, 1,000 at the end.
    np.testing.assert_array_equal(wave, np.concatenate([np.zeros(4000), sounding]))


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "aac"), ("a.m4a", "aac"), ("a.mkv", "aac"), ("a.webm", "libopus")]
)
def test_the_sound_of_a_video(name, codec, tmp_path):
    rate = 48000 if codec == "libopus" else 16000
    # The second half is an octave higher.
    samples = np.concatenate([tone(2.0, rate, 500.0), tone(2.0, rate, 1000.0)])
    frames = [] if name == "a.m4a" else [grey(number) for number in range(40)]
    pictures = {"codec": "libvpx-vp9"} if name == "a.webm" else {}
    path = video(tmp_path / name, frames, waveform=samples, sound_rate=rate, sound_codec=codec, **pictures)
    whole = decode_audio(path, 16000, 10.0)
    assert len(whole) == pytest.approx(64000, abs=2500)
    wave = decode_audio(path, 16000, 1.0, windows=2)
    # Some containers state a length that takes in the codec's last, partly filled packet.
    assert 31000 < len(wave) <= 32000
    for part, hertz in ((wave[4000:12000], 500), (wave[20000:28000], 1000)):
        # 8,000 samples at 16 kHz: 2 Hz a bin.
        assert np.abs(np.fft.rfft(part * np.hanning(8000))).argmax() * 2 == pytest.approx(hertz, abs=4)
    np.testing.assert_array_equal(decode_audio(path.read_bytes(), 16000, 1.0, windows=2), wave)


def test_a_window_of_a_video_s_sound_is_where_it_is_in_the_whole(shared_data):
    path = shared_data / "video" / "friday.mp4"
    whole = decode_audio(path, 44100, 100.0)
    wave = decode_audio(path, 44100, 1.0, windows=3)
    for part, place in zip(np.split(wave, 3), np.linspace(0, len(whole) - 44100, 3).round().astype(int)):
        # A codec that starts in the middle needs a packet (1,024 samples) to be exact; it is given more than that.
        np.testing.assert_allclose(part[:44000], whole[place : place + 44000], atol=1e-3)


def test_the_sound_of_an_ogg_video(tmp_path):
    waveform = tone(2.0, 48000, 440.0)
    path = video(
        tmp_path / "a.ogv",
        [grey(number) for number in range(20)],
        codec="libvpx",
        waveform=waveform,
        sound_rate=48000,
        sound_codec="libopus",
    )
    for source in (path, path.read_bytes()):
        assert media_fault(source, "audio") is None and media_fault(source, "video") is None
        wave = decode_audio(source, 48000, 5.0)
        assert len(wave) == len(waveform)
        # Opus comes within 2 % of a steady tone of level 0.5, but for its beginning and its end.
        np.testing.assert_allclose(wave[4800:-4800], waveform[4800:-4800], atol=0.01)
    silent = video(tmp_path / "b.ogv", [grey(0)] * 3, codec="libvpx")
    assert media_fault(silent, "audio") == ("absent", f"{silent}: no sound in it")


def test_a_silent_video_is_none(tmp_path):
    assert decode_audio(video(tmp_path / "a.mp4", [grey(0)] * 3), 16000, 1.0) is None


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seconds", [1.0, 5.0])
def test_vorbis_is_the_same_by_either_decoder(monkeypatch, channels, seconds):
    if tensorflow_io_with_kernels() is None:
        pytest.skip("tensorflow-io's native kernels do not load here; soundfile is the only decoder")
    samples = np.stack([tone(1.0, 22050, 300.0 * (i + 1)) for i in range(channels)], axis=1)
    data = encoded(samples, 22050, "OGG", "VORBIS")
    calls = []
    decode_vorbis = audio_files._decode_vorbis
    monkeypatch.setattr(audio_files, "_decode_vorbis", lambda source: calls.append(1) or decode_vorbis(source))
    by_tensorflow_io = decode_audio(data, 16000, seconds)
    assert len(calls) == 1
    monkeypatch.setattr(audio_files, "tensorflow_io_with_kernels", lambda: None)
    np.testing.assert_allclose(by_tensorflow_io, decode_audio(data, 16000, seconds), atol=2e-6)


def test_of_a_longer_vorbis_file_only_the_part_is_decoded(monkeypatch):
    # tensorflow-io would decode all of it.
    monkeypatch.setattr(audio_files, "_decode_vorbis", lambda source: pytest.fail("decoded whole"))
    wave = decode_audio(encoded(tone(1.0, 22050, 300.0), 22050, "OGG", "VORBIS"), 22050, 0.6)
    assert len(wave) == 13230


@pytest.mark.parametrize(
    ("container", "subtype", "decoder"),
    [("OGG", "VORBIS", "decode_vorbis"), ("MP3", "MPEG_LAYER_III", "decode_mp3"), ("FLAC", "PCM_16", "decode_flac")],
)
def test_tensorflow_io_and_soundfile_agree_on_undamaged_files(container, subtype, decoder):
    tfio = tensorflow_io_with_kernels()
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
    monkeypatch.setattr(audio_files, "tensorflow_io_with_kernels", lambda: None)
    for path, wave in zip(paths, found):
        np.testing.assert_allclose(wave, decode_audio(path, 16000, 5.0), atol=2e-6)


def test_only_the_windows_of_a_long_file_are_read(monkeypatch):
    data = encoded(np.zeros(8000 * 600, np.int16), 8000, "FLAC", "PCM_16")
    read = []
    original = soundfile.SoundFile.read

    def recorded(self, frames, **options):
        read.append((self.tell(), frames))
        return original(self, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", recorded)
    assert decode_audio(data, 16000, 2.0, windows=3).shape == (96000,)
    # 2 s are 16,000 samples, and what the filter reaches over: 10 samples and 2 more, on the sides that have them.
    middle, last = 8000 * 299, 8000 * 598
    assert read == [(0, 16012), (middle - 12, 16024), (last - 12, 16012)]


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
        encoded(np.zeros((10, audio_files.MAX_CHANNELS + 1)), 8000),
        encoded(np.zeros(100), audio_files.MAX_RATE + 1),
        encoded(np.zeros(100), audio_files.MIN_RATE - 1),
    ],
    # Named, since soundfile writes the time of day into such files and pytest's workers must agree on the names.
    ids=[
        "empty",
        "text",
        "ogg_cut",
        "wav_cut",
        "mp3_cut",
        "no_samples",
        "not_a_number",
        "too_many_channels",
        "rate_too_high",
        "rate_too_low",
    ],
)
def test_what_cannot_be_used_is_none(source, tmp_path):
    assert decode_audio(source, 16000, 1.0) is None


def test_a_missing_file_or_a_folder_is_none(tmp_path):
    assert decode_audio(tmp_path / "none.wav", 16000, 1.0) is None
    assert decode_audio(tmp_path, 16000, 1.0) is None


@pytest.mark.parametrize(
    ("container", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]
)
def test_damaged_files_end_in_a_waveform_or_none(container, subtype):
    random = np.random.default_rng(0)
    rate = 24000 if subtype == "OPUS" else 22050
    data = encoded(tone(0.5, rate), rate, container, subtype)
    for _ in range(20):
        damaged = bytearray(data[: random.integers(100, len(data))])
        for place in random.integers(0, len(damaged), 5):
            damaged[place] = random.integers(256)
        wave = decode_audio(bytes(damaged), 16000, 0.5)
        assert wave is None or (0 < len(wave) <= 8000 and np.isfinite(wave).all())
