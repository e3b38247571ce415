"""WAV files into waveforms inside a served graph, as `mmrec_tf.data.audio` does it in Python, by core ops alone."""

import tensorflow as tf

from mmrec_tf.encoders.readers import AudioReader

_TAPS = 10
# The polyphase filter of SciPy's resample_poly: ten zero crossings on either side under a Kaiser window of beta 5.
_BETA = 5.0


def decode_waveforms(files: tf.Tensor, reader: AudioReader) -> tf.Tensor:
    """Clips as mono waveforms at one rate: the whole of a clip, or windows of a longer one; zeros fill up.

    Like `mmrec_tf.data.audio.decode_audio` without loudness and trimming. TensorFlow decodes WAV files of 16 bits;
    Python's decoder knows more formats.

    Args:
        files: `[batch]` string, the bytes of the files. No bytes give silence.
        reader: rate, windows and their length.

    Returns:
        `[batch, samples]` float32, as long as all windows, whatever the clips: what a clip becomes then does not depend
        on the others of the batch.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, for bytes that are no such file.
    """
    whole = reader.windows * reader.window

    def decode(file):
        return tf.cond(tf.strings.length(file) > 0, lambda: _clip(file, reader, whole), lambda: tf.zeros([whole]))

    return tf.map_fn(decode, files, fn_output_signature=tf.TensorSpec([whole], tf.float32))


def _clip(file, reader, whole):
    audio, rate = tf.audio.decode_wav(file)
    mono = tf.reduce_mean(audio, axis=1)
    # In 64 bits, for the samples of an hour times a rate are more than 32 hold.
    rates = tf.stack([tf.constant(reader.sample_rate, tf.int64), tf.cast(rate, tf.int64)])
    up, down = tf.unstack(rates // _common_divisor(rates[0], rates[1]))
    length = -(-tf.size(mono, out_type=tf.int64) * up // down)
    places = tf.range(tf.minimum(length, whole))
    if reader.windows > 1:
        last = tf.cast(tf.maximum(length - reader.window, 0), tf.float64)
        starts = tf.cast(tf.round(tf.linspace(tf.constant(0.0, tf.float64), last, reader.windows)), tf.int64)
        spread = tf.reshape(starts[:, None] + tf.range(reader.window, dtype=tf.int64)[None, :], [-1])
        places = tf.cond(length > whole, lambda: spread, lambda: places)
    heard = tf.cond(tf.equal(up, down), lambda: tf.gather(mono, places), lambda: _resampled(mono, places, up, down))
    return tf.ensure_shape(tf.pad(heard, [[0, whole - tf.size(heard)]]), [whole])


def _resampled(samples, places, up, down):
    """The samples at these places of the new rate, `up / down` times the old one."""
    half = _TAPS * tf.maximum(up, down)
    reach = half // up + 1
    offsets = tf.range(-reach, reach + 1)
    # A new sample lies between old ones in one of `up` ways, which share their coefficients.
    phases = tf.range(up)
    coefficients = _filter(phases[:, None] - offsets[None, :] * up, half, up, down)
    middle, phase = places * down // up, places * down % up
    taken = middle[:, None] + offsets[None, :]
    inside = (taken >= 0) & (taken < tf.size(samples, out_type=tf.int64))
    values = tf.where(inside, tf.gather(samples, tf.where(inside, taken, 0)), 0.0)
    return tf.reduce_sum(values * tf.gather(coefficients, phase), axis=1)


def _filter(distance, half, up, down):
    """Float32 coefficients at distances, counted at the rate that both rates divide, from the middle."""

    def unscaled(distance):
        widest = tf.cast(tf.maximum(up, down), tf.float64)
        x = tf.cast(distance, tf.float64)
        inside = tf.abs(distance) <= half
        bent = tf.sqrt(tf.maximum(1.0 - tf.square(x / tf.cast(half, tf.float64)), 0.0))
        radians = x * (tf.constant(3.141592653589793, tf.float64) / widest)
        one, nought = tf.ones_like(x), tf.zeros_like(x)
        sinc = tf.where(tf.equal(distance, 0), one, tf.math.divide_no_nan(tf.sin(radians), radians))
        return tf.where(inside, sinc * tf.math.special.bessel_i0(_BETA * bent), nought)

    # What passes unchanged is what does not vary: the whole filter sums to `up`.
    total = tf.reduce_sum(unscaled(tf.range(-half, half + 1)))
    return tf.cast(unscaled(distance) * tf.cast(up, tf.float64) / total, tf.float32)


def _common_divisor(a, b):
    scalar = tf.TensorShape([])
    divisor, _ = tf.while_loop(lambda a, b: b > 0, lambda a, b: (b, a % b), (a, b), shape_invariants=(scalar, scalar))
    return divisor
