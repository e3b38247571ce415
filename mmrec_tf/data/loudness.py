"""How loud a waveform sounds, by the measure that broadcasting and streaming services use, and gain towards a target.

Clips of one catalogue come mastered at very different levels; an encoder that hears level should hear the music's own.
"""

import numpy as np

_BLOCK_SECONDS = 0.4
_STEP_SECONDS = 0.1
_ABSOLUTE_GATE = -70.0
_RELATIVE_GATE = -10.0
_OFFSET = -0.691
# The standard prints its two filters for 48 kHz; these are the analogue filters behind them, as (Hz, Q, decibels).
_SHELF = (1681.974450955533, 0.7071752369554196, 3.999843853973347)
_HIGH_PASS = (38.13547087602444, 0.5003270373238773)
_SCALE_AT_48_KHZ = 1.0049948


def integrated_loudness(waveform: np.ndarray, sample_rate: int) -> float:
    """Loudness of a mono waveform in LUFS.

    The waveform passes a filter that weighs frequencies as hearing does; the mean square is taken over blocks of
    400 ms, every 100 ms; blocks below -70 LUFS, and then those more than 10 LU below the mean of the rest, are left
    out, so that pauses do not count. Of a clip shorter than a block the plain mean square is taken.

    Args:
        waveform: `[samples]` float.
        sample_rate: int. Hz.

    Returns:
        float. `-inf` when nothing reaches -70 LUFS.

    Reference: ITU-R BS.1770-4, Algorithms to measure audio programme loudness and true-peak audio level (2015).
    """
    block, step = max(1, round(_BLOCK_SECONDS * sample_rate)), max(1, round(_STEP_SECONDS * sample_rate))
    squares = np.square(weighted(np.asarray(waveform, np.float64), sample_rate))
    if len(squares) < block:
        power = squares.mean(keepdims=True) if len(squares) else np.zeros(0)
    else:
        total = np.concatenate([[0.0], np.cumsum(squares)])
        starts = np.arange(0, len(squares) - block + 1, step)
        power = (total[starts + block] - total[starts]) / block
    power = power[_in_lufs(power) > _ABSOLUTE_GATE]
    if len(power) == 0:
        return -np.inf
    power = power[_in_lufs(power) > _in_lufs(power.mean()) + _RELATIVE_GATE]
    return float(_in_lufs(power.mean()))


def brought_to(waveform: np.ndarray, sample_rate: int, loudness: float) -> np.ndarray:
    """The waveform at a loudness in LUFS, or as near to it as a peak of 1 allows; silence stays as it is."""
    measured = integrated_loudness(waveform, sample_rate)
    peak = float(np.abs(waveform).max(initial=0.0))
    if not np.isfinite(measured) or peak == 0.0:
        return waveform
    return (waveform * min(10.0 ** ((loudness - measured) / 20.0), 1.0 / peak)).astype(np.float32)


def weighted(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """The waveform through the standard's two filters: a shelf for the head, and a high pass."""
    from scipy.signal import lfilter

    hertz, quality, decibels = _SHELF
    # Where the rate leaves no frequency above the shelf's, there is nothing for it to raise.
    if hertz < 0.45 * sample_rate:
        k = np.tan(np.pi * hertz / sample_rate)
        high = 10.0 ** (decibels / 20.0)
        middle = high**0.4996667741545416
        denominator = [1 + k / quality + k * k, 2 * (k * k - 1), 1 - k / quality + k * k]
        numerator = [high + middle * k / quality + k * k, 2 * (k * k - high), high - middle * k / quality + k * k]
        waveform = lfilter(numerator, denominator, waveform)
    hertz, quality = _HIGH_PASS
    k = np.tan(np.pi * hertz / sample_rate)
    scale = 1 + k / quality + k * k
    # As printed, the numerator is 1, -2, 1 at 48 kHz; elsewhere the scale keeps what passes at the same level.
    numerator = np.array([1.0, -2.0, 1.0]) * (_SCALE_AT_48_KHZ / scale)
    return lfilter(numerator, [1.0, 2 * (k * k - 1) / scale, (1 - k / quality + k * k) / scale], waveform)


def _in_lufs(power):
    return _OFFSET + 10.0 * np.log10(np.maximum(power, 1e-30))
