"""Alignment beside the retrieval loss."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.errors import ConfigError
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.fusion import fusion_names
from mmrec_tf.losses.alignment_registry import alignment_names
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.side_losses import misalignment
from tests import tiny_world
from tests.tiny_world import retrieval_batch

CALM = {"id_dropout": 0.0, "user_dropout": 0.0, "dropout": 0.0}


def aligned(alignment, method="concat", items=None, **fusion):
    config = tiny_world.config(
        retrieval=CALM, fusion={"modality_dropout": 0.0, "method": method, **fusion}, alignment=alignment
    )
    items = items or tiny_world.item_table()
    return build_two_tower(config, tiny_world.user_table(), items, tiny_world.sequences().item_index)


def tensors(rows=slice(None)) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in retrieval_batch(rows).items()}


def test_the_loss_of_every_pair_is_added_in_training():
    model, batch = aligned({"method": "contrastive", "weight": 0.5, "dim": 4}), tensors(slice(0, 100, 3))
    alone = float(model.compute_loss(batch))
    features = model.items.lookup(batch["item_index"])
    tokens = model.items.fusion.modality_tokens(features["vectors"], features["masks"])
    (pair,) = model.alignment.alignments
    expected = pair(
        (tokens["image"], tokens["text"]),
        masks=(features["masks"]["image"], features["masks"]["text"]),
        ids=batch["item_index"],
    )
    assert float(expected) > 0.1
    found = float(model.compute_loss(batch, training=True))
    assert found == pytest.approx(alone + 0.5 * float(expected), rel=1e-4)


@pytest.mark.parametrize(
    "fusion", [{"method": "encoder_decoder"}, {"method": "concat", "balance": 1.0}], ids=["decoder", "balance"]
)
def test_what_a_fusion_adds_to_the_loss_stays_beside_alignment(fusion):
    added = []
    for alignment in (None, "contrastive"):
        tf_keras.utils.set_random_seed(1)
        model = aligned(alignment, **fusion)
        model.compile(tf_keras.optimizers.Adam(1e-3))
        logged = model.fit(tf.data.Dataset.from_tensors(tensors()), verbose=0).history
        added.append(logged["regularization_loss"][0])
    assert added[0] > 0.0 and added[1] == pytest.approx(added[0], rel=1e-3)


@pytest.mark.parametrize("alignment", alignment_names())
def test_every_alignment_trains_and_compiles(alignment):
    model = aligned(alignment)
    model.compile(tf_keras.optimizers.Adam(0.01), jit_compile=True)
    losses = model.fit(tf.data.Dataset.from_tensors(tensors()).repeat(3), epochs=6, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


@pytest.mark.parametrize("method", fusion_names())
def test_every_fusion_can_be_aligned(method):
    model, batch = aligned("contrastive", method), tensors(slice(0, 60))
    with tf.GradientTape() as tape:
        loss = misalignment(model, batch["item_index"])
    weights = model.items.fusion.trainable_weights
    reached = [gradient for gradient in tape.gradient(loss, weights) if gradient is not None]
    assert any(np.abs(tf.convert_to_tensor(gradient)).max() > 0 for gradient in reached)


def test_alignment_brings_the_modalities_of_an_item_together():
    batch = tensors()

    def matched(alignment):
        """Share of items whose text is nearest to its own image among all items, in the tokens' space."""
        tf_keras.utils.set_random_seed(1)
        model = aligned(alignment)
        model.compile(tf_keras.optimizers.Adam(0.01))
        model.fit(tf.data.Dataset.from_tensors(batch).repeat(200), verbose=0)
        index = tf.range(1, tiny_world.TRAINED_ITEMS + 1)
        features = model.items.lookup(index)
        both = (features["masks"]["text"] & features["masks"]["image"]).numpy()
        tokens = model.items.fusion.modality_tokens(features["vectors"], features["masks"])
        text, image = (tf.math.l2_normalize(tokens[name], axis=1).numpy()[both] for name in ("text", "image"))
        return np.mean(np.argmax(text @ image.T, axis=1) == np.arange(both.sum()))

    assert matched({"method": "contrastive", "weight": 1.0, "dim": None}) > matched(None) + 0.3


def test_a_model_with_alignment_is_saved_and_made_again(tmp_path):
    model = aligned({"method": "sigmoid", "pairs": [["image", "text"]]})
    model.save_weights(str(tmp_path / "model.weights.h5"))
    again = aligned({"method": "sigmoid", "pairs": [["image", "text"]]})
    again.load_weights(str(tmp_path / "model.weights.h5"))
    for one, other in zip(model.weights, again.weights):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    config = type(model).from_config(model.get_config())
    assert config.alignment.get_config() == model.alignment.get_config()


def test_fewer_than_two_modalities_are_refused():
    text = {"text": tiny_world.modalities()["text"]}
    trained = np.unique(tiny_world.interactions()[1])
    table = FeatureTable.build(tiny_world.items_frame(), tiny_world.SCHEMA.item, trained, text)
    with pytest.raises(ConfigError, match=r"needs two or more item features with content .* has text\. Leave"):
        aligned("contrastive", items=table)


def test_an_unknown_method_is_refused():
    with pytest.raises(ConfigError, match=r"'contrastiv' is unknown. Did you mean 'contrastive'"):
        aligned("contrastiv")
