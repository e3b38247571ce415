"""Every fusion inside the retrieval model: by its name in the configuration, through fit, save, load and export."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.data.pipelines import retrieval_dataset
from mmrec_tf.fusion import fusion_names
from mmrec_tf.serving.export import export_models
from mmrec_tf.training.fit import fit
from tests import tiny_world
from tests.fusion.by_hand import calm_two_tower


@pytest.mark.slow
@pytest.mark.parametrize("method", fusion_names())
def test_a_model_is_trained_and_its_weights_are_saved_and_loaded(method, tmp_path):
    model = calm_two_tower(method=method, modality_dropout=0.2)
    batches = retrieval_dataset(tiny_world.sequences(), 50)
    history = fit(model, batches, epochs=2, learning_rate=0.02, patience=2)
    assert np.isfinite(history["loss"]).all()
    check_save_and_load(model, method, tmp_path)


@pytest.mark.parametrize("method", fusion_names())
def test_weights_are_saved_and_loaded(method, tmp_path):
    model = calm_two_tower(method=method)
    for weight in model.items.fusion.weights:
        weight.assign_add(tf.random.normal(weight.shape))
    check_save_and_load(model, method, tmp_path)


def check_save_and_load(model, method, folder):
    model.save_weights(str(folder / "model.weights.h5"))
    fresh = calm_two_tower(method=method)
    fresh.load_weights(str(folder / "model.weights.h5"))
    for one, other in zip(model.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(fresh.candidate_embeddings(), model.candidate_embeddings(), rtol=1e-5, atol=1e-6)
    assert np.isfinite(model.candidate_embeddings()[1 + tiny_world.WITHOUT_MODALITIES]).all()


@pytest.mark.parametrize("method", ["co_attention", "encoder_decoder"])
def test_a_model_is_rebuilt_from_its_configuration(method, tmp_path):
    model = calm_two_tower(method=method)
    model.save(tmp_path / "model.keras")
    copy = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(copy.candidate_embeddings(), model.candidate_embeddings(), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["co_attention", "encoder_decoder"])
def test_a_model_is_exported(method, tmp_path):
    engine = tiny_world.engine(calm_two_tower(method=method))
    written = export_models(engine, tmp_path, 5)
    signatures = tf.saved_model.load(str(written["retrieval"])).signatures
    items = tf.constant(["i4", "i28", f"i{tiny_world.WITHOUT_MODALITIES}", "nothing"])
    found = signatures["embed_item"](item_id=items)["embedding"]
    np.testing.assert_allclose(found, engine.embed_item(items), rtol=1e-5, atol=1e-6)
    users = tf.constant(["u3", "nobody"])
    expected = engine.retrieve_ids(users, tf.constant(5))
    np.testing.assert_array_equal(signatures["serving_default"](user_id=users)["item_id"], expected[0])
