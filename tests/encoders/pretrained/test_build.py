"""The cache: built once, checked, whole or not there. With a converter that takes no time in place of the real ones."""

import json
import types
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.pretrained import PRETRAINED, build, build_pretrained
from mmrec_tf.encoders.pretrained.agreement import Agreement, projected
from mmrec_tf.encoders.pretrained.build import built_path, default_cache
from mmrec_tf.encoders.pretrained.hub_module import HubModule
from mmrec_tf.errors import EncoderError

INPUTS = np.ones((2, 4), np.float32)
KERNEL = np.arange(12, dtype=np.float32).reshape(4, 3)


class Linear(HubModule):
    def __init__(self, kernel):
        self.kernel = tf.Variable(kernel)
        super().__init__([self.kernel], [self.kernel])

    @tf.function
    def __call__(self, inputs, training=False):
        return tf.matmul(inputs, self.kernel)


@pytest.fixture
def converter(monkeypatch, tmp_path):
    """Reads the kernel from the wheel; promises `INPUTS @ KERNEL`."""

    def convert(declared, wheel, folder):
        converter.calls += 1
        kernel = np.frombuffer(wheel.read("kernel"), np.float32).reshape(4, 3)
        Linear(kernel).save(folder, tf.TensorSpec([None, 4], tf.float32, "inputs"))

    wheel = tmp_path / "w.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("kernel", KERNEL.tobytes())
    converter = types.SimpleNamespace(calls=0, convert=convert)
    converter.agreement = lambda declared: Agreement(
        lambda: INPUTS, {"default": projected(INPUTS @ KERNEL)}, tolerance=1e-4
    )
    monkeypatch.setattr(build, "fetch_wheel", lambda wanted, folder: wheel)
    monkeypatch.setattr(build, "_converter", lambda declared: converter)
    return converter


def test_built_once(converter, tmp_path):
    steps = []
    path = build_pretrained("minilm", tmp_path / "cache", lambda *step: steps.append(step))
    assert path == built_path("minilm", tmp_path / "cache") == tmp_path / "cache" / "modules" / "minilm-0.1.0-2"
    assert steps == [("Building minilm", done, 3) for done in range(4)]
    np.testing.assert_allclose(tf.saved_model.load(str(path))(INPUTS), INPUTS @ KERNEL)
    assert build_pretrained("minilm", tmp_path / "cache") == path and converter.calls == 1
    assert [child.name for child in path.parent.iterdir()] == [path.name]


def test_the_card(converter, tmp_path):
    path = build_pretrained("musicnn", tmp_path / "cache")
    card = json.loads((path / "card.json").read_text())
    assert card["dim"] == 200 and card["wheel"]["package"] == "musicnn" and card["licence"] == "ISC"
    text = (path / "README.md").read_text()
    for fact in (card["source"], card["takes"], card["gives"], card["wheel"]["sha256"], "Licence: ISC"):
        assert fact in text


def test_other_numbers_are_not_kept(converter, tmp_path):
    converter.agreement = lambda declared: Agreement(
        lambda: INPUTS, {"default": projected(INPUTS @ KERNEL + 0.01)}, tolerance=1e-4
    )
    with pytest.raises(EncoderError, match="the converted module minilm differs from the published model"):
        build_pretrained("minilm", tmp_path / "cache")
    assert list((tmp_path / "cache" / "modules").iterdir()) == []


def test_a_build_that_fails_leaves_nothing(converter, tmp_path):
    def fail(declared, wheel, folder):
        (folder / "saved_model.pb").write_bytes(b"half")
        raise KeyboardInterrupt

    converter.convert = fail
    with pytest.raises(KeyboardInterrupt):
        build_pretrained("minilm", tmp_path / "cache")
    assert list((tmp_path / "cache" / "modules").iterdir()) == []


def test_two_builds_at_once(converter, tmp_path):
    convert, path = converter.convert, built_path("minilm", tmp_path / "cache")

    def convert_while_another_finishes(declared, wheel, folder):
        convert(declared, wheel, folder)
        converter.convert = convert
        assert build_pretrained("minilm", tmp_path / "cache") == path
        (path / "first").touch()

    converter.convert = convert_while_another_finishes
    assert build_pretrained("minilm", tmp_path / "cache") == path
    assert (path / "first").exists() and len(list(path.parent.iterdir())) == 1


def test_names_and_the_cache_folder(monkeypatch, tmp_path):
    with pytest.raises(
        EncoderError, match=r"'minlm' is unknown\. Did you mean 'minilm'\? Allowed: basic_pitch, efficientnet"
    ):
        build_pretrained("minlm")
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
    monkeypatch.delenv("MMREC_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "mmrec_tf"


def test_the_card_of_what_is_no_encoder(converter, tmp_path):
    text = (build_pretrained("transnetv2", tmp_path / "cache") / "README.md").read_text()
    assert "TransNet V2, shot boundaries of videos, as a module" in text and "sampling: shots" in text
    assert "encoders: {" not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(name for name, declared in PRETRAINED.items() if declared.role == "encoder"))
def test_the_real_module_is_what_is_declared(build_real, name):
    # build_pretrained itself compares the module's numbers with those of an independent implementation.
    declared = PRETRAINED[name]
    path = build_real(name)
    encoder = HubEncoder(declared.modality, str(path), seconds=4.0, sample_rate=declared.sample_rate or 16000)
    assert encoder.dim == declared.dim
    assert (path / "card.json").is_file() and (path / "README.md").is_file()
    content = {"text": "a red dress", "image": np.zeros((224, 224, 3), np.uint8), "audio": np.ones(64_000, np.float32)}
    vectors = encoder(np.stack([content[declared.modality]] * 2)).numpy()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


@pytest.mark.slow
def test_sentences_of_one_meaning_are_nearer_than_those_of_one_word(build_real):
    encoder = HubEncoder("text", str(build_real("minilm")))
    texts = ["A dog fetches the ball.", "Puppies love to play catch.", "The queen opened the ball with a waltz."]
    dog, puppy, queen = encoder(tf.constant(texts)).numpy()
    assert dog @ puppy > dog @ queen
