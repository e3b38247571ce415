"""Pretrained encoders as layers, by name, from the configuration."""

from mmrec_tf.config_encoders import EncoderConfig
from mmrec_tf.encoders.pretrained import PRETRAINED
from mmrec_tf.encoders.registry import build_encoder
from mmrec_tf.encoders.tuning import native_encoder
from mmrec_tf.schema import Feature


def test_settings_come_from_the_configuration(text_module, image_module):
    tuning = {"mode": "adapter", "adapter": "bottleneck", "rank": 3, "checkpointing": True}
    config = EncoderConfig(
        type="minilm", path=text_module, max_tokens=9, clean={"lower": True}, batch_size=5, tuning=tuning
    )
    encoder = native_encoder("minilm", config)
    assert (encoder.adapter, encoder.rank, encoder.checkpointing) == ("bottleneck", 3, True)
    assert (encoder.max_tokens, encoder.batch_size, encoder.reader.clean.lower) == (9, 5, True)
    encoder = native_encoder("efficientnet_lite0", EncoderConfig(path=image_module, tuning="full"))
    assert (encoder.adapter, encoder.checkpointing, encoder.handle) == (None, False, str(image_module))
    assert encoder.batch_size == PRETRAINED["efficientnet_lite0"].batch_size == 16


def test_others_exist_as_modules_only():
    assert native_encoder("musicnn", EncoderConfig(tuning="full")) is None


def test_the_registry_takes_the_network_where_it_is_to_be_tuned(text_module):
    feature = Feature(name="tale", kind="text")
    frozen = build_encoder(feature, EncoderConfig(type="minilm", path=text_module))
    tuned = build_encoder(feature, EncoderConfig(type="minilm", path=text_module, tuning="adapter"))
    assert type(frozen).__name__ == "HubEncoder" and type(tuned).__name__ == "SentenceBertEncoder"
