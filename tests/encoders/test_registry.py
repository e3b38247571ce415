"""Encoders by name: defaults by kind, lists of names, what the configuration passes on, and refusals."""

import hashlib
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from mmrec_tf.config import EncoderConfig
from mmrec_tf.encoders import registry
from mmrec_tf.encoders.audio_cnn import AudioCnnEncoder
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.image_cnn import ImageCnnEncoder
from mmrec_tf.encoders.named import NAMED
from mmrec_tf.encoders.pretrained.build import built_path
from mmrec_tf.encoders.registry import build_encoder, encoder_names, register_encoder, resolved
from mmrec_tf.encoders.video_cnn import VideoCnnEncoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.schema import Feature
from tests.conftest import REPOSITORY
from tools.hub_module_kinds import make_audio_module, make_image_module, make_text_module


def feature(kind):
    return Feature(name="content", kind=kind)


@pytest.fixture
def own_registry(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_ENCODERS", dict(registry._ENCODERS))


@pytest.fixture
def no_cache(monkeypatch, tmp_path):
    """As on a machine where nothing has been downloaded or built."""
    monkeypatch.setenv("MMREC_CACHE", str(tmp_path / "pretrained"))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub"))


@pytest.mark.parametrize(
    ("kind", "encoder_class", "dim"),
    [
        ("text", HashedTextEncoder, 256),
        ("image", ImageCnnEncoder, 128),
        ("audio", AudioCnnEncoder, 128),
        ("video", VideoCnnEncoder, 128),
    ],
)
def test_default_of_each_kind(kind, encoder_class, dim):
    encoder = build_encoder(feature(kind), None)
    assert type(encoder) is encoder_class
    assert (encoder.modality, encoder.dim) == (kind, dim)


def test_configuration_is_passed_on():
    config = EncoderConfig(type="audio_cnn", dim=32, sample_rate=8000, seconds=3.0, batch_size=7)
    encoder = build_encoder(feature("audio"), config)
    assert (encoder.dim, encoder.reader.sample_rate, encoder.reader.seconds, encoder.batch_size) == (32, 8000, 3.0, 7)
    assert build_encoder(feature("image"), EncoderConfig(image_size=96)).image_size == 96


def test_hub_module_by_path(tmp_path):
    make_image_module(tmp_path / "module", dim=5)
    encoder = build_encoder(feature("image"), EncoderConfig(path=tmp_path / "module"))
    assert (encoder.modality, encoder.dim, Path(encoder.handle)) == ("image", 5, tmp_path / "module")


def test_a_named_module_by_path_with_its_preprocessor(tmp_path, small_bert):
    for name in ("bert", "bert-preprocessor"):
        shutil.copytree(small_bert.with_name(name), tmp_path / name)
    encoder = build_encoder(feature("text"), EncoderConfig(type="bert", path=tmp_path / "bert", max_tokens=20))
    assert (encoder.max_tokens, encoder.output_key) == (20, "pooled_output")
    assert Path(encoder.preprocessor) == tmp_path / "bert-preprocessor"
    (tmp_path / "bert-preprocessor").rename(tmp_path / "elsewhere")
    config = EncoderConfig(type="bert", path=tmp_path / "bert", preprocessor=str(tmp_path / "elsewhere"))
    assert Path(build_encoder(feature("text"), config).preprocessor) == tmp_path / "elsewhere"


def test_a_named_module_that_cannot_be_reached(no_cache, monkeypatch):
    import tensorflow_hub

    def no_internet(handle):
        raise OSError("no address associated with hostname")

    monkeypatch.setattr(tensorflow_hub, "resolve", no_internet)
    with pytest.raises(EncoderError) as caught:
        build_encoder(feature("image"), EncoderConfig(type="inception_v3"))
    for told in (NAMED["inception_v3"].handle, "could not be reached", "`path: DIR`", "mmrec pretrained list"):
        assert told in str(caught.value)


def test_a_pretrained_module_is_taken_from_the_cache(no_cache, tmp_path):
    # What stands in the cache is taken as it is; a small module shows that nothing is built anew.
    make_text_module(built_path("minilm"), dim=6)
    encoder = build_encoder(feature("text"), EncoderConfig(type="minilm"))
    assert (type(encoder), encoder.dim, Path(encoder.handle)) == (HubEncoder, 6, built_path("minilm"))
    make_audio_module(tmp_path / "copy", dim=5)
    encoder = build_encoder(feature("audio"), EncoderConfig(type="basic_pitch", path=tmp_path / "copy", seconds=1.0))
    # Its rate is not the usual one.
    assert (encoder.sample_rate, encoder.content_shape) == (22050, (22050,))


def test_a_pretrained_module_says_how_many_items_are_encoded_at_a_time(no_cache):
    make_image_module(built_path("efficientnet_lite0"), dim=5)
    make_text_module(built_path("minilm"), dim=6)
    assert build_encoder(feature("image"), EncoderConfig(type="efficientnet_lite0")).batch_size == 16
    assert build_encoder(feature("text"), EncoderConfig(type="minilm")).batch_size == 64
    # What the configuration says stands, also where it is what most encoders take.
    assert build_encoder(feature("image"), EncoderConfig(type="efficientnet_lite0", batch_size=64)).batch_size == 64
    # A video is many images.
    assert build_encoder(feature("video"), EncoderConfig(type="frames")).batch_size == 8


def test_a_pretrained_encoder_that_is_tuned_is_a_network_where_it_is_one(no_cache, tmp_path, monkeypatch):
    network = HashedTextEncoder(dim=8)
    tuning = types.ModuleType("mmrec_tf.encoders.tuning")
    tuning.native_encoder = lambda name, config: network if config.tuning.mode == "adapter" else None
    monkeypatch.setitem(sys.modules, "mmrec_tf.encoders.tuning", tuning)
    make_text_module(built_path("minilm"), dim=6)
    assert build_encoder(feature("text"), EncoderConfig(type="minilm", tuning="adapter")) is network
    assert type(build_encoder(feature("text"), EncoderConfig(type="minilm", tuning="full"))) is HubEncoder
    assert type(build_encoder(feature("text"), EncoderConfig(type="minilm"))) is HubEncoder


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["minilm", "hashed_text"], HashedTextEncoder),
        (["hashed_text", "minilm"], HashedTextEncoder),
        (["bert", "universal_sentence_encoder", "hashed_text"], HashedTextEncoder),
    ],
)
def test_of_a_list_the_first_that_needs_no_download(no_cache, names, chosen):
    assert type(build_encoder(feature("text"), EncoderConfig(type=names))) is chosen


