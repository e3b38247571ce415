"""Fusion by an autoencoder: the encoding, and the reconstruction loss that it adds."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from scipy.special import erf

from mmrec_tf.fusion import EncoderDecoderFusion
from tests import tiny_world
from tests.fusion.by_hand import calm_two_tower, randomized, three_modalities
from tests.layer_checks import check_layer

FEATURES = {
    "image": np.array([[3.0, 4.0], [np.nan, np.nan], [7.0, 7.0]], np.float32),
    "text": np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [7.0, 7.0, 7.0]], np.float32),
}
MASKS = {"image": np.array([True, False, False]), "text": np.array([True, True, False])}


def by_hand(**options) -> EncoderDecoderFusion:
    """Whatever the code is, the image is reconstructed as [1, 0] and the text as [5, 0, 0]."""
    fusion = EncoderDecoderFusion(dim=2, reconstruction_weight=0.5, **options)
    fusion(FEATURES, MASKS)
    fusion.decoders["image"].set_weights([np.zeros([2, 2]), np.array([1.0, 0.0])])
    fusion.decoders["text"].set_weights([np.zeros([2, 3]), np.array([5.0, 0.0, 0.0])])
    return fusion


def test_passes_the_layer_checks(tmp_path):
    features, masks = three_modalities(rows=24)
    check_layer(
        lambda: EncoderDecoderFusion(dim=4, modality_dropout=0.2),
        features,
        tmp_path,
        call_arguments={"masks": masks},
        expected_shape=(24, 4),
    )


def test_the_code_against_numpy():
    features, masks = three_modalities()
    fusion = EncoderDecoderFusion(dim=4)
    fusion(features, masks)
    randomized(fusion)
    names = sorted(features)
    filled = [np.where(masks[name][:, None], features[name], fusion.stand_ins[name].numpy()) for name in names]
    inputs = np.concatenate([*filled, *(masks[name][:, None] for name in names)], axis=1)
    hidden = inputs @ fusion.encode.kernel.numpy() + fusion.encode.bias.numpy()
    hidden *= 0.5 * (1 + erf(hidden / np.sqrt(2)))
    expected = hidden @ fusion.mix.kernel.numpy() + fusion.mix.bias.numpy()
    np.testing.assert_allclose(fusion(features, masks), expected, rtol=1e-4, atol=1e-5)


def test_reconstruction_loss_by_hand():
    # image, one row: 1 - cos([1, 0], [3, 4]) = 1 - 3/5 = 0.4
    # text, two rows: 1 - cos([5, 0, 0], [1, 0, 0]) = 0 and 1 - cos([5, 0, 0], [0, 2, 0]) = 1, so 0.5
    # 0.5 * (0.4 + 0.5) / 2 = 0.225; what absent modalities hold does not matter, even if it is no number.
    fusion = by_hand()
    fusion(FEATURES, MASKS, training=True)
    assert [float(loss) for loss in fusion.losses] == pytest.approx([0.225], rel=1e-5)


def test_what_modality_dropout_hides_is_still_asked_for():
    fusion = by_hand(modality_dropout=0.999999)
    fusion(FEATURES, MASKS, training=True)
    assert float(fusion.losses[0]) == pytest.approx(0.225, rel=1e-5)


def test_without_training_there_is_no_loss():
    fusion = by_hand()
    fusion(FEATURES, MASKS)
    assert fusion.losses == []


def test_nothing_to_reconstruct_gives_zero_and_finite_gradients():
    fusion = by_hand()
    nothing = {name: np.zeros(3, bool) for name in MASKS}
    with tf.GradientTape() as tape:
        fusion(FEATURES, nothing, training=True)
        loss = fusion.losses[0]
    assert float(loss) == 0.0
    gradients = tape.gradient(loss, fusion.trainable_weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("static", [True, False])
def test_large_batches_are_reconstructed_in_part(static):
    # 400 rows whose loss is 0, then 400 whose loss is 1; 100 of them are drawn.
    fusion = EncoderDecoderFusion(dim=2, reconstruction_weight=1.0, reconstruction_rows=100)
    features = {"text": np.repeat([[1.0, 0.0], [0.0, 1.0]], 400, axis=0).astype(np.float32)}
    masks = {"text": np.ones(800, bool)}
    fusion(features, masks)
    fusion.decoders["text"].set_weights([np.zeros([2, 2]), np.array([1.0, 0.0])])

    @tf.function(input_signature=[tf.TensorSpec([800 if static else None, 2])])
    def loss_of(text):
        fusion({"text": text}, {"text": tf.ones(tf.shape(text)[:1], bool)}, training=True)
        return fusion.losses[0]

    tf.random.set_seed(1)
    losses = np.array([loss_of(features["text"]).numpy() for _ in range(20)])
    # Hundredths, since a hundred rows are drawn each time, and not the same ones.
    np.testing.assert_allclose(100 * losses, np.round(100 * losses), atol=1e-3)
    assert losses.std() > 0
    # 2000 draws of a fair coin: four standard deviations are 4 sqrt(0.25 / 2000) = 0.045.
    assert losses.mean() == pytest.approx(0.5, abs=0.045)


def test_the_loss_reaches_the_total_of_a_two_tower_model():
    batch = {name: tf.constant(array) for name, array in tiny_world.retrieval_batch(slice(0, 60)).items()}
    model = calm_two_tower(method="encoder_decoder", reconstruction_weight=2.0)
    fusion = model.items.fusion
    # The step embeds the whole catalogue of 31 rows once, so the loss is that of one call on all items.
    features = model.items.lookup(tf.range(31))
    fused = fusion(features["vectors"], features["masks"])
    expected = 2.0 * float(fusion.reconstruction_loss(fused, features["vectors"], features["masks"]))
    retrieval = float(model.compute_loss(batch, training=False))
    before = [decoder.kernel.numpy() for decoder in fusion.decoders.values()]
    model.compile(optimizer=tf_keras.optimizers.SGD(0.1))
    found = {name: float(value) for name, value in model.train_step(batch).items()}
    assert expected > 0
    assert found["regularization_loss"] == pytest.approx(expected, rel=1e-4)
    assert found["loss"] == pytest.approx(retrieval, rel=1e-4)
    assert found["total_loss"] == pytest.approx(retrieval + expected, rel=1e-4)
    # The interactions do not reach the decoders: it is the reconstruction that has moved them.
    for decoder, kernel in zip(fusion.decoders.values(), before):
        assert np.abs(decoder.kernel.numpy() - kernel).max() > 1e-5


def test_with_weight_zero_a_two_tower_model_is_trained_by_interactions_alone():
    batch = {name: tf.constant(array) for name, array in tiny_world.retrieval_batch(slice(0, 60)).items()}
    model = calm_two_tower(method="encoder_decoder", reconstruction_weight=0.0)
    model.compile(optimizer=tf_keras.optimizers.SGD(0.1))
    found = model.train_step(batch)
    assert float(found["regularization_loss"]) == 0.0
    assert float(found["total_loss"]) == float(found["loss"])
