"""Videos into vectors by a small network over space and time that is useful before it has been trained."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.base import Encoder, normalised, random_signs
from mmrec_tf.encoders.readers import VideoReader
from mmrec_tf.errors import EncoderError

_FILTER_SIZE = 7
_FILTER_FRAMES = 5
"""Pixels and frames that a filter sees, in frames of half the side."""
_DIRECTIONS = 8
_STILL_WAVES = ((3.0, 1.3), (6.0, 2.4))
"""Wavelength and radius of the still filters, in pixels."""
_STILL = _DIRECTIONS * len(_STILL_WAVES)
_SPEEDS = ((5.0, 0.5), (5.0, 1.2), (6.5, 2.4))
"""Wavelength of the moving filters in pixels, and their speed in pixels per frame."""
_MOVING = _DIRECTIONS * len(_SPEEDS)
_MOVING_RADIUS = 2.4
_COLOURS = ((1.0, -1.0, 0.0), (-0.5, -0.5, 1.0), (0.299, 0.587, 0.114))
"""Red against green, blue against yellow, and lightness."""
_LIGHTNESS = np.array(_COLOURS[-1])
_NEIGHBOURHOOD = 9
_GRID = 4
_COARSE = 8
_COMBINATIONS = 64
_STILLNESS = 0.5
"""Square of the length of what moves at which it counts by 0.7 of its share."""
_WEIGHTS = (1.0, 0.8, 0.6, 0.3)
"""Shares of shape, colour, motion and combinations in the vector."""


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class VideoCnnEncoder(Encoder):
    """Turns a video into a vector of what is seen in it and how that moves, without a download.

    Like `ImageCnnEncoder`, it starts from filters that are known to be useful, so its vectors say something before any
    training, and everything in it can be trained:

    1. Frames are halved. Still Gabor filters in 8 directions and 2 sizes, each an even and an odd one, give the energy
       of edges; blurred filters three opponent colours; moving filters, waves that drift in 8 directions at 3 speeds,
       seen over 5 frames, the energy of motion. Energies are divided by those of the neighbourhood, so that contrast
       does not count, and a motion's less that of the opposite one is what really moves.
    2. Shape: the edges' energies, averaged over time and a grid of 4 by 4. Colour: the opponent colours' means on the
       same grid, and their spread. Motion: what moves, averaged over time and a grid of 2 by 2, and its spread.
       Combinations: 64 seeded random filters, 3 by 3 over 3 moments, over all energies, rectified, and averaged over
       time and a grid of 2 by 2.
    3. The four parts, each scaled to length 1 (motion only as far as there is any), are weighted, joined, and projected
       to `dim` by seeded random signs.

    Frames are spread over the whole video, so speeds are in pixels from one of them to the next: those of a short clip
    are finer in time than those of a long one.

    Args:
        dim: int. Width of the vector. Defaults to 128.
        frames: int. Frames that are seen; those of a shorter video are repeated. Defaults to 16.
        image_size: int. Pixels of a frame's side. The filters were chosen for the default, 64.
        sampling: str. `uniform`, `keyframes` or `scenes`. Defaults to `uniform`; between frames at uneven distances
            motion says little.
        seed: int. Chooses the random weights. Defaults to 0.
        batch_size: int. Items that the feature store encodes at a time. Defaults to 16.

    Call arguments:
        batch: `[batch, frames, image_size, image_size, 3]`, red, green and blue from 0 to 255, of any number type.

    Returns:
        `[batch, dim]` float32 tensor.

    Raises:
        EncoderError: for `sampling: shots`, which `FramesEncoder` has.

    Reference: Adelson and Bergen, Spatiotemporal energy models for the perception of motion (1985).
    """

    modality = "video"

    def __init__(
        self,
        dim: int = 128,
        frames: int = 16,
        image_size: int = 64,
        sampling: str = "uniform",
        seed: int = 0,
        batch_size: int = 16,
        **kwargs,
    ):
        super().__init__(batch_size=batch_size, **kwargs)
        if sampling == "shots":
            raise EncoderError(
                "video_cnn sees how things move from frame to frame, which shots do not keep: set sampling to uniform, "
                "or the encoder to frames."
            )
        self.dim = dim
        self.frames = frames
        self.image_size = image_size
        self.sampling = sampling
        self.reader = VideoReader(frames, image_size, sampling, fixed=True)
        self.seed = seed

    def build(self, input_shape=None):
        energies = _STILL + _MOVING
        combine = random_signs((3, 3, 3, energies, _COMBINATIONS), 1.0 / np.sqrt(27 * energies), self.seed)
        width = _GRID**2 * (_STILL + len(_COLOURS)) + len(_COLOURS) + 5 * _MOVING + 4 * _COMBINATIONS
        project = random_signs((width, self.dim), 1.0 / np.sqrt(self.dim), self.seed + 1)
        weights = {"still": still_filters(), "moving": moving_filters(), "combine": combine, "project": project}
        for name, value in weights.items():
            setattr(self, name, self.add_weight(name, value.shape, initializer=tf.constant_initializer(value)))
        self.bias = self.add_weight("bias", (self.dim,), initializer="zeros")
        super().build(input_shape)

    def encode(self, prepared, training=False):
        size = self.image_size
        pixels = tf.reshape(tf.cast(prepared, tf.float32) / 255.0 - 0.5, [-1, size, size, 3])
        pixels = tf.cast(tf.nn.avg_pool2d(pixels, 2, 2, "SAME"), self.compute_dtype)
        edges, colours = self._seen(pixels)
        moves = self._moving(tf.reshape(pixels, [-1, self.frames, *pixels.shape[1:]]))
        parts = [
            _WEIGHTS[0] * _scaled(self._shape_part(edges)),
            _WEIGHTS[1] * _scaled(self._colour_part(colours)),
            # Scaled to length 1, the noise of a still video would count as much as motion.
            _WEIGHTS[2] * _unit(self._motion_part(moves), floor=_STILLNESS),
            _WEIGHTS[3] * _scaled(self._combined_part(edges, moves)),
        ]
        joined = tf.cast(tf.concat(parts, axis=1), self.compute_dtype)
        return normalised(tf.matmul(joined, self.project) + self.bias)

    def _seen(self, pixels):
        """Of `[batch * frames, height, width, 3]` frames the energies of edges and the opponent colours."""
        responses = tf.cast(tf.nn.conv2d(pixels, self.still, 2, "SAME"), tf.float32)
        even, odd, colours = tf.split(responses, [_STILL, _STILL, len(_COLOURS)], axis=-1)
        return _energy(even, odd), colours

    def _moving(self, clips):
        """`[batch * frames, height, width, moving]`: the energy of each motion less that of the opposite one."""
        # The first and the last frame are seen longer: from black to them would be a motion.
        places = np.arange(-(_FILTER_FRAMES // 2), self.frames + _FILTER_FRAMES // 2).clip(0, self.frames - 1)
        clips = tf.gather(clips, places, axis=1)
        margin = [_FILTER_SIZE // 2] * 2
        clips = tf.pad(clips, [[0, 0], [0, 0], margin, margin, [0, 0]])
        responses = tf.cast(tf.nn.conv3d(clips, self.moving, [1, 1, 2, 2, 1], "VALID"), tf.float32)
        responses = tf.reshape(responses, [-1, *responses.shape[2:]])
        energy = _energy(*tf.split(responses, 2, axis=-1))
        by_direction = tf.reshape(energy, [-1, *energy.shape[1:3], len(_SPEEDS), _DIRECTIONS])
        opposite = tf.roll(by_direction, _DIRECTIONS // 2, axis=-1)
        return tf.reshape(by_direction - opposite, tf.shape(energy))

    def _shape_part(self, edges):
        shape = tf.reduce_mean(self._by_frame(_average(edges, _GRID)), axis=1)
        return _flat(shape - tf.reduce_mean(shape, axis=-1, keepdims=True))

    def _colour_part(self, colours):
        means = self._by_frame(_average(colours, _GRID))
        spread = _deviation(self._by_frame(colours), axis=[1, 2, 3])
        return tf.concat([_flat(tf.reduce_mean(means, axis=1)), spread], axis=1)

    def _motion_part(self, moves):
        moves = self._by_frame(_average(moves, 2))
        return tf.concat([_flat(tf.reduce_mean(moves, axis=1)), _deviation(moves, axis=[1, 2, 3])], axis=1)

    def _combined_part(self, edges, moves):
        energies = self._by_frame(_average(tf.concat([edges, moves], axis=-1), _COARSE))
        energies -= tf.reduce_mean(energies, axis=[1, 2, 3, 4], keepdims=True)
        energies /= tf.sqrt(tf.reduce_mean(tf.square(energies), axis=[1, 2, 3, 4], keepdims=True) + 1e-6)
        combined = tf.nn.conv3d(tf.cast(energies, self.compute_dtype), self.combine, [1, 2, 1, 1, 1], "SAME")
        combined = tf.reduce_mean(tf.nn.relu(tf.cast(combined, tf.float32)), axis=1)
        return _flat(_average(combined, 2))

    def _by_frame(self, maps):
        return tf.reshape(maps, [-1, self.frames, *maps.shape[1:]])

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "frames": self.frames,
            "image_size": self.image_size,
            "sampling": self.sampling,
            "seed": self.seed,
        }


def still_filters() -> np.ndarray:
    """`[7, 7, 3, 35]` float32: 16 even Gabor filters, the odd ones in the same order, 3 blurred opponent colours."""
    down, right = _offsets(_FILTER_SIZE), _offsets(_FILTER_SIZE)
    down, right = np.meshgrid(down, right, indexing="ij")
    filters = []
    for phase in (0.0, np.pi / 2):
        for wavelength, radius in _STILL_WAVES:
            for direction in np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS:
                across = right * np.cos(direction) + down * np.sin(direction)
                wave = np.exp(-(right**2 + down**2) / (2 * radius**2)) * np.cos(2 * np.pi * across / wavelength + phase)
                filters.append(_balanced(wave))
    blur = np.exp(-(down**2 + right**2) / (2 * 1.5**2))
    filters += [(blur / blur.sum())[..., None] * np.array(colour) for colour in _COLOURS]
    return np.stack(filters, axis=-1).round(6).astype(np.float32)


def moving_filters() -> np.ndarray:
    """`[5, 7, 7, 3, 48]` float32: 24 even waves that drift across, 8 directions at 3 speeds, then the odd ones.

    Direction 0 moves to the right, a quarter on moves down.
    """
    time, down, right = np.meshgrid(
        _offsets(_FILTER_FRAMES), _offsets(_FILTER_SIZE), _offsets(_FILTER_SIZE), indexing="ij"
    )
    envelope = np.exp(-(right**2 + down**2) / (2 * _MOVING_RADIUS**2) - time**2 / (2 * 1.5**2))
    filters = []
    for phase in (0.0, np.pi / 2):
        for wavelength, speed in _SPEEDS:
            for direction in 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS:
                across = right * np.cos(direction) + down * np.sin(direction)
                filters.append(_balanced(envelope * np.cos(2 * np.pi * (across - speed * time) / wavelength + phase)))
    return np.stack(filters, axis=-1).round(6).astype(np.float32)


def _offsets(count):
    return np.arange(count) - (count - 1) / 2


def _balanced(wave):
    """Over lightness: the filter sums to zero and its absolute values to one."""
    wave = wave - wave.mean()
    return (wave / np.abs(wave).sum())[..., None] * _LIGHTNESS


def _energy(even, odd):
    """How much there is of each filter's wave, whatever its phase, over all that there is around."""
    energy = tf.sqrt(tf.square(even) + tf.square(odd) + 1e-6)
    around = tf.nn.avg_pool2d(tf.reduce_mean(energy, -1, keepdims=True), _NEIGHBOURHOOD, 1, "SAME")
    return energy / (around + 0.01)


