"""The built-in image encoder: its contract, and that it tells clothes apart before any training."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.image_cnn import ImageCnnEncoder, _cell_shares, first_filters
from tests.layer_checks import check_layer


def stripes(direction, size=64, wavelength=8.0):
    """A black and white grating; direction 0 changes from left to right."""
    down, right = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    wave = np.cos(2 * np.pi * (right * np.cos(direction) + down * np.sin(direction)) / wavelength)
    return np.repeat((127.5 + 127.5 * wave)[..., None], 3, axis=-1).astype(np.uint8)


def test_layer(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    check_layer(
        lambda: ImageCnnEncoder(dim=16, image_size=32),
        images,
        tmp_path,
        expected_shape=(2, 16),
        has_float32_output=True,
    )


def test_vectors_have_length_one_and_flat_images_are_finite():
    encoder = ImageCnnEncoder(dim=32)
    images = np.stack([np.zeros((64, 64, 3)), np.full((64, 64, 3), 255.0), stripes(0.3)])
    vectors = encoder(images).numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_oriented_filters_answer_to_their_direction():
    # 16 even filters, then 16 odd ones; in each, the last 8 have the longer wavelength (8 pixels), one for each
    # direction, 22.5 degrees apart.
    filters = first_filters()
    for direction in range(8):
        image = stripes(np.pi * direction / 8)[None].astype(np.float32) / 255
        responses = tf.nn.conv2d(image, filters, 1, "VALID").numpy()
        energy = (responses[..., 8:16] ** 2 + responses[..., 24:32] ** 2).mean(axis=(0, 1, 2))
        assert energy.argmax() == direction


def test_oriented_filters_ignore_flat_areas_and_colour_filters_average():
    # A flat orange patch: edges 0, red - green = 0.5, blue - (red + green) / 2 = -0.75, lightness by the usual weights.
    responses = tf.nn.conv2d(np.full((1, 9, 9, 3), [1.0, 0.5, 0.0], np.float32), first_filters(), 1, "VALID").numpy()
    np.testing.assert_allclose(responses[0, 0, 0, :32], 0.0, atol=1e-4)
    np.testing.assert_allclose(responses[0, 0, 0, 32:], [0.5, -0.75, 0.299 + 0.2935], atol=1e-4)


def test_cell_shares_by_hand():
    # 5 pixels on 2 cells: each cell covers 2.5 pixels, and the middle pixel is shared.
    np.testing.assert_allclose(_cell_shares(5, 2), [[0.4, 0.4, 0.2, 0, 0], [0, 0, 0.2, 0.4, 0.4]], rtol=1e-6)


def test_brightness_and_contrast_matter_less_than_shape():
    encoder = ImageCnnEncoder()
    image = stripes(0.3).astype(np.float32)
    vectors = encoder(np.stack([image, 60 + 0.5 * image, stripes(1.8)])).numpy()
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1


def test_same_settings_give_same_weights_and_fingerprint():
    one, other = ImageCnnEncoder(dim=16), ImageCnnEncoder(dim=16, batch_size=3, name="other")
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != ImageCnnEncoder(dim=16, seed=1).fingerprint
    assert one.fingerprint != ImageCnnEncoder(dim=16, image_size=32).fingerprint


def test_training_changes_the_fingerprint():
    encoder = ImageCnnEncoder(dim=8, image_size=32)
    before = encoder.fingerprint
    model = tf_keras.Sequential([encoder, tf_keras.layers.Dense(1)])
    # Eagerly, as tracing Keras' train step takes longer than the training.
    model.compile(optimizer=tf_keras.optimizers.SGD(0.1), loss="mse", run_eagerly=True)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.float32)
    history = model.fit(images, images.mean((1, 2, 3)) / 128, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert encoder.fingerprint != before


def test_clothes_of_one_kind_are_near(shared_data):
    paths = sorted((shared_data / "photos-cc0").glob("*.jpg"))
    labels = np.array([path.name.split("_")[0] for path in paths])
    encoder = ImageCnnEncoder()
    vectors = encoder(np.stack([encoder.decode(path) for path in paths])).numpy()
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    # Ten kinds, thirty photos each: chance is 10 %, comparing pixels reaches 37 %.
    assert (labels[similarity.argmax(axis=1)] == labels).mean() > 0.38
