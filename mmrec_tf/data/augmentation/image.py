"""Images and video frames changed at random: mirrored, cropped, turned, scaled, recoloured, partly covered."""

import math

import tensorflow as tf

from mmrec_tf.config_encoders import AugmentationConfig
from mmrec_tf.data.augmentation.draws import split_seed, uniform

# To and from luminance and two colour differences (NTSC), in which hue is an angle and saturation a length.
_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
_HUE_SHARE = 0.1


def augment_images(images: tf.Tensor, options: AugmentationConfig, seed: tf.Tensor) -> tf.Tensor:
    """Each image changed in its own way, as the options' strengths say.

    Mirroring, crop, rotation and zoom are one resampling, so that an image is blurred once; what comes in from outside
    is the image mirrored at its edge. A video's frames all change in the same way; those of zeros, which fill a shorter
    video up, stay zeros.

    Args:
        images: `[batch, height, width, 3]`, or `[batch, frames, height, width, 3]`; uint8, or float in [0, 1].
        options: `flip`, `crop`, `rotation`, `zoom`, `colour` and `cutout` are used.
        seed: `[2]` int. Equal seeds give equal changes to the same place of a batch, whatever else is in it.

    Returns:
        The images' shape and type. The crop, rotation, zoom and flip (`ImageProjectiveTransformV3`) have no XLA
        kernel, so this belongs in tf.data.
    """
    images = tf.convert_to_tensor(images)
    if not any((options.flip, options.crop, options.rotation, options.zoom, options.colour, options.cutout)):
        return images
    dtype = images.dtype
    pixels = tf.cast(images, tf.float32) / 255.0 if dtype == tf.uint8 else tf.cast(images, tf.float32)
    is_video = images.shape.rank == 5
    if not is_video:
        pixels = pixels[:, tf.newaxis]
    # A black image is still an image: only frames fill up.
    is_there = tf.reduce_any(pixels > 0.0, axis=[2, 3, 4], keepdims=True) if is_video else tf.ones([1] * 5, tf.bool)
    seeds = split_seed(seed, 3)
    if options.flip or options.crop or options.rotation or options.zoom:
        pixels = _moved(pixels, options, seeds[0])
    if options.colour:
        pixels = _recoloured(pixels, is_there, options.colour, seeds[1])
    if options.cutout:
        pixels = _covered(pixels, options.cutout, seeds[2])
    pixels = tf.where(is_there, pixels, 0.0)
    pixels = tf.clip_by_value(pixels if is_video else pixels[:, 0], 0.0, 1.0)
    changed = tf.cast(tf.round(pixels * 255.0), dtype) if dtype == tf.uint8 else tf.cast(pixels, dtype)
    return tf.ensure_shape(changed, images.shape)


def _moved(pixels, options, seed):
    flip, crop, left, top, turn, zoom = (drawn[:, 0] for drawn in uniform(pixels, 6, seed))
    shape = tf.shape(pixels)
    height, width = tf.cast(shape[2], tf.float32), tf.cast(shape[3], tf.float32)
    mirror = tf.where(flip < options.flip, -1.0, 1.0)
    cut = crop * options.crop
    scale = (1.0 - cut) / (1.0 + (2.0 * zoom - 1.0) * options.zoom)
    angle = (2.0 * turn - 1.0) * options.rotation * math.pi / 180.0
    # Where the middle of the result lies in the image, as an offset from the image's own middle.
    across, down = (left - 0.5) * cut * width, (top - 0.5) * cut * height
    cosine, sine = scale * tf.cos(angle), scale * tf.sin(angle)
    middle_x, middle_y = (width - 1.0) / 2.0, (height - 1.0) / 2.0
    a0, a1, b0, b1 = mirror * cosine, -sine, mirror * sine, cosine
    a2 = middle_x + across - a0 * middle_x - a1 * middle_y
    b2 = middle_y + down - b0 * middle_x - b1 * middle_y
    zero = tf.zeros_like(a0)
    transforms = tf.repeat(tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1), shape[1], axis=0)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.reshape(pixels, tf.concat([[shape[0] * shape[1]], shape[2:]], axis=0)),
        transforms=transforms,
        output_shape=shape[2:4],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    return tf.reshape(moved, shape)


def _recoloured(pixels, is_there, strength, seed):
    """Brightness and contrast by a factor, saturation and hue as one matrix in luminance and colour differences.

    Contrast is about the mean of the frames that are there, `[batch, frames, 1, 1, 1]` bool.
    """
    brightness, contrast, saturation, hue = (drawn[:, 0] for drawn in uniform(pixels, 4, seed))

    def factor(drawn):
        return (1.0 + (2.0 * drawn - 1.0) * strength)[:, tf.newaxis, tf.newaxis]

    to_yiq = tf.constant(_TO_YIQ)
    angle = (2.0 * hue - 1.0) * (_HUE_SHARE * strength * 2.0 * math.pi)
    zero, one = tf.zeros_like(angle), tf.ones_like(angle)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    turn = tf.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], axis=1)
    turn = tf.reshape(turn, [-1, 3, 3])
    saturate = tf.concat([tf.ones_like(factor(saturation)), tf.repeat(factor(saturation), 2, axis=1)], axis=1)
    matrix = tf.linalg.inv(to_yiq) @ (saturate * turn) @ to_yiq
    shape = tf.shape(pixels)
    flat = tf.reshape(pixels, [shape[0], -1, 3])
    flat = tf.matmul(flat, matrix, transpose_b=True) * factor(brightness)
    shares = tf.cast(is_there[..., 0, 0], tf.float32)
    shares /= tf.maximum(tf.reduce_sum(shares, axis=1, keepdims=True), 1.0)
    of_frames = tf.reduce_mean(tf.reshape(flat, [shape[0], shape[1], -1]), axis=2, keepdims=True)
    mean = tf.reduce_sum(of_frames * shares, axis=1, keepdims=True)
    return tf.reshape((flat - mean) * factor(contrast) + mean, shape)


def _covered(pixels, share, seed):
    """A grey square laid on each item, wholly inside of it."""
    left, top = (drawn[:, 0] for drawn in uniform(pixels, 2, seed))
    shape = tf.shape(pixels)

    def stretch(start, length):
        side = share * tf.cast(tf.minimum(shape[2], shape[3]), tf.float32)
        begin = (start * (tf.cast(length, tf.float32) - side))[:, tf.newaxis]
        place = tf.range(length, dtype=tf.float32)[tf.newaxis] + 0.5
        return (place >= begin) & (place < begin + side)

    square = stretch(top, shape[2])[:, :, tf.newaxis] & stretch(left, shape[3])[:, tf.newaxis]
    return tf.where(square[:, tf.newaxis, :, :, tf.newaxis], 0.5, pixels)