def _deviation(values, axis):
    return tf.sqrt(tf.math.reduce_variance(values, axis=axis) + 1e-6)


def _scaled(values):
    """Compresses large values, takes out what is common to all, and scales to length 1."""
    # A square root proper has an infinite slope at zero, where gradients would end.
    values = values * tf.math.rsqrt(tf.abs(values) + 1e-3)
    return _unit(values - tf.reduce_mean(values, axis=1, keepdims=True), floor=1e-6)


def _unit(values, floor):
    """Of length 1, or less where the square of the length is not far above the floor."""
    return values * tf.math.rsqrt(tf.reduce_sum(tf.square(values), axis=1, keepdims=True) + floor)


def _average(maps, cells: int):
    """`[batch, cells, cells, channels]`: means over a grid; where it does not divide the maps, cells overlap."""
    height, width = maps.shape[1:3]
    down = [maps[:, row * height // cells : -(-(row + 1) * height // cells)] for row in range(cells)]
    rows = tf.stack([tf.reduce_mean(part, axis=1) for part in down], axis=1)
    across = [rows[:, :, place * width // cells : -(-(place + 1) * width // cells)] for place in range(cells)]
    return tf.stack([tf.reduce_mean(part, axis=2) for part in across], axis=2)


def _flat(maps):
    return tf.reshape(maps, [-1, int(np.prod(maps.shape[1:]))])
