"""Waveforms and spectrograms changed at random: noise, level, place, speed, pitch, and stretches or bands left out.

tensorflow-io has masks for spectrograms (`freq_mask`, `time_mask`), but they draw from TensorFlow's global state and
take no seed, and one draw serves the whole batch; those here take a seed and draw for each clip.
"""

import math

import tensorflow as tf

from mmrec_tf.config_encoders import AugmentationConfig
from mmrec_tf.data.augmentation.draws import normal, split_seed, uniform

_WINDOW_SECONDS = 0.064
# For pitch and bands: long enough to tell the partials of a low voice apart.
_OVERLAP = 4
_REACH = 3
# Bins on either side of a partial's own that a window lets it leak into.


def augment_waveforms(
    waveforms: tf.Tensor, sample_rate: int, options: AugmentationConfig, seed: tf.Tensor
) -> tf.Tensor:
    """Each clip changed in its own way, as the options' strengths say.

    Speed and shift move the clip in time, with silence where nothing comes from; then pitch and bands of frequencies,
    a stretch of silence, noise, and level. The zeros after a clip stay zeros but for what shift and a slower speed
    bring there; levels are not limited to 1.

    Args:
        waveforms: `[batch, samples]` float32, shorter clips followed by zeros.
        sample_rate: int. Hz.
        options: `noise`, `gain`, `shift`, `speed`, `pitch`, `time_mask` and `frequency_mask` are used.
        seed: `[2]` int. Equal seeds give equal changes to the same place of a batch, whatever else is in it.

    Returns:
        `[batch, samples]` float32. With a static number of samples everything compiles under XLA, where
        the draws are others.

    Reference: Park et al., SpecAugment (2019), for the masks; Laroche and Dolson, New phase-vocoder techniques for
    pitch-shifting (1999).
    """
    waveforms = tf.convert_to_tensor(waveforms)
    seeds = split_seed(seed, 6)
    if options.speed or options.shift:
        waveforms = _moved_in_time(waveforms, sample_rate, options.speed, options.shift, seeds[0])
    if options.pitch or options.frequency_mask:
        waveforms = _in_frequency(waveforms, sample_rate, options.pitch, options.frequency_mask, seeds[1])
    if options.time_mask:
        length, start = uniform(waveforms, 2, seeds[2])
        place = tf.cast(tf.range(tf.shape(waveforms)[1])[tf.newaxis], tf.float32)
        total = tf.reduce_sum(_clip(waveforms), axis=1, keepdims=True)
        width = length * options.time_mask * total
        begin = start * (total - width)
        waveforms = tf.where((place >= begin) & (place < begin + width), 0.0, waveforms)
    if options.noise:
        (share,) = uniform(waveforms, 1, seeds[3])
        clip = _clip(waveforms)
        power = tf.reduce_sum(tf.square(waveforms), axis=1, keepdims=True)
        deviation = tf.sqrt(tf.math.divide_no_nan(power, tf.reduce_sum(clip, axis=1, keepdims=True)))
        waveforms += share * options.noise * deviation * normal(waveforms, seeds[4]) * clip
    if options.gain:
        (level,) = uniform(waveforms, 1, seeds[5])
        waveforms *= 10.0 ** ((2.0 * level - 1.0) * options.gain / 20.0)
    return waveforms


def mask_spectrogram(spectrograms: tf.Tensor, time: float, frequency: float, seed: tf.Tensor) -> tf.Tensor:
    """One stretch of frames and one band of each spectrogram, replaced by its mean.

    Args:
        spectrograms: `[batch, frames, bands]` float32.
        time: float in [0, 1). Longest stretch, as a share of the frames.
        frequency: float in [0, 1). Widest band, as a share of the bands.
        seed: `[2]` int.

    Returns:
        `[batch, frames, bands]` float32.

    Reference: Park et al., SpecAugment (2019).
    """
    spectrograms = tf.convert_to_tensor(spectrograms)
    length, start, width, low = uniform(spectrograms, 4, seed)

    def masked(size, share, begin):
        size = tf.cast(size, tf.float32)
        places = tf.range(size)[tf.newaxis]
        first = begin * (size - share * size)
        return (places >= first) & (places < first + share * size)

    shape = tf.shape(spectrograms)
    stretch = masked(shape[1], length * time, start)[:, :, tf.newaxis]
    band = masked(shape[2], width * frequency, low)[:, tf.newaxis]
    return tf.where(stretch | band, tf.reduce_mean(spectrograms, axis=[1, 2], keepdims=True), spectrograms)


def _clip(waveforms):
    """`[batch, samples]` float32: 1 up to a clip's last sample that is not zero, 0 in what fills it up."""
    sounds = tf.cast(tf.not_equal(waveforms, 0.0), tf.float32)
    return tf.cast(tf.cumsum(sounds, axis=1, reverse=True) > 0.0, tf.float32)


def _moved_in_time(waveforms, sample_rate, speed, shift, seed):
    faster, later = uniform(waveforms, 2, seed)
    places = tf.cast(tf.range(tf.shape(waveforms)[1])[tf.newaxis], tf.float32)
    offset = tf.round((2.0 * later - 1.0) * shift * sample_rate)
    return _read_at(waveforms, (places - offset) * (1.0 + (2.0 * faster - 1.0) * speed))


