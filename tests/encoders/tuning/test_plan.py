"""Which weights learn in each mode, and at what rate."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_encoders import TuningConfig
from mmrec_tf.encoders.adapters import is_adapter_weight
from mmrec_tf.encoders.frames import FramesEncoder
from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.image_cnn import ImageCnnEncoder
from mmrec_tf.encoders.tuning import plan_tuning
from mmrec_tf.encoders.tuning.behind import AdaptedEncoder
from mmrec_tf.encoders.tuning.efficientnet import EfficientNetLiteEncoder
from mmrec_tf.encoders.tuning.plan import blocks_by_name
from mmrec_tf.encoders.tuning.sentence_bert import SentenceBertEncoder
from mmrec_tf.errors import EncoderError
from tests.tiny_encoders import BLOCKS


def tuning(mode, **options) -> TuningConfig:
    return TuningConfig(mode=mode, **options)


def bert(module, **options) -> SentenceBertEncoder:
    return SentenceBertEncoder(str(module), max_tokens=8, **options)


def blocks_of(plan) -> list[str]:
    return list(dict.fromkeys(name.split("/")[0] for name in plan.weights))


def test_full_is_everything_once(text_module):
    encoder = bert(text_module)
    plan = plan_tuning(encoder, tuning("full", layer_decay=0.5))
    assert sorted(map(id, plan.weights.values())) == sorted(map(id, encoder.weights))
    assert plan.share == 1.0 and plan.encoder is encoder
    rates = dict(zip(plan.weights, plan.rates))
    # 3 blocks over the embeddings: 1, 1/2, 1/4, and 1/8 for what lies lowest.
    assert rates["block_2/outer/kernel"] == 1.0
    assert rates["block_1/query/bias"] == 0.5
    assert rates["block_0/attention_norm/gamma"] == 0.25
    assert rates["embeddings/words/embeddings"] == 0.125


def test_top_is_the_last_blocks(text_module, image_module):
    plan = plan_tuning(bert(text_module), tuning("top", blocks=2, layer_decay=0.5))
    assert blocks_of(plan) == ["block_1", "block_2"] and set(plan.rates) == {0.5, 1.0}
    plan = plan_tuning(EfficientNetLiteEncoder(str(image_module)), tuning("top", blocks=2))
    assert blocks_of(plan) == ["block_3", "head"] and set(plan.rates) == {1.0}


@pytest.mark.parametrize("adapter", ["lora", "bottleneck"])
def test_adapters_alone(text_module, adapter):
    encoder = bert(text_module, adapter=adapter)
    plan = plan_tuning(encoder, tuning("adapter", adapter=adapter, layer_decay=0.5))
    assert all(map(is_adapter_weight, plan.weights.values())) and len(blocks_of(plan)) == BLOCKS
    assert sorted(set(plan.rates)) == [0.25, 0.5, 1.0]
    # By hand: rank 2 (a sixteenth of 32) for 4 matrices of 32 x 32 and two of 32 x 48, or a bottleneck of 8 in 32.
    each = 4 * 2 * (32 + 32) + 2 * 2 * (32 + 48) if adapter == "lora" else 32 * 8 + 8 + 8 * 32 + 32
    assert plan.parameters == BLOCKS * each


def test_full_leaves_adapters_alone(text_module):
    plan = plan_tuning(bert(text_module, adapter="lora"), tuning("full"))
    assert not any(map(is_adapter_weight, plan.weights.values()))


def test_names_do_not_depend_on_where_it_is_built(text_module):
    first = plan_tuning(bert(text_module), tuning("full"))
    with tf.name_scope("elsewhere"):
        second = plan_tuning(bert(text_module), tuning("full"))
    assert list(first.weights) == list(second.weights)


def test_a_module_is_set_trainable_and_its_blocks_guessed(text_module):
    encoder = HubEncoder("text", str(text_module))
    frozen = encoder.fingerprint
    plan = plan_tuning(encoder, tuning("top", blocks=1))
    assert blocks_of(plan) == ["block_2"] and len(plan.weights) == 16
    # From now on the weights count, whatever the module's files say.
    tuned = encoder.fingerprint
    next(iter(plan.weights.values())).assign_add(tf.ones([32, 32]))
    assert len({frozen, tuned, encoder.fingerprint}) == 3


def test_a_module_gets_its_adapter_behind(text_module):
    encoder = HubEncoder("text", str(text_module))
    plan = plan_tuning(encoder, tuning("adapter", rank=4))
    assert isinstance(plan.encoder, AdaptedEncoder)
    # 32 x 4 and 4 x 32, with their biases.
    assert plan.parameters == 2 * 32 * 4 + 4 + 32
    texts = tf.constant(["word1 word2"])
    np.testing.assert_allclose(plan.encoder(texts), encoder(texts), atol=1e-6)


@pytest.mark.parametrize("frames", [False, True])
def test_a_copy_of_an_adapted_encoder_has_the_same_plan(frames):
    encoder = ImageCnnEncoder(dim=8, image_size=16)
    wanted = tuning("adapter", layer_decay=0.5)
    plan = plan_tuning(FramesEncoder(encoder, frames=2) if frames else encoder, wanted)
    copy = plan_tuning(AdaptedEncoder.from_config(plan.encoder.get_config()), wanted)
    # A bottleneck is four weights behind the vector: its two matrices and their biases.
    names = ["down", "down_bias", "up", "up_bias"]
    assert list(copy.weights) == list(plan.weights) == [f"behind/bottleneck_{name}" for name in names]
    assert copy.rates == plan.rates == [1.0] * 4


def test_an_image_encoder_inside_another(image_module):
    frames = FramesEncoder(EfficientNetLiteEncoder(str(image_module), adapter="lora"), frames=2)
    plan = plan_tuning(frames, tuning("adapter"))
    assert plan.encoder is frames and all(map(is_adapter_weight, plan.weights.values()))


def test_light_encoders():
    plan = plan_tuning(ImageCnnEncoder(dim=8, image_size=16), tuning("full"))
    assert len(plan.weights) == 4 and plan.share == 1.0
    assert plan_tuning(ImageCnnEncoder(dim=8, image_size=16), tuning("adapter")).share < 0.05


def test_nothing_to_tune():
    with pytest.raises(EncoderError, match="HashedTextEncoder has no weights"):
        plan_tuning(HashedTextEncoder(), tuning("full"))
    with pytest.raises(EncoderError, match="HashedTextEncoder has no weights"):
        plan_tuning(HashedTextEncoder(), tuning("adapter"))


def test_more_blocks_than_there_are(text_module):
    with pytest.raises(
        EncoderError, match="last 9 blocks .* has 4: embeddings, block_0, block_1, block_2. Set `top` to 4"
    ):
        plan_tuning(bert(text_module), tuning("top", blocks=9))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # What all begin with does not count, numbered or not.
        (["net_1/layer_0/a/kernel", "net_1/layer_0/b/kernel", "net_1/layer_1/a/kernel"], {"layer_0": 2, "layer_1": 1}),
        (["stem/conv/kernel", "block3a/conv/kernel", "block3a/norm/gamma", "block3b/conv/kernel", "top/kernel"],
         {"stem/conv": 1, "block3a": 2, "block3b": 1, "top": 1}),
        (["kernel", "head"], {"kernel": 1, "head": 1}),
        (["dense/kernel", "dense/bias"], {"kernel": 1, "bias": 1}),
        ([], {}),
    ],
)  # fmt: skip
def test_blocks_by_name(names, expected):
    weights = [tf.Variable(0.0, name=name) for name in names]
    assert {name: len(block) for name, block in blocks_by_name(weights)} == expected
