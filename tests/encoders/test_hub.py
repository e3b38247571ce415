"""Modules in TF-Hub's format as encoders: as layers, trained, and what they refuse."""

import io

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from PIL import Image

from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.errors import EncoderError
from tests.layer_checks import check_layer
from tools.hub_module_kinds import make_image_module, make_movinet_module, make_text_module


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    return {
        "image": str(make_image_module(folder / "image", dim=5, image_size=24)),
        "any_image": str(make_image_module(folder / "any_image", dim=5, image_size=None)),
        "text": str(make_text_module(folder / "text", dim=7)),
        "video": str(make_movinet_module(folder / "video", dim=4)),
    }


def unit(vectors):
    return np.asarray(vectors) / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_image_module(modules, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3)).astype(np.uint8)
    encoder = check_layer(
        lambda: HubEncoder("image", modules["image"]),
        images,
        tmp_path,
        expected_shape=(2, 5),
        is_trainable=False,
        has_float32_output=True,
    )
    assert (encoder.dim, encoder.image_size, encoder.modality) == (5, 24, "image")
    expected = tf.saved_model.load(modules["image"])(tf.constant(images / 255, tf.float32))
    np.testing.assert_allclose(encoder(images).numpy(), unit(expected), atol=1e-5)


def test_image_size_is_the_modules_or_224_or_as_asked(modules):
    assert HubEncoder("image", modules["any_image"]).image_size == 224
    encoder = HubEncoder("image", modules["any_image"], image_size=40)
    data = io.BytesIO()
    Image.new("RGB", (60, 50), "red").save(data, "PNG")
    assert encoder.decode(data.getvalue()).shape == (40, 40, 3)
    assert encoder.decode(b"no image") is None


def test_text_module(modules, tmp_path):
    texts = np.array(["a red shirt", "blue", ""])
    encoder = check_layer(
        lambda: HubEncoder("text", modules["text"]),
        texts,
        tmp_path,
        expected_shape=(3, 7),
        is_trainable=False,
        has_float32_output=True,
        compiles=False,
    )
    expected = tf.saved_model.load(modules["text"])(tf.constant(texts[:2]))
    np.testing.assert_allclose(encoder(texts)[:2].numpy(), unit(expected), atol=1e-5)
    np.testing.assert_array_equal(encoder(texts)[2].numpy(), 0.0)
    assert encoder.decode("red") == "red" and encoder.decode(" ") is None


def test_trainable_module_learns(modules):
    encoder = HubEncoder("image", modules["image"], trainable=True)
    assert len(encoder.trainable_weights) == 2
    before = [weight.numpy() for weight in encoder.trainable_weights]
    fingerprint = encoder.fingerprint
    model = tf_keras.Sequential([encoder, tf_keras.layers.Dense(1)])
    model.compile(optimizer=tf_keras.optimizers.SGD(0.5), loss="mse", run_eagerly=True)
    images = np.random.default_rng(0).integers(0, 256, (8, 24, 24, 3)).astype(np.uint8)
    model.fit(images, np.arange(8.0), epochs=1, verbose=0)
    assert all(np.abs(weight.numpy() - old).max() > 0 for weight, old in zip(encoder.trainable_weights, before))
    assert encoder.fingerprint != fingerprint


@pytest.mark.parametrize(
    ("modality", "name", "message"),
    [
        ("text", "image", "does not take .batch. strings.*preprocessor"),
        ("image", "text", "does not take .batch, 224, 224, 3. floats.*image_size"),
        ("audio", "image", "does not take 10 s waveforms at 16000 Hz.*sample_rate"),
        ("video", "image", "does not take .batch, 16, 224, 224, 3. floats.*`frames`"),
        ("image", "video", "does not take .batch, 224, 224, 3. floats"),
    ],
)
def test_a_module_of_another_kind(modules, modality, name, message):
    with pytest.raises(EncoderError, match=message):
        HubEncoder(modality, modules[name])


def test_arguments_that_make_no_sense(modules):
    with pytest.raises(EncoderError, match="takes text, image, audio, video, not 'vector'"):
        HubEncoder("vector", modules["image"])
    with pytest.raises(EncoderError, match="takes no preprocessor"):
        HubEncoder("image", modules["image"], preprocessor=modules["text"])
    with pytest.raises(EncoderError, match="by shots is for the encoder `frames`"):
        HubEncoder("video", modules["video"], sampling="shots")
    with pytest.raises(EncoderError, match="`max_tokens` has no effect.*max_words"):
        HubEncoder("text", modules["text"], max_tokens=9)


def test_texts_are_cleaned_first(modules):
    plain = HubEncoder("text", modules["text"])
    cleaning = HubEncoder("text", modules["text"], clean={"lower": True})
    given = np.array(["<b>A red</b> shirt"])
    np.testing.assert_array_equal(cleaning.prepare(given).numpy(), [b"a red shirt"])
    np.testing.assert_allclose(cleaning(given), plain(np.array(["a red shirt"])), atol=1e-6)
    assert cleaning.fingerprint != plain.fingerprint


def test_videos_in_a_dict_whose_key_the_module_tells(modules):
    encoder = HubEncoder("video", modules["video"], frames=4, image_size=16)
    assert encoder.interface.input_key == "image" and encoder.content_shape == (4, 16, 16, 3)
    assert not encoder.varying_length
    videos = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), dtype=np.uint8)
    expected = tf.saved_model.load(modules["video"])({"image": tf.constant(videos / 255, tf.float32)})
    np.testing.assert_allclose(encoder(videos).numpy(), unit(expected), atol=1e-5)
