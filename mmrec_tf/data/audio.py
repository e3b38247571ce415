"""Audio files into waveforms: any container, rate and channel count into mono samples at one rate.

Ogg Vorbis is decoded by tensorflow-io where its native kernels load, everything else by soundfile (libsndfile). On
undamaged FLAC, MP3 and Vorbis files tensorflow-io 0.37.1 gives soundfile's samples to within 1e-6, but of 389 FLAC and
MP3 files with flipped, zeroed or missing bytes it hung on six, all of which soundfile refuses; and its Vorbis decoder
aborts the process when given no bytes. A damaged file must not end a run, so tensorflow-io gets Vorbis files only, and
those only once soundfile has opened their header: 996 such files, damaged behind the header, it decoded or refused.
"""

import functools
import io
import math
import warnings
from pathlib import Path

import numpy as np

MAX_RATE = 768_000
"""Files that claim a higher rate (Hz) are refused: no recorder writes them, and resampling would cost gigabytes."""

MAX_CHANNELS = 32
"""Files with more channels are refused, to bound the memory that one second of audio can take."""


def decode_audio(source: Path | bytes, sample_rate: int, seconds: float) -> np.ndarray | None:
    """The first part of an audio file as a waveform of fixed length.

    Only the part that is needed is read, so an hour-long file costs no more than a short one. Channels are averaged;
    the rate is changed by a polyphase filter. A shorter clip is followed by zeros.

    Args:
        source: path of the file, or its bytes. WAV, FLAC, Ogg Vorbis or Opus, MP3, AIFF.
        sample_rate: int. Hz of the result.
        seconds: float. Length of the result.

    Returns:
        `[round(sample_rate * seconds)]` float32 in about [-1, 1], or None when the source cannot be decoded.
    """
    samples = max(1, round(sample_rate * seconds))
    try:
        read = _read(source, seconds)
    except ImportError:
        raise
    except Exception:  # noqa: BLE001
        # Decoders raise whatever hostile bytes lead them into; validation has reported such files by name and reason.
        return None
    if read is None:
        return None
    waveform, rate = read
    if len(waveform) == 0 or not np.isfinite(waveform).all():
        return None
    waveform = _resample(waveform.mean(axis=1), rate, sample_rate)[:samples]
    return np.pad(waveform, (0, samples - len(waveform)))


def _read(source: Path | bytes, seconds: float) -> tuple[np.ndarray, int] | None:
    """`[frames, channels]` float32 and the rate in Hz."""
    import soundfile

    with soundfile.SoundFile(str(source) if isinstance(source, Path) else io.BytesIO(source)) as audio:
        rate = audio.samplerate
        if not 0 < rate <= MAX_RATE or audio.channels > MAX_CHANNELS:
            return None
        # A tenth of a second more than asked, so that the resampling filter does not taper the end.
        frames = math.ceil((seconds + 0.1) * rate)
        # tensorflow-io decodes a file whole; of a long one soundfile reads the beginning alone.
        if (audio.format, audio.subtype) == ("OGG", "VORBIS") and audio.frames <= 2 * frames:
            waveform = _decode_vorbis(source)
            if waveform is not None and waveform.shape == (audio.frames, audio.channels):
                return waveform[:frames], rate
        return audio.read(frames, dtype="float32", always_2d=True), rate


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


@functools.cache
def tensorflow_io_with_kernels():
    """The tensorflow_io module, or None where it is not installed or its native kernels do not load.

    The kernels of tensorflow-io 0.37.1 load with TensorFlow 2.16; there is no wheel for Python 3.13.
    """
    tfio = import_tensorflow_io()
    if tfio is None:
        return None
    try:
        tfio.audio.decode_wav(_TINY_WAV, dtype="int16")
    except NotImplementedError:
        return None
    return tfio


@functools.cache
def import_tensorflow_io():
    """The tensorflow_io module, or None where it is not installed."""
    try:
        with warnings.catch_warnings():
            # With TensorFlow above 2.16 it warns, at length, that its native libraries do not load.
            warnings.simplefilter("ignore")
            import tensorflow_io
    except ImportError:
        return None
    return tensorflow_io


def _resample(waveform: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    if rate == sample_rate:
        return waveform
    from scipy.signal import resample_poly

    common = math.gcd(rate, sample_rate)
    return resample_poly(waveform, sample_rate // common, rate // common).astype(np.float32)


# One sample of silence: 16 bit, mono, 8 kHz.
_TINY_WAV = (
    b"RIFF\x26\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"
    b"\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x02\x00\x00\x00\x00\x00"
)
