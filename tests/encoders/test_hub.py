"""Modules in TF-Hub's format as encoders: every published interface, and every way to fail."""

import io

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from PIL import Image

from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.errors import EncoderError
from tests.layer_checks import check_layer
from tools.make_hub_module import (
    make_audio_module,
    make_bert_modules,
    make_image_module,
    make_text_module,
    make_yamnet_module,
)


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    make_bert_modules(folder / "bert", folder / "preprocessor", dim=6)
    return {
        "image": str(make_image_module(folder / "image", dim=5, image_size=24)),
        "any_image": str(make_image_module(folder / "any_image", dim=5, image_size=None)),
        "text": str(make_text_module(folder / "text", dim=7)),
        "audio": str(make_audio_module(folder / "audio", dim=4)),
        "yamnet": str(make_yamnet_module(folder / "yamnet", dim=3)),
        "bert": str(folder / "bert"),
        "preprocessor": str(folder / "preprocessor"),
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


def test_text_module_with_preprocessor(modules):
    texts = tf.constant(["a red shirt", "blue"])
    encoder = HubEncoder("text", modules["bert"], preprocessor=modules["preprocessor"])
    module, preprocess = (tf.saved_model.load(modules[name]) for name in ("bert", "preprocessor"))
    np.testing.assert_allclose(encoder(texts).numpy(), unit(module(preprocess(texts))["pooled_output"]), atol=1e-5)
    with pytest.raises(
        EncoderError, match="has no output 'pooled'. It returns default .*, pooled_output float32 .2, 6."
    ):
        HubEncoder("text", modules["bert"], preprocessor=modules["preprocessor"], output_key="pooled")
    with pytest.raises(EncoderError, match=r"no usable vector, but .*sequence_output float32 \[2, 16, 6\]"):
        HubEncoder("text", modules["bert"], preprocessor=modules["preprocessor"], output_key="sequence_output")


def test_batched_audio_module(modules):
    waves = np.random.default_rng(0).standard_normal((3, 4000)).astype(np.float32)
    encoder = HubEncoder("audio", modules["audio"], sample_rate=8000, seconds=0.5)
    expected = tf.saved_model.load(modules["audio"])(tf.constant(waves))
    np.testing.assert_allclose(encoder(waves).numpy(), unit(expected), atol=1e-5)


def test_yamnet_interface(modules, tmp_path):
    # Clips of 0.5, 1.5 and 2 s, filled up with zeros to 2 s. Each must come out as if it were sent on its own, as the
    # mean of the embeddings over its frames (a clip below 1 s with zeros up to that).
    waves = np.random.default_rng(0).standard_normal((3, 32000)).astype(np.float32)
    lengths = [8000, 24000, 32000]
    for wave, length in zip(waves, lengths):
        wave[length:] = 0.0
    encoder = check_layer(
        lambda: HubEncoder("audio", modules["yamnet"], seconds=2.0),
        waves,
        tmp_path,
        expected_shape=(3, 3),
        is_trainable=False,
        has_float32_output=True,
        compiles=False,
    )
    module = tf.saved_model.load(modules["yamnet"])
    expected = [module(wave[: max(length, 16000)])[1].numpy().mean(axis=0) for wave, length in zip(waves, lengths)]
    np.testing.assert_allclose(encoder(waves).numpy(), unit(expected), atol=1e-5)
    scores = HubEncoder("audio", modules["yamnet"], seconds=2.0, output_key="0")
    assert scores.dim == 5


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


def test_fingerprint_is_of_the_modules_content(modules, tmp_path):
    import shutil

    one = HubEncoder("image", modules["any_image"], image_size=24)
    moved = shutil.copytree(modules["any_image"], tmp_path / "moved")
    assert HubEncoder("image", str(moved), image_size=24, batch_size=3).fingerprint == one.fingerprint
    others = [
        HubEncoder("image", modules["any_image"], image_size=32),
        HubEncoder("image", str(make_image_module(tmp_path / "other", dim=5, image_size=None, seed=9)), image_size=24),
    ]
    assert len({encoder.fingerprint for encoder in [one, *others]}) == 3


def test_exported_in_a_model_that_a_fresh_process_loads(modules, tmp_path):
    check_layer(
        lambda: HubEncoder("text", modules["bert"], preprocessor=modules["preprocessor"]),
        np.array(["a red shirt", "blue"]),
        tmp_path,
        is_trainable=False,
        compiles=False,
        fresh_process=True,
    )


def test_a_directory_that_is_absent_or_no_saved_model(tmp_path):
    with pytest.raises(EncoderError, match="nowhere does not exist"):
        HubEncoder("text", str(tmp_path / "nowhere"))
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(EncoderError, match=r"is no SavedModel: it holds weights\.h5, but no saved_model\.pb"):
        HubEncoder("text", str(tmp_path))
    (tmp_path / "saved_model.pb").write_bytes(b"not a graph")
    with pytest.raises(EncoderError, match="could not be loaded"):
        HubEncoder("text", str(tmp_path))


def test_an_address_that_cannot_be_reached(monkeypatch, tmp_path):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    # Port 9 of this machine: refused at once.
    with pytest.raises(EncoderError, match=r"http://127\.0\.0\.1:9/module/1 could not be loaded.*TFHUB_CACHE_DIR"):
        HubEncoder("image", "http://127.0.0.1:9/module/1")


def test_a_handle_resolves_from_the_cache_without_internet(monkeypatch, tmp_path, modules):
    import hashlib
    import shutil

    # TF-Hub keeps a module in a directory named by the SHA-1 of its handle.
    handle = "https://tfhub.dev/nobody/image/1"
    shutil.copytree(modules["image"], tmp_path / hashlib.sha1(handle.encode()).hexdigest())
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    encoder = HubEncoder("image", handle)
    assert encoder.dim == 5 and encoder.identity()["module"] == handle


@pytest.mark.parametrize(
    ("modality", "name", "message"),
    [
        ("text", "bert", "does not take .batch. strings.*preprocessor"),
        ("text", "image", "does not take .batch. strings"),
        ("image", "text", "does not take .batch, 224, 224, 3. floats.*image_size"),
        ("audio", "image", "does not take 10 s waveforms at 16000 Hz.*sample_rate"),
    ],
)
def test_a_module_of_another_kind(modules, modality, name, message):
    with pytest.raises(EncoderError, match=message):
        HubEncoder(modality, modules[name])


def test_arguments_that_make_no_sense(modules):
    with pytest.raises(EncoderError, match="not 'video'"):
        HubEncoder("video", modules["image"])
    with pytest.raises(EncoderError, match="takes no preprocessor"):
        HubEncoder("image", modules["image"], preprocessor=modules["preprocessor"])
