"""Encoders by name: defaults by kind, what the configuration passes on, and refusals."""

from pathlib import Path

import pytest

from mmrec_tf.config import EncoderConfig
from mmrec_tf.encoders import registry
from mmrec_tf.encoders.audio_cnn import AudioCnnEncoder
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.encoders.image_cnn import ImageCnnEncoder
from mmrec_tf.encoders.registry import build_encoder, register_encoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.schema import Feature
from tools.make_hub_module import make_image_module


def feature(kind):
    return Feature(name="content", kind=kind)


@pytest.mark.parametrize(
    ("kind", "encoder_class", "dim"),
    [("text", HashedTextEncoder, 256), ("image", ImageCnnEncoder, 128), ("audio", AudioCnnEncoder, 128)],
)
def test_default_of_each_kind(kind, encoder_class, dim):
    encoder = build_encoder(feature(kind), None)
    assert type(encoder) is encoder_class
    assert (encoder.modality, encoder.dim) == (kind, dim)


def test_configuration_is_passed_on():
    config = EncoderConfig(type="audio_cnn", dim=32, sample_rate=8000, seconds=3.0, batch_size=7)
    encoder = build_encoder(feature("audio"), config)
    assert (encoder.dim, encoder.sample_rate, encoder.seconds, encoder.batch_size) == (32, 8000, 3.0, 7)
    assert build_encoder(feature("image"), EncoderConfig(image_size=96)).image_size == 96


def test_hub_module_by_path(tmp_path):
    make_image_module(tmp_path / "module", dim=5)
    encoder = build_encoder(feature("image"), EncoderConfig(path=tmp_path / "module"))
    assert (encoder.modality, encoder.dim, Path(encoder.handle)) == ("image", 5, tmp_path / "module")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("text", {"type": "hashd_text"}, "'hashd_text' is unknown. Did you mean 'hashed_text'.*Allowed: audio_cnn"),
        ("text", {"type": "image_cnn"}, "of kind text, but the encoder image_cnn takes image"),
        ("video", {}, "kind video.*declare the column as vector"),
        ("video", {"handle": "https://tfhub.dev/deepmind/i3d-kinetics-400/1"}, "kind video"),
        ("number", {}, "needs no encoder"),
    ],
)
def test_refusals_name_the_feature_and_the_remedy(kind, options, message):
    with pytest.raises(EncoderError, match=message) as caught:
        build_encoder(feature(kind), EncoderConfig(**options))
    assert "'content'" in str(caught.value)


def test_encoder_of_your_own(monkeypatch):
    monkeypatch.setattr(registry, "_ENCODERS", dict(registry._ENCODERS))

    class Loudness(Encoder):
        modality = "audio"

        def __init__(self, seconds: float, dim: int = 1, **kwargs):
            super().__init__(**kwargs)
            self.seconds, self.dim = seconds, dim

    register_encoder("loudness", Loudness)
    encoder = build_encoder(feature("audio"), EncoderConfig(type="loudness", seconds=2.0))
    assert type(encoder) is Loudness and (encoder.seconds, encoder.dim) == (2.0, 1)
    with pytest.raises(EncoderError, match="takes a subclass of Encoder"):
        register_encoder("nothing", dict)
