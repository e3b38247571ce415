"""Audio files opened for reading parts of them as mono samples: by soundfile, tensorflow-io or PyAV.

Ogg Vorbis is decoded by tensorflow-io where its native kernels load, other audio files by soundfile (libsndfile), and
what libsndfile does not know, such as the sound of a video, by PyAV (FFmpeg). On undamaged FLAC, MP3 and Vorbis files
tensorflow-io 0.37.1 gives soundfile's samples to within 1e-6, but of 389 FLAC and MP3 files with flipped, zeroed or
missing bytes it hung on six, all of which soundfile refuses; and its Vorbis decoder aborts the process when given no
bytes. A damaged file must not end a run, so tensorflow-io gets Vorbis files only, and those only once soundfile has
opened their header: 996 such files, damaged behind the header, it decoded or refused.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mmrec_tf.data import containers
from mmrec_tf.data.tensorflow_io import tensorflow_io_with_kernels

MIN_RATE, MAX_RATE = 1_000, 768_000
"""Files that claim a rate (Hz) outside of this are refused: no recorder writes them."""

MAX_CHANNELS = 64
"""Files with more channels are refused."""

MAX_SKIPPED_SECONDS = 600.0
"""Of a file that cannot be sought in, no more than that is decoded to reach a part further on."""

_BLOCK_VALUES = 1 << 20
# Samples times channels read at a time: 4 MB.
_LONGEST = 1 << 40
# Of a stream without a stated length libsndfile reports the largest integer.


class UnusableAudioError(Exception):
    """An audio file that opens but cannot be used; the message says why."""


class AbsentSoundError(UnusableAudioError):
    """A video without sound."""


class SoundFileAudio:
    """An open `soundfile.SoundFile`; `frames` is its length in samples, `rate` its rate in Hz."""

    def __init__(self, file):
        self.file, self.rate = file, file.samplerate
        self.frames = file.frames if 0 <= file.frames < _LONGEST else None

    def read(self, start: int, count: int) -> np.ndarray:
        """`[count]` float32, the mean of the channels from sample `start`; shorter at the file's end."""
        if start != self.file.tell():
            self.file.seek(start)
        block = max(1, _BLOCK_VALUES // self.file.channels)
        parts = []
        while count > 0:
            part = self.file.read(min(block, count), dtype="float32", always_2d=True)
            if len(part) == 0:
                break
            parts.append(part.mean(axis=1))
            count -= len(part)
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


class DecodedAudio:
    """Audio that is in memory already, `[samples]` float32."""

    def __init__(self, waveform: np.ndarray, rate: int):
        self.waveform, self.rate, self.frames = waveform, rate, len(waveform)

    def read(self, start: int, count: int) -> np.ndarray:
        return self.waveform[start : start + count]


class ContainerAudio:
    """The sound of an open PyAV container; the length is what the container states."""

    # Codecs need a little of what came before to decode a moment fully.
    _LEAD_SECONDS = 0.1

    def __init__(self, container, stream):
        self.container, self.stream = container, stream
        self.rate = stream.codec_context.sample_rate
        self.start = containers.start_of(stream)
        seconds = containers.stream_seconds(container, stream)
        self.frames = None if seconds is None else round(seconds * self.rate)
        self._position = 0

    def read(self, start: int, count: int) -> np.ndarray:
        import av

        moment = self.start + start / self.rate - self._LEAD_SECONDS
        if start or self._position:
            containers.seek(self.container, self.stream, max(moment, self.start))
        parts, place = [], start
        resampler = av.AudioResampler(format="fltp")
        expected = None
        for frame in containers.decoded_frames(self.container, self.stream):
            time = frame.time if frame.time is not None else expected
            begin = round(((self.start if time is None else time) - self.start) * self.rate)
            expected = self.start + (begin + frame.samples) / self.rate
            if begin < start - MAX_SKIPPED_SECONDS * self.rate or frame.sample_rate != self.rate:
                break
            samples = np.concatenate([part.to_ndarray() for part in resampler.resample(frame)] or [_NOTHING], axis=1)
            samples = samples.mean(axis=0)[max(0, place - begin) :]
            parts.append(samples[: start + count - place])
            place += len(parts[-1])
            if place >= start + count:
                break
        self._position = place
        return np.concatenate(parts).astype(np.float32) if parts else np.zeros(0, np.float32)


_NOTHING = np.zeros((1, 0), np.float32)
Audio = SoundFileAudio | DecodedAudio | ContainerAudio


@contextmanager
def open_audio(source: Path | bytes, needed_seconds: float) -> Iterator[Audio]:
    """The source, open for reading.

    Args:
        source: path of the file, or its bytes.
        needed_seconds: float. How much of it will be read; Vorbis files no longer than this are decoded whole.

    Raises:
        UnusableAudioError: when it has no sound, or its rate or channels are beyond what is decoded.
        soundfile.LibsndfileError, av.FFmpegError, OSError: when it cannot be opened.
    """
    import soundfile

    try:
        file = soundfile.SoundFile(str(source) if isinstance(source, Path) else io.BytesIO(source))
    except soundfile.LibsndfileError as error:
        with _open_container(source, error) as container:
            stream = containers.sound_stream(container)
            if stream is None:
                raise AbsentSoundError("no sound in it") from None
            _check(stream.codec_context.sample_rate, stream.codec_context.channels)
            yield ContainerAudio(container, stream)
        return
    with file:
        _check(file.samplerate, file.channels)
        # tensorflow-io decodes a file whole, and is slower at it; where a part is enough, soundfile reads the part.
        is_short = file.frames <= needed_seconds * file.samplerate
        if (file.format, file.subtype) == ("OGG", "VORBIS") and is_short:
            waveform = _decode_vorbis(source)
            if waveform is not None and waveform.shape == (file.frames, file.channels):
                yield DecodedAudio(waveform.mean(axis=1), file.samplerate)
                return
        yield SoundFileAudio(file)


def _open_container(source: Path | bytes, error: Exception):
    import av

    try:
        return containers.open_container(source, containers.SOUND_CONTAINERS)
    except (av.FFmpegError, ValueError):
        # What libsndfile said tells more about a damaged audio file.
        raise error from None


def _check(rate: int, channels: int):
    if not MIN_RATE <= rate <= MAX_RATE:
        raise UnusableAudioError(f"a sample rate of {rate:,} Hz; {MIN_RATE:,} to {MAX_RATE:,} can be used")
    if not 1 <= channels <= MAX_CHANNELS:
        raise UnusableAudioError(f"{channels:,} channels; 1 to {MAX_CHANNELS} can be used")


def _decode_vorbis(source: Path | bytes) -> np.ndarray | None:
    """`[frames, channels]` float32 by tensorflow-io, or None where its kernels do not load or refuse the file."""
    tfio = tensorflow_io_with_kernels()
    if tfio is None:
        return None
    import tensorflow as tf

    try:
        data = source.read_bytes() if isinstance(source, Path) else source
        return tfio.audio.decode_vorbis(data).numpy()
    except tf.errors.OpError:
        return None
