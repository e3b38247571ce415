"""EfficientNet-Lite as layers gives what its module gives, and can learn."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.encoders.adapters import is_adapter_weight
from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.pretrained.efficientnet_lite import LITE0, efficientnet_lite
from mmrec_tf.encoders.tuning.efficientnet import EfficientNetLiteEncoder
from mmrec_tf.errors import EncoderError
from tests.tiny_encoders import FEATURES, IMAGE_SIZE

IMAGES = np.random.default_rng(0).integers(0, 256, (3, IMAGE_SIZE, IMAGE_SIZE, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("adapter", "checkpointing"), [(None, False), ("lora", False), ("bottleneck", False), ("bottleneck", True)]
)
def test_the_modules_vectors(image_module, adapter, checkpointing):
    encoder = EfficientNetLiteEncoder(str(image_module), adapter=adapter, checkpointing=checkpointing)
    assert encoder.dim == FEATURES and encoder.content_shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
    expected = HubEncoder("image", str(image_module))(IMAGES)
    np.testing.assert_allclose(encoder(IMAGES), expected, atol=1e-5)
    np.testing.assert_allclose(encoder(IMAGES, training=True), expected, atol=1e-5)


def test_blocks_from_the_input_to_the_output(image_module):
    encoder = EfficientNetLiteEncoder(str(image_module))
    blocks = encoder.tuning_blocks()
    assert [name for name, _ in blocks] == ["stem", "block_0", "block_1", "block_2", "block_3", "head"]
    named = [weight for _, weights in blocks for weight in weights]
    # Each once; the means and variances of the normalisation are in none, as they are not trained.
    assert sorted(map(id, named)) == sorted(map(id, encoder.trainable_weights))


def test_checkpointing_changes_memory_not_gradients(image_module):
    def gradients(checkpointing):
        encoder = EfficientNetLiteEncoder(str(image_module), checkpointing=checkpointing)

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(encoder.encode(tf.constant(IMAGES), training=True)[:, 0])
            return tape.gradient(loss, encoder.trainable_weights)

        return step()

    for kept, worked_out_again in zip(gradients(False), gradients(True), strict=True):
        np.testing.assert_allclose(worked_out_again, kept, rtol=1e-3, atol=1e-6)


def test_adapters_of_the_published_size_are_small():
    weights = efficientnet_lite(LITE0, "lora", rank=8).weights
    learn = sum(int(tf.size(weight)) for weight in weights if is_adapter_weight(weight))
    assert 0 < learn < 0.05 * sum(int(tf.size(weight)) for weight in weights)


def test_from_config_and_fingerprint(image_module):
    encoder = EfficientNetLiteEncoder(str(image_module), "lora", 2, True, batch_size=3)
    copy = EfficientNetLiteEncoder.from_config(encoder.get_config())
    assert copy.get_config() == encoder.get_config()
    assert copy.fingerprint == encoder.fingerprint == EfficientNetLiteEncoder(str(image_module)).fingerprint
    copy.network.get_layer("head_norm").beta.assign_add(tf.ones([FEATURES]))
    assert copy.fingerprint != encoder.fingerprint


def test_another_module(text_module):
    with pytest.raises(EncoderError, match="does not hold the network that EfficientNetLiteEncoder tunes"):
        EfficientNetLiteEncoder(str(text_module))


@pytest.mark.slow
def test_the_real_module(build_real):
    path = str(build_real("efficientnet_lite0"))
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    np.testing.assert_allclose(
        EfficientNetLiteEncoder(path, adapter="lora")(images), HubEncoder("image", path)(images), atol=1e-5
    )