def test_of_a_list_what_is_at_hand(no_cache, tmp_path, monkeypatch):
    names = ["bert", "minilm", "universal_sentence_encoder", "hashed_text"]
    built = []
    monkeypatch.setattr(registry, "_named_encoder", lambda name, config: built.append(name))
    monkeypatch.setattr(registry, "_pretrained_encoder", lambda name, feature, config: built.append(name))
    # Beginning at the end: the last of a list without a light one, then what TF-Hub's cache holds, then a built one,
    # then a copy whose place is given.
    build_encoder(feature("text"), EncoderConfig(type=["bert", "minilm"]))
    handle = NAMED["universal_sentence_encoder"].handle
    make_text_module(tmp_path / "hub" / hashlib.sha1(handle.encode()).hexdigest(), dim=6)
    build_encoder(feature("text"), EncoderConfig(type=names))
    shutil.copytree(tmp_path / "hub" / hashlib.sha1(handle.encode()).hexdigest(), built_path("minilm"))
    build_encoder(feature("text"), EncoderConfig(type=names))
    build_encoder(feature("text"), EncoderConfig(type=names, path=tmp_path / "copy"))
    assert built == ["minilm", "universal_sentence_encoder", "minilm", "bert"]


def test_the_image_encoder_of_frames(no_cache, tmp_path):
    encoder = build_encoder(feature("video"), EncoderConfig(type="frames", frames=5, image_size=48))
    assert (type(encoder.image), encoder.image.image_size, encoder.frames) == (ImageCnnEncoder, 48, 5)
    # Its own number, as a video takes more memory than other items.
    assert encoder.batch_size == 8
    make_image_module(tmp_path / "module", dim=5)
    encoder = build_encoder(feature("video"), EncoderConfig(type="frames", path=tmp_path / "module"))
    assert (type(encoder.image), encoder.image.dim) == (HubEncoder, 5)
    with pytest.raises(EncoderError, match="of kind image, but the encoder yamnet takes audio"):
        build_encoder(feature("video"), EncoderConfig(type="frames", image="yamnet"))


