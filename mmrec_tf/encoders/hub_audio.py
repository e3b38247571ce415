"""How modules in TF-Hub's format are called on sound: a batch of waveforms at a time, or one waveform.

A clip ends with its last sample that is not zero: the zeros behind it fill a batch up and must not change its vector.
"""

import numpy as np
import tensorflow as tf

from mmrec_tf.encoders.hub_interfaces import ModuleCall
from mmrec_tf.encoders.hub_loading import CALL_ERRORS
from mmrec_tf.encoders.parts import mean_over_parts, windows_of
from mmrec_tf.encoders.readers import AudioReader
from mmrec_tf.errors import EncoderError

_SAME = 1e-3
"""Largest share by which the vectors of a clip alone and with zeros behind it may differ and be called the same."""


class AudioCall(ModuleCall):
    """Sound, window by window: each window of a clip gives a vector, of which the mean is taken."""

    reader: AudioReader
    remedy = "If it is made for one length or rate, set `seconds` and `sample_rate`."
    dim: int | None = None

    @property
    def takes(self) -> str:
        kind = "[samples]" if self.interface.one_waveform else "[batch, samples] or [samples]"
        return f"{self.reader.seconds:g} s waveforms at {self.reader.sample_rate} Hz, {kind}"

    def vectors(self, prepared, training):
        windows = windows_of(tf.cast(prepared, tf.float32), self.reader.window)
        return mean_over_parts(
            lambda waveforms: self.of_windows(waveforms, training), windows, self.dim, static_shape=training
        )

    def probe(self):
        vectors = self.of_windows(self._noise(), training=False)
        self.dim = int(vectors.shape[-1])
        return self.dim

    def of_windows(self, waveforms: tf.Tensor, training: bool) -> tf.Tensor:
        """`[windows, dim]` of `[windows, samples]`."""
        raise NotImplementedError

    def _noise(self, share: float = 1.0) -> tf.Tensor:
        """A window of noise, of which a share is no silence. Silence would tell nothing of how zeros are taken."""
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (1, self.reader.window)).astype(np.float32)
        noise[:, max(1, round(share * self.reader.window)) :] = 0.0
        return tf.constant(noise)


class WaveformsCall(AudioCall):
    """Waveforms: `[batch, samples]` float32, giving `[batch, dim]`, or a vector per step, of which the mean is taken.

    Waveforms are filled up with zeros to the length that the module is made for, if it is made for one, and else to a
    whole window, so that a clip's vector does not depend on which others it is encoded with. A module that leaves
    zeros out by itself (an example tells) gets them as short as they come.

    Args:
        length: int. Samples that the module takes; any number when None.
    """

    ranks = (2, 3)

    def __init__(self, *arguments, length: int | None):
        super().__init__(*arguments)
        self._length = length

    def probe(self):
        width = super().probe()
        if self._length is None and not self._leaves_zeros_out():
            self._length = self.reader.window
        return width

    def of_windows(self, waveforms, training):
        lengths = lengths_of(waveforms)
        if self.interface.standardised:
            waveforms = standardised(waveforms, lengths)
        if self._length is not None:
            waveforms = filled_up(waveforms, self._length)
        steps = self.output(waveforms, training)
        if steps.shape.rank == 2:
            return steps
        count = tf.shape(steps)[1]
        if self.interface.frame_hop:
            counts = 1 + tf.maximum(lengths - self.interface.frame_length, 0) // self.interface.frame_hop
        else:
            share = tf.cast(lengths, tf.float32) / tf.cast(tf.shape(waveforms)[1], tf.float32)
            counts = tf.cast(tf.math.ceil(share * tf.cast(count, tf.float32)), tf.int32)
        return mean_of_first(steps, tf.clip_by_value(counts, 1, count))

    def _leaves_zeros_out(self) -> bool:
        whole = self._noise(share=0.5)
        try:
            alone = self.of_windows(whole[:, : max(1, round(0.5 * self.reader.window))], training=False)
        except CALL_ERRORS:
            return False
        difference = tf.reduce_max(tf.abs(alone - self.of_windows(whole, training=False)))
        return bool(difference <= _SAME * tf.reduce_max(tf.abs(alone)))


class WaveformCall(AudioCall):
    """One waveform: `[samples]` float32, giving `[dim]`, or a vector per frame, of which the mean is taken.

    Of such a module nothing is known but that, so each clip is a call of its own, as long as the clip is.
    """

    ranks = (1, 2)

    def of_windows(self, waveforms, training):
        # Some modules give no frame at all, and no mean, for less than a second.
        waveforms = filled_up(waveforms, self.reader.sample_rate)
        lengths = tf.maximum(lengths_of(waveforms), self.reader.sample_rate)

        def vector(clip):
            waveform, length = clip
            frames = self.output(waveform[:length], training)
            return frames if frames.shape.rank == 1 else tf.reduce_mean(frames, axis=0)

        if self.dim is None:
            return vector((waveforms[0], lengths[0]))[tf.newaxis]
        one = tf.TensorSpec([self.dim], tf.float32)
        return tf.map_fn(vector, (waveforms, lengths), fn_output_signature=one)


