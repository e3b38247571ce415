"""Audio files into waveforms: any container, rate and channel count into mono samples at one rate.

Only the parts of a file that are heard are read, whatever its length, and they are resampled piece by piece, so that
an hour-long recording costs little more time and memory than a short one.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np

from mmrec_tf.data.audio_files import Audio, UnusableAudioError, open_audio
from mmrec_tf.data.loudness import brought_to

TRIM_DECIBELS = -60.0
"""What is that far below the loudest sample, at either end of a clip, is silence."""

MAX_TRIM_SECONDS = 60.0
"""Silence at either end of a clip is sought no further than that."""

_PIECE = 1 << 19
# Samples resampled at a time: 2 MB.
_RATIO_TERMS = 4096


def decode_audio(
    source: Path | bytes,
    sample_rate: int,
    seconds: float,
    windows: int = 1,
    loudness: float | None = None,
    trim_silence: bool = False,
) -> np.ndarray | None:
    """A clip as a mono waveform: the whole of it, or windows of a longer one.

    Channels are averaged; the rate is changed by a polyphase filter. A clip that is longer than all windows is heard
    in windows spread evenly over it, the first at its beginning and the last at its end; with one window, that is the
    beginning.

    Args:
        source: path of the file, or its bytes. WAV, FLAC, Ogg Vorbis or Opus, MP3, AIFF, AAC, and the sound of MP4
            (M4A), MOV, WebM, MKV, AVI, MPEG, FLV, WMV and OGV.
        sample_rate: int. Hz of the result.
        seconds: float. Length of a window.
        windows: int. The most windows.
        loudness: float. Level in LUFS (`mmrec_tf.data.loudness`) that what is heard is brought to, with its peak at 1
            at most; as it is when None.
        trim_silence: bool. Leave out what is 60 dB below the peak at either end, looking 60 seconds far. A clip that
            is silent throughout stays as it is: silence is content that an encoder answers with a vector of zeros.

    Returns:
        `[samples]` float32 in about [-1, 1], as long as the clip and at most `windows * round(sample_rate * seconds)`;
        None when the source has no sound, cannot be decoded, or has samples that are not finite.
    """
    window = max(1, round(sample_rate * seconds))
    try:
        with open_audio(source, windows * seconds) as audio:
            begin, end = _sounding_part(audio) if trim_silence else (0, audio.frames)
            waveform = _windows(audio, begin, end, sample_rate, window, windows)
    except ImportError:
        raise
    except UnusableAudioError:
        return None
    except Exception:  # noqa: BLE001
        # Decoders raise whatever hostile bytes lead them into; validation has reported such files by name and reason.
        return None
    if len(waveform) == 0 or not np.isfinite(waveform).all():
        return None
    return waveform if loudness is None else brought_to(waveform, sample_rate, loudness)


def _windows(audio: Audio, begin: int, end: int | None, sample_rate: int, window: int, windows: int) -> np.ndarray:
    """The part of a file from sample `begin` to `end`, or windows of it, at the rate asked for."""
    # A rate that shares no factor with the other would make the filter as long as the rate itself; at 4096 terms the
    # pitch is off by less than a ten-millionth.
    ratio = Fraction(sample_rate, audio.rate)
    if max(ratio.numerator, ratio.denominator) > _RATIO_TERMS:
        low, high = sorted((audio.rate, sample_rate))
        ratio = Fraction(low, high).limit_denominator(_RATIO_TERMS)
        ratio = ratio if sample_rate == low else 1 / ratio
    length = None if end is None else int(np.ceil((end - begin) * ratio))
    whole = windows * window
    if length is None or length <= whole:
        return _resampled(audio, begin, end, 0, whole if length is None else length, ratio)
    places = np.linspace(0, length - window, windows).round().astype(int) if windows > 1 else [0]
    parts = [_resampled(audio, begin, end, place, window, ratio) for place in places]
    # A window in which a damaged file ends early is filled up, so that the next ones stand at their places.
    filled = [np.pad(part, (0, window - len(part))) for part in parts[:-1]]
    return np.concatenate([*filled, parts[-1]]) if any(map(len, parts)) else parts[-1]


def _resampled(audio: Audio, begin: int, end: int | None, place: int, count: int, ratio: Fraction) -> np.ndarray:
    """`count` samples from `place`, counted at the new rate from the old rate's sample `begin`."""
    from scipy.signal import resample_poly

    up, down = ratio.numerator, ratio.denominator
    limit = np.inf if end is None else end
    if up == down:
        return audio.read(begin + place, int(min(count, limit - begin - place)))
    # What resample_poly's filter reaches over on either side, in samples of the old rate.
    margin = 10 * max(up, down) // up + 2
    step = max(1, _PIECE // max(up, down)) * up
    pieces = []
    for first in range(place, place + count, step):
        last = min(first + step, place + count)
        # The old sample that falls on a new one, so that the pieces' filters are in step.
        aligned = max(0, first * down // up - margin) // down * down
        stop = int(min(limit, begin + -(-last * down // up) + margin))
        samples = audio.read(begin + aligned, max(0, stop - begin - aligned))
        offset = first - aligned * up // down
        pieces.append(resample_poly(samples, up, down)[offset : offset + last - first] if len(samples) else samples)
        if len(pieces[-1]) < last - first:
            break
    return np.concatenate(pieces).astype(np.float32)


def _sounding_part(audio: Audio) -> tuple[int, int | None]:
    """First sample that is no silence, and the one after the last; the whole of a clip that is silent throughout."""
    reach = round(MAX_TRIM_SECONDS * audio.rate)
    head = np.abs(audio.read(0, reach if audio.frames is None else min(reach, audio.frames)))
    if len(head) < reach:
        tail_start, tail, end = 0, head, len(head)
    elif audio.frames is None:
        tail_start, tail, end = reach, head[:0], None
    else:
        tail_start, end = max(reach, audio.frames - reach), audio.frames
        tail = np.abs(audio.read(tail_start, end - tail_start))
    peak = max(head.max(initial=0.0), tail.max(initial=0.0))
    if not peak > 0.0:
        return 0, end
    sounds = peak * 10.0 ** (TRIM_DECIBELS / 20.0)
    loud = np.flatnonzero(head >= sounds)
    begin = int(loud[0]) if len(loud) else len(head)
    if end is not None:
        loud = np.flatnonzero(tail >= sounds)
        end = tail_start + (int(loud[-1]) + 1 if len(loud) else 0)
    return begin, end