def _read_at(waveforms, places):
    """The waveforms at places between samples (`[batch, n]` float32); 0 outside of them."""
    samples = tf.shape(waveforms)[1]
    low = tf.floor(places)
    share = places - low

    def at(indices):
        inside = (indices >= 0) & (indices < samples)
        values = tf.gather(waveforms, tf.clip_by_value(indices, 0, samples - 1), batch_dims=1)
        return tf.where(inside, values, 0.0)

    low = tf.cast(low, tf.int32)
    return at(low) * (1.0 - share) + at(low + 1) * share


def _in_frequency(waveforms, sample_rate, pitch, mask, seed):
    """A band taken out, and pitch changed, between a Fourier transform of overlapping windows and its inverse."""
    higher, width, low = uniform(waveforms, 3, seed)
    step = max(1, round(_WINDOW_SECONDS * sample_rate / _OVERLAP))
    window = step * _OVERLAP
    points = 1 << (window - 1).bit_length()
    samples = tf.shape(waveforms)[1]
    # The outermost samples lie in as many windows as the others once there is room on either side.
    spectrum = tf.signal.stft(tf.pad(waveforms, [[0, 0], [window, window + step]]), window, step, points)
    if mask:
        top = _mel(sample_rate / 2.0)
        bands = _mel(tf.range(points // 2 + 1, dtype=tf.float32)[tf.newaxis] * (sample_rate / points))
        begin = low * (1.0 - width * mask) * top
        is_in_band = (bands >= begin) & (bands < begin + width * mask * top)
        spectrum *= tf.cast(tf.logical_not(is_in_band), tf.complex64)[:, tf.newaxis]
    places = tf.cast(window + tf.range(samples)[tf.newaxis], tf.float32)
    if pitch:
        factor = 2.0 ** ((2.0 * higher - 1.0) * pitch / 12.0)
        spectrum = _stretched(spectrum, factor, 2.0 ** (pitch / 12.0), step, points)
        # Played faster by as much, the stretched clip has its length back, and another pitch. It is the middles of
        # windows that are apart by the factor.
        places = (places - window / 2.0) * factor + window / 2.0
    window_fn = tf.signal.inverse_stft_window_fn(step, tf.signal.hann_window)
    changed = tf.signal.inverse_stft(spectrum, window, step, points, window_fn=window_fn)
    changed = _read_at(changed, places) if pitch else changed[:, window : window + samples]
    return tf.ensure_shape(changed, waveforms.shape) * _clip(waveforms)


def _stretched(spectrum, factor, largest, step, points):
    """A phase vocoder: the clip `factor` (`[batch, 1]`, at most `largest`) times as long, at its pitch.

    Windows are read at a slower or faster pace. A bin's true frequency is told by how far its phase turns from one
    window to the next, and the new windows' phases turn by as much. Bins that the new pitch would carry beyond half the
    sample rate are left out.
    """
    frames, bins = tf.shape(spectrum)[1], spectrum.shape[-1]
    count = tf.cast(tf.math.ceil(tf.cast(frames, tf.float32) * largest), tf.int32)
    if spectrum.shape[1] is not None:
        count = math.ceil(spectrum.shape[1] * largest)
    magnitude, phase = tf.abs(spectrum), tf.math.angle(spectrum)
    expected = tf.range(bins, dtype=tf.float32) * (2.0 * math.pi * step / points)
    turned = phase[:, 1:] - phase[:, :-1] - expected
    advance = expected + turned - 2.0 * math.pi * tf.round(turned / (2.0 * math.pi))
    places = tf.cast(tf.range(count)[tf.newaxis], tf.float32) / factor
    low = tf.floor(places)
    share = (places - low)[:, :, tf.newaxis]
    low = tf.cast(low, tf.int32)

    def at(values, indices):
        return tf.gather(values, tf.minimum(indices, tf.shape(values)[1] - 1), axis=1, batch_dims=1)

    is_kept = (tf.range(bins, dtype=tf.float32)[tf.newaxis] * factor < bins) | (factor < 1.0)
    is_kept = tf.cast(is_kept, tf.float32)[:, tf.newaxis] * tf.cast(low < frames, tf.float32)[:, :, tf.newaxis]
    magnitude = (at(magnitude, low) * (1.0 - share) + at(magnitude, low + 1) * share) * is_kept
    total = tf.cumsum(at(advance, low), axis=1, exclusive=True)
    # Bins of one partial must keep their phases relative to each other, or they cancel out: each follows the loudest
    # bin near it.
    loudest = _loudest_near(magnitude)
    own = at(phase, low)
    phases = own + tf.gather(total - own, loudest, axis=2, batch_dims=2)
    return tf.cast(magnitude, tf.complex64) * tf.exp(tf.complex(0.0, phases))


def _loudest_near(magnitude):
    """`[batch, frames, bins]` int32: the loudest of the bins that a partial at each bin reaches over."""
    bins = magnitude.shape[-1]
    padded = tf.pad(magnitude, [[0, 0], [0, 0], [_REACH, _REACH]], constant_values=-1.0)
    best, found = magnitude, tf.zeros_like(magnitude, tf.int32)
    for shift in range(-_REACH, _REACH + 1):
        near = padded[:, :, _REACH + shift : _REACH + shift + bins]
        found = tf.where(near > best, shift, found)
        best = tf.maximum(near, best)
    return tf.range(bins) + found


def _mel(hertz):
    return 1127.0 * tf.math.log1p(tf.convert_to_tensor(hertz, tf.float32) / 700.0)
