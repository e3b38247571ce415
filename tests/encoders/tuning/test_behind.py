"""An adapter behind a vector."""

import numpy as np

from mmrec_tf.encoders.audio_cnn import AudioCnnEncoder
from mmrec_tf.encoders.image_cnn import ImageCnnEncoder
from mmrec_tf.encoders.tuning.behind import AdaptedEncoder

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)


def adapted(rank=4) -> AdaptedEncoder:
    encoder = AdaptedEncoder(ImageCnnEncoder(dim=8, image_size=16), rank)
    encoder.build(None)
    return encoder


def test_nothing_changes_before_training_and_the_store_knows():
    encoder = adapted()
    np.testing.assert_allclose(encoder(IMAGES), ImageCnnEncoder(dim=8, image_size=16)(IMAGES), atol=1e-6)
    fresh = encoder.fingerprint
    assert fresh == adapted(rank=2).fingerprint
    encoder.adapter.up.assign_add(np.ones((4, 8), np.float32))
    assert encoder.fingerprint != fresh
    vectors = encoder(IMAGES).numpy()
    assert np.abs(vectors - encoder.encoder(IMAGES).numpy()).max() > 0.01
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_it_stands_for_the_encoder_behind_it():
    inner = AudioCnnEncoder(dim=8, seconds=1.0, windows=2, batch_size=3)
    encoder = AdaptedEncoder(inner)
    for name in ("modality", "dim", "reader", "batch_size", "content_shape", "varying_length"):
        assert getattr(encoder, name) == getattr(inner, name), name
    clip = np.zeros(20000, np.float32)
    assert encoder.content_length(clip) == inner.content_length(clip) == 20000


def test_from_config():
    encoder = adapted()
    encoder.adapter.up.assign_add(np.ones((4, 8), np.float32))
    copy = AdaptedEncoder.from_config(encoder.get_config())
    copy.build(None)
    copy.set_weights(encoder.get_weights())
    np.testing.assert_allclose(copy(IMAGES), encoder(IMAGES), atol=1e-6)
    assert copy.fingerprint == encoder.fingerprint
