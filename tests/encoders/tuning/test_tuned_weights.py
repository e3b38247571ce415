"""What tuning changed, written and read again."""

import json

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_encoders import TuningConfig
from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.tuning import load_tuned, plan_tuning, save_tuned
from mmrec_tf.encoders.tuning.sentence_bert import SentenceBertEncoder
from mmrec_tf.errors import EncoderError

TEXTS = tf.constant(["word1 word2", "a tale of word3"])
FEATURE = "the/tale: long"


def bert(module, adapter=None) -> SentenceBertEncoder:
    return SentenceBertEncoder(str(module), max_tokens=8, adapter=adapter)


def hub(module, adapter=None) -> HubEncoder:
    return HubEncoder("text", str(module))


def tuned(encoder, tuning):
    """As after training: every weight that learns is another."""
    plan = plan_tuning(encoder, tuning)
    random = np.random.default_rng(0)
    for weight in plan.weights.values():
        weight.assign_add(random.normal(size=weight.shape).astype(np.float32) / 10)
    return plan


@pytest.mark.parametrize("make", [bert, hub])
@pytest.mark.parametrize("tuning", [TuningConfig(mode="adapter"), TuningConfig(mode="top", blocks=2)])
def test_round_trip(text_module, tmp_path, make, tuning):
    adapter = "lora" if tuning.mode == "adapter" else None
    before = make(text_module, adapter)(TEXTS).numpy()
    plan = tuned(make(text_module, adapter), tuning)
    save_tuned(tmp_path, FEATURE, plan, tuning)
    loaded = load_tuned(tmp_path, FEATURE, make(text_module, adapter), tuning)
    np.testing.assert_array_equal(loaded(TEXTS), plan.encoder(TEXTS))
    assert np.abs(loaded(TEXTS) - before).max() > 1e-3
    assert loaded.fingerprint == plan.encoder.fingerprint


def test_the_files(text_module, tmp_path):
    tuning = TuningConfig(mode="adapter")
    plan = tuned(bert(text_module, "lora"), tuning)
    save_tuned(tmp_path / "encoders", FEATURE, plan, tuning)
    # The name is one file's, whatever characters are in it.
    names = ["the%2Ftale%3A long.json", "the%2Ftale%3A long.safetensors"]
    assert sorted(path.name for path in (tmp_path / "encoders").iterdir()) == names
    about = json.loads((tmp_path / "encoders" / names[0]).read_text())
    assert about["feature"] == FEATURE and about["tuning"]["mode"] == "adapter"
    assert about["parameters"] == plan.parameters and about["share"] == plan.share < 0.1
    # 4 bytes a number, and a header.
    assert 4 * plan.parameters < (tmp_path / "encoders" / names[1]).stat().st_size < 4 * plan.parameters + 5000


def test_missing_or_damaged(text_module, tmp_path):
    tuning = TuningConfig(mode="adapter")
    with pytest.raises(EncoderError, match="cannot be read: .* mmrec train"):
        load_tuned(tmp_path, "tale", bert(text_module, "lora"), tuning)
    save_tuned(tmp_path, "tale", tuned(bert(text_module, "lora"), tuning), tuning)
    path = tmp_path / "tale.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(EncoderError, match="not a readable safetensors file"):
        load_tuned(tmp_path, "tale", bert(text_module, "lora"), tuning)


def test_weights_of_another_shape_or_mode(text_module, tmp_path):
    tuning = TuningConfig(mode="adapter", adapter="bottleneck", rank=8)
    save_tuned(tmp_path, "tale", tuned(bert(text_module, "bottleneck"), tuning), tuning)
    wider = SentenceBertEncoder(str(text_module), max_tokens=8, adapter="bottleneck", rank=4)
    with pytest.raises(EncoderError, match=r"bottleneck_down is \[32, 8\], where the encoder has \[32, 4\]"):
        load_tuned(tmp_path, "tale", wider, tuning)
    with pytest.raises(EncoderError, match="it has no block_2/query/kernel"):
        load_tuned(tmp_path, "tale", bert(text_module), TuningConfig(mode="top"))


def test_more_weights_than_the_encoder_has(text_module, tmp_path):
    two, one = TuningConfig(mode="top", blocks=2), TuningConfig(mode="top", blocks=1)
    save_tuned(tmp_path, "tale", tuned(bert(text_module), two), two)
    with pytest.raises(EncoderError, match="it has block_1/attended/bias, which the encoder has not"):
        load_tuned(tmp_path, "tale", bert(text_module), one)


def test_another_encoder_of_the_same_shape(text_module, tmp_path):
    tuning = TuningConfig(mode="top")
    save_tuned(tmp_path, "tale", tuned(bert(text_module), tuning), tuning)
    other = bert(text_module)
    other.network.norm.beta.assign_add(tf.ones([32]))
    with pytest.raises(EncoderError, match="was tuned from another SentenceBertEncoder"):
        load_tuned(tmp_path, "tale", other, tuning)
