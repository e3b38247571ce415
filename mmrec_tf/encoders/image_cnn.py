"""Photos into vectors by a small convolutional network that is useful before it has been trained."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.base import Encoder, normalised, random_signs
from mmrec_tf.encoders.readers import ImageReader

_FILTER_SIZE = 9
_ORIENTATIONS = 8
_WAVES = ((4.0, 1.8), (8.0, 3.2))
"""Wavelength and radius of the oriented filters, in pixels."""
_ORIENTED = _ORIENTATIONS * len(_WAVES)
_COLOURS = ((1.0, -1.0, 0.0), (-0.5, -0.5, 1.0), (0.299, 0.587, 0.114))
"""Red against green, blue against yellow, and lightness."""
_LUMINANCE = np.array(_COLOURS[-1])
_GRID = 4
_COARSE = 16
_COMBINATIONS = 64
_NEIGHBOURHOOD = 17
_WEIGHTS = (1.0, 0.5, 0.5)
"""Shares of shape, colour and combinations of edges in the vector."""


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class ImageCnnEncoder(Encoder):
    """Turns a photo into a vector of its outlines, its colours and combinations of edges, without a download.

    Pretrained networks see more, but come over the internet. This one starts from filters that are known to be useful,
    not from random ones, so its vectors say something before any training, and everything in it can be trained:

    1. Gabor filters in 8 directions and 2 sizes, each an even and an odd one whose squares add up to the energy of
       edges in that direction wherever exactly they lie; divided by the energy of the neighbourhood, so that contrast
       does not count. Three blurred opponent colours.
    2. Shape: the energies' means on a grid of 4 by 4. Colour: the opponent colours' means on the same grid, and their
       spread over the photo. Combinations: 64 seeded random 3 by 3 filters over the energies on a grid of 16 by 16,
       rectified, and averaged on a grid of 2 by 2.
    3. The three parts, each compressed by a signed square root, centred and scaled to length 1, are weighted, joined,
       and projected to `dim` by seeded random signs.

    Args:
        dim: int. Width of the vector. Defaults to 128.
        image_size: int. Pixels of the square photo's side. The filters were chosen for the default, 64.
        seed: int. Chooses the random weights. Defaults to 0.
        batch_size: int. Items that the feature store encodes at a time. Defaults to 64.

    Call arguments:
        batch: `[batch, image_size, image_size, 3]`, red, green and blue from 0 to 255, of any number type.

    Returns:
        `[batch, dim]` float32 tensor.

    Reference: Gabor energy and divisive normalisation follow Heeger, Normalization of cell responses in cat striate
    cortex (1992); the grid of normalised orientations Dalal and Triggs, Histograms of Oriented Gradients (2005).
    """

    modality = "image"

    def __init__(self, dim: int = 128, image_size: int = 64, seed: int = 0, batch_size: int = 64, **kwargs):
        super().__init__(batch_size=batch_size, **kwargs)
        self.dim = dim
        self.image_size = image_size
        self.reader = ImageReader(image_size)
        self.seed = seed

    def build(self, input_shape=None):
        filters = first_filters()
        combine = random_signs((3, 3, _ORIENTED, _COMBINATIONS), 1.0 / np.sqrt(9 * _ORIENTED), self.seed)
        width = _GRID**2 * (_ORIENTED + len(_COLOURS)) + len(_COLOURS) + 4 * _COMBINATIONS
        project = random_signs((width, self.dim), 1.0 / np.sqrt(self.dim), self.seed + 1)
        for name, value in (("filters", filters), ("combine", combine), ("project", project)):
            setattr(self, name, self.add_weight(name, value.shape, initializer=tf.constant_initializer(value)))
        self.bias = self.add_weight("bias", (self.dim,), initializer="zeros")
        super().build(input_shape)

    def encode(self, prepared, training=False):
        pixels = tf.cast(prepared, self.compute_dtype) / 255.0 - 0.5
        responses = tf.cast(tf.nn.conv2d(pixels, self.filters, 1, "SAME"), tf.float32)
        even, odd, colour = tf.split(responses, [_ORIENTED, _ORIENTED, len(_COLOURS)], axis=-1)
        energy = self._energy(even, odd)

        shape = _average(energy, _GRID)
        shape -= tf.reduce_mean(shape, axis=-1, keepdims=True)
        spread = tf.sqrt(tf.math.reduce_variance(colour, axis=[1, 2]) + 1e-6)
        colours = tf.concat([_flat(_average(colour, _GRID)), spread], axis=1)

        coarse = _average(energy, _COARSE)
        coarse -= tf.reduce_mean(coarse, axis=[1, 2, 3], keepdims=True)
        coarse /= tf.sqrt(tf.reduce_mean(tf.square(coarse), axis=[1, 2, 3], keepdims=True) + 1e-6)
        combined = tf.nn.relu(tf.nn.conv2d(tf.cast(coarse, self.compute_dtype), self.combine, 1, "SAME"))
        combined = _average(tf.cast(combined, tf.float32), 2)

        parts = [weight * _part(part) for weight, part in zip(_WEIGHTS, (_flat(shape), colours, _flat(combined)))]
        joined = tf.cast(tf.concat(parts, axis=1), self.compute_dtype)
        return normalised(tf.matmul(joined, self.project) + self.bias)

    @staticmethod
    def _energy(even, odd):
        """`[batch, height, width, directions and sizes]`: how much edge there is, whatever its phase and contrast."""
        energy = tf.sqrt(tf.square(even) + tf.square(odd) + 1e-6)
        around = tf.nn.avg_pool2d(tf.reduce_mean(energy, -1, keepdims=True), _NEIGHBOURHOOD, 1, "SAME")
        return energy / (around + 0.01)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "image_size": self.image_size, "seed": self.seed}


def first_filters() -> np.ndarray:
    """`[9, 9, 3, filters]` float32: even Gabor filters, the odd ones in the same order, the blurred opponent colours.

    The Gabor filters sum to zero and their absolute values to one, over the luminance; rounded, so that every machine
    gets the same ones.
    """
    offsets = np.arange(_FILTER_SIZE) - (_FILTER_SIZE - 1) / 2
    down, right = np.meshgrid(offsets, offsets, indexing="ij")
    filters = []
    for phase in (0.0, np.pi / 2):
        for wavelength, radius in _WAVES:
            for direction in np.pi * np.arange(_ORIENTATIONS) / _ORIENTATIONS:
                across = right * np.cos(direction) + down * np.sin(direction)
                along = down * np.cos(direction) - right * np.sin(direction)
                envelope = np.exp(-(across**2 + 0.49 * along**2) / (2 * radius**2))
                wave = envelope * np.cos(2 * np.pi * across / wavelength + phase)
                wave -= wave.mean()
                filters.append((wave / np.abs(wave).sum())[..., None] * _LUMINANCE)
    blur = np.exp(-(down**2 + right**2) / (2 * 2.0**2))
    filters += [(blur / blur.sum())[..., None] * np.array(colour) for colour in _COLOURS]
    return np.stack(filters, axis=-1).round(6).astype(np.float32)


def _average(maps, cells: int):
    """`[batch, cells, cells, channels]`: means over a grid, which need not divide the maps' size evenly."""
    down, across = (_cell_shares(size, cells) for size in maps.shape[1:3])
    return tf.einsum("bhwc,gh,kw->bgkc", maps, down, across)


def _cell_shares(size: int, cells: int) -> np.ndarray:
    """`[cells, size]`: which share of a cell's mean each pixel has."""
    edges = np.linspace(0, size, cells + 1)
    start = np.arange(size)
    overlap = np.minimum(edges[1:, None], start + 1) - np.maximum(edges[:-1, None], start)
    return (overlap.clip(0) / (size / cells)).astype(np.float32)


def _flat(maps):
    return tf.reshape(maps, [-1, int(np.prod(maps.shape[1:]))])


def _part(values):
    """Compresses large values, takes out what is common to all, and scales to length 1."""
    # A square root proper has an infinite slope at zero, where gradients would end.
    values = values * tf.math.rsqrt(tf.abs(values) + 1e-3)
    return normalised(values - tf.reduce_mean(values, axis=1, keepdims=True))