class FramedWaveformCall(AudioCall):
    """One waveform: `[samples]` float32, giving a vector per frame, all frames of one length and distance.

    That is YAMNet's and VGGish's interface. Calling the module for each clip would leave most of the machine idle, so
    the clips are laid one behind the other in a single waveform, each filled up with zeros to a whole number of hops:
    a clip's frames then begin where they would if it were alone, and hear the same samples. Frames that reach from one
    clip into the next are left out; a clip's vector is the mean of its own.
    """

    ranks = (1, 2)

    def of_windows(self, waveforms, training):
        length, hop = self.interface.frame_length, self.interface.frame_hop
        longest = waveforms.shape[1] if waveforms.shape[1] is not None else tf.shape(waveforms)[1]
        counts, most = self._frames(lengths_of(waveforms)), self._whole(longest)
        behind = -(-length // hop) - 1
        width = (most + behind) * hop
        waveforms = filled_up(waveforms, width)
        if training:
            # A compiled step needs one shape, so every clip takes as much room as the longest could.
            starts = tf.range(tf.shape(waveforms)[0]) * (most + behind)
            laid = tf.reshape(waveforms, [-1])
        else:
            room = counts + behind
            starts = tf.cumsum(room, exclusive=True)
            laid = tf.boolean_mask(waveforms, tf.sequence_mask(room * hop, width))
        frames = self.output(laid, training)
        own = tf.sequence_mask(counts, most)
        places = tf.where(own, starts[:, tf.newaxis] + tf.range(most), 0)
        return mean_of_first(tf.gather(frames, places), counts)

    def probe(self):
        length, hop = self.interface.frame_length, self.interface.frame_hop
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, length + 3 * hop).astype(np.float32)
        found = self.output(tf.constant(noise), training=False).shape[0]
        if found != 4:
            raise EncoderError(
                f"the module {self.handle} gives {found} vectors for {len(noise)} samples, where 4 were expected: it "
                f"does not hear {length} samples at a time every {hop}. Take it as type `hub`, which assumes nothing."
            )
        return super().probe()

    def _frames(self, lengths):
        """How many frames the module gives clips of so many samples; one for short clips, which are filled up."""
        beyond = tf.maximum(lengths - self.interface.frame_length, 0)
        hop = self.interface.frame_hop
        return 1 + (-(-beyond // hop) if self.interface.fills_up else beyond // hop)

    def _whole(self, samples):
        """The most frames that a waveform of so many samples can have."""
        length, hop = self.interface.frame_length, self.interface.frame_hop
        if isinstance(samples, int):
            return 1 + -(-max(samples - length, 0) // hop)
        return 1 + -(-tf.maximum(samples - length, 0) // hop)


def lengths_of(waveforms: tf.Tensor) -> tf.Tensor:
    """`[batch]` int32: how many samples of each waveform `[batch, samples]` stand before the zeros at its end."""
    positions = tf.range(1, tf.shape(waveforms)[1] + 1)
    return tf.reduce_max(tf.where(tf.not_equal(waveforms, 0.0), positions, 0), axis=1)


def filled_up(waveforms: tf.Tensor, samples) -> tf.Tensor:
    """Waveforms `[batch, n]` followed by zeros to at least so many samples."""
    missing = tf.maximum(samples - tf.shape(waveforms)[1], 0)
    filled = tf.pad(waveforms, [[0, 0], [0, missing]])
    known = waveforms.shape[1]
    is_known = known is not None and isinstance(samples, int)
    return tf.ensure_shape(filled, [waveforms.shape[0], max(known, samples) if is_known else None])


def standardised(waveforms: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Each waveform with mean 0 and variance 1 over its own samples; the zeros behind them stay zeros."""
    own = tf.sequence_mask(lengths, tf.shape(waveforms)[1], tf.float32)
    count = tf.maximum(tf.cast(lengths, tf.float32), 1.0)[:, tf.newaxis]
    centred = (waveforms - tf.reduce_sum(waveforms, axis=1, keepdims=True) / count) * own
    variance = tf.reduce_sum(tf.square(centred), axis=1, keepdims=True) / count
    return centred * tf.math.rsqrt(variance + 1e-5)


def mean_of_first(steps: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """`[batch, dim]`: the mean of each row's first `counts` of `[batch, steps, dim]`."""
    own = tf.sequence_mask(counts, tf.shape(steps)[1], tf.float32)[..., tf.newaxis]
    return tf.reduce_sum(steps * own, axis=1) / tf.cast(counts, tf.float32)[:, tf.newaxis]
