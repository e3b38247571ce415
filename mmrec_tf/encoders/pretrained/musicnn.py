"""musicnn: a waveform's log-mel spectrogram, windows of 3 s, and a network that tags music."""

import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.pretrained.agreement import Agreement
from mmrec_tf.encoders.pretrained.hub_module import HubModule
from mmrec_tf.encoders.pretrained.packages import read_member
from mmrec_tf.encoders.pretrained.registry import PretrainedModule
from mmrec_tf.errors import EncoderError

SAMPLE_RATE = 16000
"""Hz."""

WINDOW_FRAMES = 187
"""Spectrogram frames that the network hears at a time: 2.992 s."""

_HOP = 256
_FRAME = 512
_BANDS = 96
_VECTOR = 200
_TAGS = 50
# The widest feature map of a window takes 9 MB.
_WINDOWS_AT_A_TIME = 16
_CHECKPOINTS = {"musicnn": "MTT_musicnn", "musicnn_msd": "MSD_musicnn"}


def slaney_mel_weights() -> np.ndarray:
    """`[257, 96]` float32: triangles on Slaney's mel scale from 0 to 8 kHz, each of area 1.

    The scale is linear up to 1 kHz (15 mels) and logarithmic above, 27 mels for a factor of 6.4.

    Reference: Slaney, Auditory Toolbox (1998)
    """
    top = 15.0 + 27.0 * np.log(SAMPLE_RATE / 2 / 1000.0) / np.log(6.4)
    mels = np.linspace(0.0, top, _BANDS + 2)
    corners = np.where(mels < 15.0, mels * 200.0 / 3.0, 1000.0 * np.exp((mels - 15.0) * np.log(6.4) / 27.0))
    lower, centre, upper = corners[:-2], corners[1:-1], corners[2:]
    frequency = np.linspace(0.0, SAMPLE_RATE / 2, _FRAME // 2 + 1)[:, np.newaxis]
    rising = (frequency - lower) / (centre - lower)
    falling = (upper - frequency) / (upper - centre)
    return (np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (upper - lower)).astype(np.float32)


def musicnn_network() -> tf_keras.Model:
    """`[windows, 187, 96]` log-mel -> the vectors `[windows, 200]` and the tags' logits `[windows, 50]`.

    Layers have the names that the checkpoint gives them.
    """
    spectrogram = tf_keras.Input((WINDOW_FRAMES, _BANDS), name="log_mel")
    maps = _normalised(spectrogram[..., tf.newaxis], 0)
    timbre = [_loudest(maps, 204, (7, 38), 0), _loudest(maps, 204, (7, 67), 1)]
    tempo = [_loudest(maps, 51, (128, 1), 2), _loudest(maps, 51, (64, 1), 3), _loudest(maps, 51, (32, 1), 4)]
    front = tf.concat(timbre + tempo, axis=2)
    first = _middle(front, 5)
    second = _middle(first, 6) + first
    third = _middle(second, 7) + second
    features = tf.concat([front, first, second, third], axis=2)
    pooled = tf.stack([tf.reduce_max(features, axis=1), tf.reduce_mean(features, axis=1)], axis=2)
    flat = _normalised(tf_keras.layers.Flatten(dtype="float32", name="flat")(pooled), 9)
    flat = tf_keras.layers.Dropout(0.5, dtype="float32", name="drop_flat")(flat)
    dense = tf_keras.layers.Dense(_VECTOR, activation="relu", dtype="float32", name="dense")(flat)
    vector = _normalised(dense, 10)
    dropped = tf_keras.layers.Dropout(0.5, dtype="float32", name="drop_vector")(vector)
    logits = tf_keras.layers.Dense(_TAGS, dtype="float32", name="dense_1")(dropped)
    return tf_keras.Model(spectrogram, [vector, logits], name="musicnn")


def _loudest(maps, channels, kernel, number):
    """Convolution over time and frequency -> `[windows, frames, channels]`: each channel where it answers most."""
    if kernel[1] > 1:
        # Filled up in time alone: the frequencies are reduced to their maximum.
        maps = tf_keras.layers.ZeroPadding2D(((3, 3), (0, 0)), dtype="float32", name=f"pad_{number}")(maps)
    maps = _convolution(maps, channels, kernel, "same" if kernel[1] == 1 else "valid", number)
    return tf.reduce_max(_normalised(maps, number + 1), axis=2)


def _middle(sequence, number):
    """Convolution over 7 frames and all channels: `[windows, frames, channels]` -> `[windows, frames, 64]`."""
    maps = tf_keras.layers.ZeroPadding2D(((3, 3), (0, 0)), dtype="float32", name=f"pad_{number}")(
        sequence[..., tf.newaxis]
    )
    maps = _convolution(maps, 64, (7, sequence.shape[2]), "valid", number)
    return tf.squeeze(_normalised(maps, number + 1), axis=2)


def _convolution(maps, channels, kernel, padding, number):
    layer = tf_keras.layers.Conv2D(
        channels, kernel, padding=padding, activation="relu", dtype="float32", name=_numbered("conv2d", number)
    )
    return layer(maps)


def _normalised(maps, number):
    name = _numbered("batch_normalization", number)
    return tf_keras.layers.BatchNormalization(momentum=0.99, epsilon=1e-3, dtype="float32", name=name)(maps)


def _numbered(name, number):
    return f"{name}_{number}" if number else name


class MusicEncoder(HubModule):
    """`[batch, samples]` waveforms at 16 kHz -> dict of `default` `[batch, 200]` and `tags` `[batch, 50]`.

    Each clip is cut into its nearest whole number of windows, at least one; what is missing of the last is the clip
    from its beginning once more, as in the training of the network. Zeros at a clip's end are no part of it, so that
    a batch's clips come out as each would alone. The head that names the tags is not trained with the rest: training
    on vectors gives it no gradient.
    """

    def __init__(self, network: tf_keras.Model):
        head = {id(variable) for variable in network.get_layer("dense_1").variables}
        super().__init__(
            network.variables, [variable for variable in network.trainable_variables if id(variable) not in head]
        )
        # In a function's keeping it is not saved, traces and all, beside what this module is saved as.
        self._apply = lambda windows, training: network(windows, training=training)

    @tf.function
    def __call__(self, waveforms, training=False):
        windows, clips = self.windows(waveforms)
        vectors, logits = self._apply(windows, True) if training else self._in_parts(windows)
        return {
            "default": tf.ensure_shape(tf.math.segment_mean(vectors, clips), [None, _VECTOR]),
            "tags": tf.ensure_shape(tf.math.segment_mean(tf.sigmoid(logits), clips), [None, _TAGS]),
        }

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])
    def windows(self, waveforms):
        """All clips' windows `[windows, 187, 96]`, and the clip that each is from, `[windows]` int32."""
        # One zero more, so that a batch of clips without a sample has one.
        waveforms = tf.pad(waveforms, [[0, 0], [0, 1]])
        positions = tf.range(1, tf.shape(waveforms)[1] + 1)
        lengths = tf.reduce_max(tf.where(waveforms != 0.0, positions, 1), axis=1)
        counts = tf.maximum(1, (1 + lengths // _HOP + WINDOW_FRAMES // 2) // WINDOW_FRAMES)
        longest = tf.maximum(1, tf.reduce_max(counts))
        repeated = tf.range(longest * WINDOW_FRAMES * _HOP) % lengths[:, tf.newaxis]
        frames = self._log_mel(tf.gather(waveforms, repeated, batch_dims=1))
        cut = tf.reshape(frames, [tf.shape(frames)[0], longest, WINDOW_FRAMES, _BANDS])
        is_heard = tf.sequence_mask(counts, longest)
        return tf.boolean_mask(cut, is_heard), tf.cast(tf.where(is_heard)[:, 0], tf.int32)

    def _log_mel(self, waveforms):
        """`[batch, samples]` -> `[batch, samples / 256, 96]`; frames are centred on multiples of the hop."""
        # Before the beginning the first frame hears its reflection. (tf.pad refuses to reflect an empty batch.)
        waveforms = tf.concat([tf.reverse(waveforms[:, 1 : _FRAME // 2 + 1], axis=[1]), waveforms], axis=1)
        power = tf.square(tf.abs(tf.signal.stft(waveforms, _FRAME, _HOP)))
        mels = tf.tensordot(power, tf.constant(slaney_mel_weights()), 1)
        return tf.math.log(10000.0 * mels + 1.0) / tf.math.log(10.0)

    def _in_parts(self, windows):
        """The network's outputs, computed for a few windows at a time, to bound the memory."""
        total = tf.shape(windows)[0]

        def append(start, vectors, logits):
            some_vectors, some_logits = self._apply(windows[start : start + _WINDOWS_AT_A_TIME], False)
            vectors, logits = tf.concat([vectors, some_vectors], axis=0), tf.concat([logits, some_logits], axis=0)
            return start + _WINDOWS_AT_A_TIME, vectors, logits

        _, vectors, logits = tf.while_loop(
            lambda start, *_: start < total,
            append,
            [tf.constant(0), tf.zeros([0, _VECTOR]), tf.zeros([0, _TAGS])],
            shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, _VECTOR]), tf.TensorShape([None, _TAGS])],
        )
        return vectors, logits


def convert(declared: PretrainedModule, wheel: zipfile.ZipFile, folder: Path) -> None:
    """Writes the module from the wheel's TensorFlow 1 checkpoint."""
    network = musicnn_network()
    with tempfile.TemporaryDirectory() as scratch:
        for name in (".index", ".data-00000-of-00001"):
            content = read_member(wheel, f"musicnn/{_CHECKPOINTS[declared.name]}/{name}")
            (Path(scratch) / f"musicnn{name}").write_bytes(content)
        _load_checkpoint(network, tf.train.load_checkpoint(str(Path(scratch) / "musicnn")))
    MusicEncoder(network).save(folder, tf.TensorSpec([None, None], tf.float32, "waveforms"))


def _load_checkpoint(network, checkpoint) -> None:
    for layer in network.layers:
        names = [f"{layer.name}/{weight.name.rpartition('/')[2].removesuffix(':0')}" for weight in layer.weights]
        for name in names:
            if not checkpoint.has_tensor(name):
                raise EncoderError(f"the checkpoint is not musicnn's: it holds no {name}.")
        layer.set_weights([checkpoint.get_tensor(name) for name in names])


def agreement(declared: PretrainedModule) -> Agreement:
    return _AGREEMENTS[declared.name]


def _check_waveforms() -> np.ndarray:
    """Two chords with a beat and a rising tone, `[2, 95744]`: two whole windows each."""
    time = np.arange(2 * WINDOW_FRAMES * _HOP) / SAMPLE_RATE
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.18, 329.63)) / 6
    beat = chord * np.exp(-4.0 * (time % 0.5))
    rising = 0.4 * np.sin(2 * np.pi * (100.0 + 300.0 * time) * time)
    return np.stack([beat, rising]).astype(np.float32)


# Computed by the package's own graph (musicnn/models.py under tf.compat.v1) with the checkpoint restored by
# tf.compat.v1.train.Saver, from log-mel windows by librosa 0.11 (melspectrogram with pad_mode="reflect"). The package
# rounds those to float16, which is not done here.
_AGREEMENTS = {
    "musicnn": Agreement(
        inputs=_check_waveforms,
        expected={
            "default": [[-6.348, 1.2023, -0.84359, -1.98346], [-22.46828, 43.88683, -21.33058, -29.67262]],
            "tags": [[-0.69386, 0.07885, 0.17801, -0.00861], [-0.13383, 0.06008, 0.02152, -0.08095]],
        },
        tolerance=2e-4,
    ),
    "musicnn_msd": Agreement(
        inputs=_check_waveforms,
        expected={
            "default": [[5.89536, -17.73641, 3.64945, 8.99507], [10.15912, -8.48054, 6.91564, -4.67845]],
            "tags": [[0.45622, 0.09391, 1.2473, 0.74162], [0.70979, 0.69774, -0.91696, -1.01663]],
        },
        tolerance=2e-4,
    ),
}