def test_a_run_keeps_the_image_encoder_of_its_frames(no_cache, tmp_path):
    asked = EncoderConfig(type=["frames", "video_cnn"])
    made = resolved(feature("video"), asked)
    assert (made.type, made.image) == ("frames", "image_cnn")
    # As after `mmrec pretrained build`: what is asked for anew is another one, the run's stays.
    make_image_module(built_path("efficientnet_lite0"), dim=5)
    assert resolved(feature("video"), asked).image == "efficientnet_lite0"
    assert resolved(feature("video"), made) == made
    assert type(build_encoder(feature("video"), made).image) is ImageCnnEncoder
    by_path = resolved(feature("video"), EncoderConfig(type="frames", path=tmp_path / "module"))
    assert (by_path.type, by_path.image) == ("frames", "hub")
    assert resolved(feature("video"), EncoderConfig()).image is None


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("text", {"type": "hashd_text"}, "'hashd_text' is unknown. Did you mean 'hashed_text'.*Allowed: audio_cnn, ba"),
        ("text", {"type": ["hashed_text", "brt"]}, "'brt' is unknown. Did you mean 'bert'"),
        ("text", {"type": "image_cnn"}, "of kind text, but the encoder image_cnn takes image.*for hashed_text"),
        ("image", {"type": "yamnet"}, "of kind image, but the encoder yamnet takes audio.*for image_cnn"),
        ("text", {"type": "musicnn"}, "of kind text, but the encoder musicnn takes audio"),
        ("video", {"type": "transnetv2"}, "'transnetv2' is unknown"),
        ("text", {"type": "hashed_text", "path": "y"}, "hashed_text takes neither handle nor path, got y"),
        ("image", {"type": ["image_cnn"], "handle": "https://x"}, "image_cnn takes neither handle nor path"),
        ("text", {"type": "minilm", "handle": "https://x"}, "minilm is built from a package and takes no handle"),
        ("image", {"type": ["hub"]}, "the encoder hub needs a handle, or a path"),
        ("number", {}, "needs no encoder"),
    ],
)
def test_refusals_name_the_feature_and_the_remedy(kind, options, message):
    with pytest.raises(EncoderError, match=message) as caught:
        build_encoder(feature(kind), EncoderConfig(**options))
    assert "'content'" in str(caught.value)


def test_encoder_of_your_own(own_registry):
    class Loudness(Encoder):
        modality = "audio"

        def __init__(self, seconds: float, windows: int, dim: int = 1, batch_size: int = 5, **kwargs):
            super().__init__(batch_size=batch_size, **kwargs)
            self.seconds, self.windows, self.dim = seconds, windows, dim

    register_encoder("loudness", Loudness)
    assert "loudness" in encoder_names()
    encoder = build_encoder(feature("audio"), EncoderConfig(type="loudness", seconds=2.0))
    assert type(encoder) is Loudness
    # What is not set is the encoder's own, or, where that has no default, the configuration's.
    assert (encoder.seconds, encoder.windows, encoder.dim, encoder.batch_size) == (2.0, 1, 1, 5)
    with pytest.raises(EncoderError, match="takes a subclass of Encoder"):
        register_encoder("nothing", dict)


def test_every_name_is_there():
    assert {"hashed_text", "video_cnn", "frames", "kerasnlp", "hub", "bert", "i3d", "minilm"} <= set(encoder_names())
    assert len(set(encoder_names())) == len(encoder_names())


def test_names_are_known_without_their_encoders():
    code = (
        "import sys, mmrec_tf.encoders.registry\n"
        "heavy = {'mmrec_tf.encoders.' + name for name in ('hub', 'hashed_text', 'image_cnn', 'video_cnn')}\n"
        "heavy |= {'tensorflow_hub', 'tensorflow_text', 'keras_nlp'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
def test_the_real_pretrained_encoders_by_name():
    # As far as they have been built on this machine, which this test does not do.
    names = [name for name in ("minilm", "efficientnet_lite0", "musicnn") if built_path(name).is_dir()]
    if not names:
        pytest.skip("no pretrained module has been built: mmrec pretrained build")
    for name in names:
        kind = {"minilm": "text", "efficientnet_lite0": "image", "musicnn": "audio"}[name]
        encoder = build_encoder(feature(kind), EncoderConfig(type=name))
        random = np.random.default_rng(0)
        batch = {
            "text": np.array(["a red shirt", "a crimson blouse", "an old car"]),
            "image": random.integers(0, 256, (3, 224, 224, 3), dtype=np.uint8),
            "audio": random.uniform(-0.5, 0.5, (3, 64000)).astype(np.float32),
        }[kind]
        vectors = encoder(batch).numpy()
        assert vectors.shape == (3, {"text": 384, "image": 1280, "audio": 200}[kind])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
        if kind == "text":
            assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
