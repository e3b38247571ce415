"""Basic Pitch: which notes are heard in a recording, as a vector of how much and how clearly each one is."""

import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from mmrec_tf.encoders.base import random_signs
from mmrec_tf.encoders.pretrained.agreement import Agreement
from mmrec_tf.encoders.pretrained.hub_module import HubModule
from mmrec_tf.encoders.pretrained.packages import read_member
from mmrec_tf.encoders.pretrained.registry import PretrainedModule

SAMPLE_RATE = 22050
"""Hz."""

WINDOW = 43844
"""Samples that the network hears at a time: 1.988 s."""

LOWEST_NOTE = 21
"""MIDI number of the first of the 88 notes, A0."""

# Samples from one frame to the next.
_HOP = 256
_NOTES = 88
_FRAMES = 172
_FOLDER = "basic_pitch/saved_models/icassp_2022/nmp"
_FILES = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001")
# The widest feature map of a window takes 6 MB.
_WINDOWS_AT_A_TIME = 16


class PitchProfile(HubModule):
    """`[batch, samples]` waveforms at 22,050 Hz -> `[batch, 176]`: the notes' mean activations, then their highest.

    The published network gives an activation of each of the 88 notes of a piano, 86 times a second. Means say how much
    a note is heard, which is the piece's register and key; the highest, how clearly it stands out, which tells melodies
    from noise. Zeros at a clip's end are no part of it, so that a batch's clips come out as each would alone.

    Args:
        published: the published model as `tf.saved_model.load` gives it: `[windows, 43844, 1]` -> dict of `note`,
            `onset` and `contour`, of which `note` is `[windows, 172, 88]`.
    """

    def __init__(self, published):
        super().__init__(published.variables, published.trainable_variables)
        self.published = published

    @tf.function
    def __call__(self, waveforms, training=False):
        windows, clips, is_heard = self.windows(waveforms)
        notes = self._notes(windows, True) if training else self._in_parts(windows)
        is_heard = is_heard[..., tf.newaxis]
        batch = tf.shape(waveforms)[0]
        counts = tf.math.unsorted_segment_sum(tf.reduce_sum(tf.cast(is_heard, tf.float32), axis=1), clips, batch)
        sums = tf.math.unsorted_segment_sum(tf.reduce_sum(tf.where(is_heard, notes, 0.0), axis=1), clips, batch)
        # Activations are probabilities: none is below 0.
        highest = tf.reduce_max(tf.where(is_heard, notes, 0.0), axis=1)
        highest = tf.math.unsorted_segment_max(highest, clips, batch)
        return tf.ensure_shape(tf.concat([sums / counts, highest], axis=1), [None, 2 * _NOTES])

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])
    def windows(self, waveforms):
        """All clips' windows `[windows, 43844]`, the clip that each is from `[windows]` int32, and which frames are.

        A clip has as many windows as hold all its samples, at least one, the last filled up with zeros. Frames begin
        every 256 samples; those beyond the clip's end are not heard, `[windows, 172]` bool.
        """
        # One zero more, so that a batch of clips without a sample has one.
        waveforms = tf.pad(waveforms, [[0, 0], [0, 1]])
        positions = tf.range(1, tf.shape(waveforms)[1] + 1)
        lengths = tf.reduce_max(tf.where(waveforms != 0.0, positions, 1), axis=1)
        counts = -(-lengths // WINDOW)
        # Of an empty batch the maximum is the lowest integer.
        longest = tf.maximum(1, tf.reduce_max(counts))
        missing = tf.maximum(0, longest * WINDOW - tf.shape(waveforms)[1])
        filled = tf.pad(waveforms, [[0, 0], [0, missing]])[:, : longest * WINDOW]
        cut = tf.reshape(filled, [tf.shape(filled)[0], longest, WINDOW])
        starts = tf.range(longest)[:, tf.newaxis] * WINDOW + tf.range(_FRAMES) * _HOP
        is_heard = starts < lengths[:, tf.newaxis, tf.newaxis]
        kept = tf.sequence_mask(counts, longest)
        clips = tf.cast(tf.where(kept)[:, 0], tf.int32)
        return tf.boolean_mask(cut, kept), clips, tf.boolean_mask(is_heard, kept)

    def _notes(self, windows, training):
        return tf.ensure_shape(self.published(windows[..., tf.newaxis], training)["note"], [None, _FRAMES, _NOTES])

    def _in_parts(self, windows):
        """`[windows, 172, 88]`, computed for a few windows at a time, to bound the memory."""
        total = tf.shape(windows)[0]

        def append(start, notes):
            some = self._notes(windows[start : start + _WINDOWS_AT_A_TIME], False)
            return start + _WINDOWS_AT_A_TIME, tf.concat([notes, some], axis=0)

        _, notes = tf.while_loop(
            lambda start, _: start < total,
            append,
            [tf.constant(0), tf.zeros([0, _FRAMES, _NOTES])],
            shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, _FRAMES, _NOTES])],
        )
        return notes


def convert(declared: PretrainedModule, wheel: zipfile.ZipFile, folder: Path) -> None:
    """Writes the module around the wheel's SavedModel, and that as it is into the folder `published`."""
    published = folder / "published"
    for name in _FILES:
        path = published / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(read_member(wheel, f"{_FOLDER}/{name}"))
    module = PitchProfile(tf.saved_model.load(str(published)))
    module.save(folder, tf.TensorSpec([None, None], tf.float32, "waveforms"))


def agreement(declared: PretrainedModule) -> Agreement:
    return _AGREEMENT


def _check_waveforms() -> np.ndarray:
    """The note A4 for 3 s, and a chord under a rising tone, `[2, 87688]`: two windows each, with a faint noise.

    The network hears loudness by its logarithm. Of true silence between tones that is the logarithm of rounding errors,
    which each kind of processor makes in its own way; no recording is that silent.
    """
    seconds = np.arange(2 * WINDOW) / SAMPLE_RATE
    waves = np.zeros((2, 2 * WINDOW))
    waves[0] = np.sin(2 * np.pi * 440.0 * seconds)
    for frequency in (130.8, 164.8, 196.0):
        waves[1] += np.sin(2 * np.pi * frequency * seconds) * np.exp(-2.0 * (seconds % 1.0))
    waves[1] += np.sin(2 * np.pi * (300.0 + 100.0 * seconds) * seconds)
    waves = (0.2 * waves).astype(np.float32) + random_signs(waves.shape, 0.03, seed=1)
    waves[0, seconds >= 3.0] = 0.0
    return waves


# Computed by ONNX Runtime 1.32 from the network's ONNX file in the same wheel, means and maxima by NumPy.
_AGREEMENT = Agreement(
    inputs=_check_waveforms,
    expected={"default": [[1.777528, 1.97368, -0.411497, 2.554673], [2.250241, 3.49559, -1.628446, 2.65001]]},
    tolerance=1e-3,
)
