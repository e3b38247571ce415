"""Image augmentation: what each change does, that it depends on the seed alone and differs from image to image."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_encoders import AugmentationConfig
from mmrec_tf.data.augmentation.image import augment_images


def noise(count=4, height=24, width=32):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def augmented(images, seed=(1, 2), **options):
    return augment_images(tf.constant(images), AugmentationConfig(**options), tf.constant(seed)).numpy()


EVERYTHING = {"flip": 0.5, "crop": 0.3, "rotation": 20.0, "zoom": 0.2, "colour": 0.4, "cutout": 0.25}


def test_nothing_is_nothing():
    np.testing.assert_array_equal(augmented(noise()), noise())


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_shape_and_type_stay(dtype):
    images = noise() if dtype == np.uint8 else (noise() / 255.0).astype(np.float32)
    found = augmented(images, **EVERYTHING)
    assert found.shape == images.shape and found.dtype == dtype
    assert found.max() <= (255 if dtype == np.uint8 else 1.0) and found.min() >= 0
    np.testing.assert_allclose(
        found * (1.0 if dtype == np.uint8 else 255.0), augmented(noise(), **EVERYTHING), atol=1.0
    )


def test_the_seed_alone_decides():
    images = np.repeat(noise(1), 6, axis=0)
    first = augmented(images, **EVERYTHING)
    np.testing.assert_array_equal(first, augmented(images, **EVERYTHING))
    np.testing.assert_array_equal(first, augment_images(images, AugmentationConfig(**EVERYTHING), np.int64([1, 2])))
    # An image's change depends on its place, not on what comes after it.
    np.testing.assert_array_equal(first[:2], augmented(images[:2], **EVERYTHING))
    assert (augmented(images, seed=(1, 3), **EVERYTHING) != first).any(axis=(1, 2, 3)).all()
    # Six copies of one image, changed in six ways.
    assert all((first[i] != first[j]).any() for i in range(6) for j in range(i))


def test_flip_is_a_mirror():
    np.testing.assert_array_equal(augmented(noise(), flip=1.0), noise()[:, :, ::-1])
    images = np.repeat(noise(1), 400, axis=0)
    is_flipped = (augmented(images, flip=0.25) != images).any(axis=(1, 2, 3))
    # 400 draws of 0.25: 100, and 3 standard deviations of 8.7 are 26.
    assert 74 <= is_flipped.sum() <= 126


def test_crop_shows_a_part_from_within():
    # Across and down, two gradients tell where a pixel comes from.
    down, across = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    image = np.stack([across, down, np.zeros_like(across)], axis=-1).astype(np.float32) / 255.0
    found = augmented(np.repeat(image[None], 50, axis=0), crop=0.5) * 255.0
    for axis, channel in ((2, 0), (1, 1)):
        steps = np.diff(found[..., channel], axis=axis)[:, 8:-8, 8:-8]
        # A part of 50 to 100 % of the sides, so 0.5 to 1 pixel a step, the same everywhere in an image.
        assert steps.min() > 0.49 and steps.max() < 1.01
        assert np.ptp(steps, axis=(1, 2)).max() < 0.01 and np.ptp(steps.mean(axis=(1, 2))) > 0.2
        assert found[..., channel].min() >= 0 and found[..., channel].max() <= 63


def test_rotation_and_zoom_about_the_middle():
    image = np.zeros((1, 65, 65, 3), np.float32)
    image[0, 32, 48] = 1.0
    found = augmented(np.repeat(image, 40, axis=0), rotation=90.0)[..., 0]
    places = np.array([np.unravel_index(part.argmax(), part.shape) for part in found]) - 32
    # 16 pixels from the middle, within 90 degrees of where it was, on both sides.
    np.testing.assert_allclose(np.hypot(*places.T), 16.0, atol=1.0)
    angles = np.degrees(np.arctan2(*places.T))
    assert angles.min() < -45 and angles.max() > 45 and np.abs(angles).max() <= 92
    found = augmented(np.repeat(image, 40, axis=0), zoom=0.2)[..., 0]
    places = np.array([np.unravel_index(part.argmax(), part.shape) for part in found]) - 32
    assert (np.abs(places[:, 0]) <= 1).all()
    # Scales of 0.8 to 1.2 put it 12.8 to 19.2 pixels from the middle.
    assert 12 <= places[:, 1].min() <= 14 and 18 <= places[:, 1].max() <= 20


def test_hue_turns_by_a_tenth_and_brightness_by_the_strength():
    image = np.broadcast_to(np.float32([0.5, 0.3, 0.3]), (200, 4, 4, 3))
    found = augmented(image, colour=0.2)[:, 0, 0]
    hues = np.array([colorsys.rgb_to_hsv(*pixel)[0] for pixel in found])
    turns = np.where(hues > 0.5, hues - 1.0, hues)
    # 0.02 of a circle; an angle between colour differences is not quite one of HSV.
    assert 0.012 < turns.max() < 0.035 and -0.035 < turns.min() < -0.012
    grey = augmented(np.full((200, 4, 4, 3), 0.5, np.float32), colour=0.2)
    # Of grey only the brightness changes: 0.5 times 0.8 to 1.2.
    np.testing.assert_allclose(grey, np.repeat(grey[..., :1], 3, axis=-1), atol=2e-3)
    assert 0.4 <= grey.min() < 0.41 and 0.59 < grey.max() <= 0.6


def test_cutout_lays_one_grey_square_inside():
    found = augmented(np.zeros((20, 20, 30, 3), np.uint8), cutout=0.4)
    for image in found:
        rows, columns = np.nonzero(image[..., 0])
        # 0.4 of the shorter side, 20, is 8 pixels; half of 255, rounded to even.
        assert (np.ptp(rows) + 1, np.ptp(columns) + 1, len(rows)) == (8, 8, 64)
        assert np.unique(image).tolist() == [0, 128]


def test_frames_of_a_video_change_alike():
    frames = np.repeat(noise(3)[:, None], 4, axis=1)
    found = augmented(frames, **EVERYTHING)
    assert found.shape == (3, 4, 24, 32, 3)
    for frame in range(4):
        np.testing.assert_array_equal(found[:, frame], augmented(noise(3), **EVERYTHING))


def test_what_fills_a_short_video_up_stays_zeros():
    frames = np.repeat(noise(3)[:, None], 4, axis=1)
    frames[:, 2:] = 0
    # A black frame has nothing, an almost black one has.
    frames[0, 1] = 0
    frames[0, 1, 0, 0, 0] = 1
    for options in (EVERYTHING, {"cutout": 0.4, "colour": 0.5}):
        found = augmented(frames, **options)
        assert not found[:, 2:].any() and found[:, :2].any(axis=(2, 3, 4)).all()
        # What is there changes as it would in a video of this length: contrast is about its own mean.
        np.testing.assert_array_equal(found[:, :2], augmented(frames[:, :2], **options))


def test_in_a_dataset_with_unknown_batch():
    dataset = tf.data.Dataset.from_tensor_slices(noise(5)).batch(2)
    dataset = dataset.map(lambda batch: augment_images(batch, AugmentationConfig(**EVERYTHING), [0, 1]))
    assert dataset.element_spec.shape.as_list() == [None, 24, 32, 3]
    assert [len(batch) for batch in dataset] == [2, 2, 1]
