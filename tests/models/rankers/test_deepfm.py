"""The ranking model: its three parts against NumPy, missing features, and its way through fit, save and export."""

import json
from itertools import combinations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from sklearn.metrics import log_loss, mean_squared_error, roc_auc_score

from mmrec_tf.data.pipelines import ranking_dataset
from mmrec_tf.models.deepfm import DeepFM
from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.serving.export import export_models
from mmrec_tf.training.fit import fit
from tests import tiny_world
from tests.tiny_world import deepfm, ranking_examples

CATALOGUE = np.arange(1, tiny_world.TRAINED_ITEMS + 1)


def pairs(count=6, group=None) -> dict[str, tf.Tensor]:
    """Users with histories beside items drawn from the whole catalogue."""
    shape = [count] if group is None else [count, group]
    batch = ranking_examples(slice(0, 6 * count, 6))
    random = np.random.default_rng(2)
    batch["item_index"] = random.integers(1, 31, shape).astype(np.int32)
    batch["label"] = random.integers(0, 2, shape).astype(np.float32)
    batch["weight"] = random.integers(0, 2, shape).astype(np.float32)
    return {name: tf.constant(array) for name, array in batch.items()}


def test_score_by_hand():
    # Only ids and no history: two fields, u = (0.5; 1, 2) and i = (-0.25; 3, -1), each a weight and a vector.
    lookups = [FeatureLookup(shapes={}, size=2, id_vocabulary_size=2, vocabulary_sizes={}) for _ in range(2)]
    for lookup in lookups:
        lookup.id_index.assign([0, 1])
    model = DeepFM(*lookups, dim=2, hidden=[])
    model.create_weights(history_length=0)
    model.user_ids.embeddings.assign([[9, 9, 9], [0.5, 1, 2]])
    model.item_ids.embeddings.assign([[9, 9, 9], [-0.25, 3, -1]])
    # The deep part without hidden layers is linear in the vectors, the item's first.
    model.head.set_weights([np.array([[0.1], [0.2], [0.3], [0.4]]), np.array([10.0])])
    one = tf.constant([1])
    score = model({"user_index": one, "item_index": one, "history": tf.zeros([1, 0], tf.int32)})
    # linear 0.5 - 0.25 = 0.25; pair 1*3 - 2*1 = 1; deep 0.3 - 0.2 + 0.3 + 0.8 + 10 = 11.2
    assert score.numpy() == pytest.approx([0.25 + 1 + 11.2])


def test_factorisation_is_the_sum_over_all_pairs_of_fields():
    model = deepfm(hidden=[])
    inputs = pairs()
    fields = np.concatenate(
        [model._item_fields(inputs["item_index"], False), model._user_fields(inputs, False)], axis=1
    )
    # item: id, category, tags, price, image, text; user: id, country, age; history: ids, image, text
    assert fields.shape == (6, 12, 5)
    weights, vectors = fields[:, :, 0], fields[:, :, 1:]
    expected = weights.sum(axis=1)
    for f, g in combinations(range(12), 2):
        expected += (vectors[:, f] * vectors[:, g]).sum(axis=1)
    expected += vectors.reshape(6, -1) @ model.head.kernel.numpy()[:, 0] + model.head.bias.numpy()
    np.testing.assert_allclose(model(inputs).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_items_one_by_one_and_in_groups_score_alike():
    model, grouped = deepfm(), pairs(group=4)
    scores = model(grouped).numpy()
    assert scores.shape == (6, 4)
    for place in range(4):
        single = {**grouped, "item_index": grouped["item_index"][:, place]}
        np.testing.assert_allclose(model(single).numpy(), scores[:, place], atol=1e-5)


def test_click_loss_is_the_weighted_log_loss_of_logits():
    model, inputs = deepfm(), pairs(group=5)
    scores, labels, weights = (array.numpy().ravel() for array in (model(inputs), inputs["label"], inputs["weight"]))
    chances = 1 / (1 + np.exp(-scores))
    # Keras divides by the number of pairs, not by the sum of their weights.
    expected = log_loss(labels, chances, sample_weight=weights) * weights.sum() / weights.size
    assert float(model.compute_loss(inputs)) == pytest.approx(expected, rel=1e-4)


def test_rating_loss_is_the_squared_error():
    model, inputs = deepfm(target="rating"), pairs()
    inputs["label"] = tf.constant([1.0, 2.0, 3.0, 4.0, 5.0, 3.5])
    inputs["weight"] = tf.ones(6)
    expected = mean_squared_error(inputs["label"], model(inputs))
    assert float(model.compute_loss(inputs)) == pytest.approx(expected, rel=1e-4)


def test_similarities_are_added_with_their_weight():
    model, inputs = deepfm(), pairs(group=3)
    plain = model(inputs).numpy()
    similarity = tf.constant(np.random.default_rng(0).normal(size=[6, 3]).astype(np.float32))
    np.testing.assert_allclose(model({**inputs, "similarity": similarity}).numpy(), plain, atol=1e-6)
    model.similarity_weight.assign(8.0)
    found = model({**inputs, "similarity": similarity}).numpy()
    np.testing.assert_allclose(found, plain + 8 * similarity.numpy(), rtol=1e-5, atol=1e-5)


def test_raw_values_of_an_absent_modality_have_no_influence():
    model = deepfm()
    inputs = pairs()
    # Item 17 has index 18 and no modality; it is asked for, and stands in every history.
    inputs["item_index"] = tf.fill([6], tiny_world.WITHOUT_MODALITIES + 1)
    inputs["history"] = tf.concat([inputs["history"][:, :4], inputs["item_index"][:, None]], axis=1)
    before = model(inputs).numpy()
    assert np.isfinite(before).all()
    for table in model.items.tables["vectors"].values():
        rows = table.numpy()
        rows[tiny_world.WITHOUT_MODALITIES + 1] = 1e3
        table.assign(rows)
    np.testing.assert_allclose(model(inputs).numpy(), before, atol=1e-5)


def test_a_modality_left_out_is_absent_from_the_items_and_stays_in_the_histories():
    model, inputs = deepfm(hidden=[]), pairs(group=3)
    items, user = tf.reshape(inputs["item_index"], [-1]), model._user_fields(inputs, False)
    whole, without = (model._item_fields(items, False, left_out).numpy() for left_out in ((), ("text",)))
    # The fields are id, category, tags, price, image and text. Without vector and mask the projection is its bias.
    model.item_projections["text"].bias.assign([1.0, 2.0, 3.0, 4.0, 5.0])
    np.testing.assert_array_equal(without[:, :5], whole[:, :5])
    without = model._item_fields(items, False, ["text"]).numpy()
    np.testing.assert_allclose(without[:, 5], np.tile([1.0, 2.0, 3.0, 4.0, 5.0], (18, 1)), atol=1e-6)
    fields = np.concatenate([without, np.repeat(user.numpy(), 3, axis=0)], axis=1)
    found = model(inputs, without=["text"]).numpy()
    np.testing.assert_allclose(found, model._score(tf.constant(fields), False).numpy().reshape(6, 3), atol=1e-5)
    assert np.abs(found - model(inputs).numpy()).max() > 1e-3
    # As in a catalogue that never had it, where nobody has a history.
    none = {**inputs, "history": tf.zeros_like(inputs["history"])}
    left_out = model(none, without=["text"]).numpy()
    model.items.tables["masks"]["text"].assign(tf.zeros(31, tf.bool))
    np.testing.assert_allclose(left_out, model(none).numpy(), atol=1e-6)


def test_without_ids_items_score_as_if_they_were_new():
    model, inputs = deepfm(), pairs()
    found = model(inputs, without_ids=True).numpy()
    assert np.abs(found - model(inputs).numpy()).max() > 1e-4
    none = {**inputs, "history": tf.zeros_like(inputs["history"])}
    hidden = model(none, without_ids=True).numpy()
    model.items.id_index.assign(tf.zeros(31, tf.int32))
    np.testing.assert_allclose(hidden, model(none).numpy(), atol=1e-6)


def test_other_vectors_stand_in_for_the_stored_ones_where_there_are_any():
    model, inputs = deepfm(), pairs()
    # Items 5 and 9 have a text, item 3 has none (3 modulo 7).
    inputs["item_index"] = tf.constant([6, 10, 4, 6, 10, 4])
    other = tf.constant(np.random.default_rng(3).normal(size=[6, 6]).astype(np.float32))
    found = model(inputs, vectors={"text": other}).numpy()
    rows = model.items.tables["vectors"]["text"].numpy()
    before = model(inputs).numpy()
    for place in range(6):
        changed = rows.copy()
        changed[inputs["item_index"][place]] = other[place]
        model.items.tables["vectors"]["text"].assign(changed)
        one = {name: value[place : place + 1] for name, value in inputs.items()}
        one["history"] = tf.zeros_like(one["history"])
        assert model(one).numpy() == pytest.approx(model(one, vectors={"text": other[place : place + 1]}).numpy())
        model.items.tables["vectors"]["text"].assign(rows)
    changed = np.abs(found - before)
    assert changed[[0, 1, 3, 4]].min() > 1e-4 and changed[[2, 5]].max() == 0


def test_padding_of_the_history_has_no_influence():
    model, inputs = deepfm(), pairs()
    inputs["history"] = tf.constant([[0, 0, 0, 0, 0], [0, 0, 0, 0, 3]] * 3)
    before = model(inputs).numpy()
    assert np.isfinite(before).all()
    for table in (model.items.tables["vectors"]["text"], model.items.tables["vectors"]["image"]):
        rows = table.numpy()
        rows[0] = 1e3
        table.assign(rows)
    np.testing.assert_allclose(model(inputs).numpy(), before, atol=1e-5)


def test_history_matters_by_its_ids_and_its_content():
    model, inputs = deepfm(), pairs()
    none = model({**inputs, "history": tf.zeros_like(inputs["history"])}).numpy()
    # New items are known by content alone.
    new = model({**inputs, "history": tf.fill(inputs["history"].shape, 29)}).numpy()
    assert np.abs(none - new).min() > 1e-4


def accuracy(model) -> float:
    """AUC of the items of a user's group against the others, over the trained catalogue."""
    users = np.arange(tiny_world.ACTIVE_USERS)
    inputs = {
        "user_index": tf.constant(users + 1, tf.int32),
        "history": tf.constant(tiny_world.sequences().latest(users)),
        "item_index": tf.constant(np.tile(CATALOGUE, (len(users), 1)), tf.int32),
    }
    same = (CATALOGUE - 1)[None, :] % 4 == users[:, None] % 4
    return roc_auc_score(same.ravel(), model(inputs).numpy().ravel())


def training_pairs(negatives=4):
    return ranking_dataset(ranking_examples(), CATALOGUE, batch_size=32 * (1 + negatives), negatives=negatives, seed=1)


def test_fit_learns_the_taste():
    model = deepfm()
    assert accuracy(model) < 0.65
    history = fit(model, training_pairs(), epochs=40, learning_rate=0.03, patience=40)
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert accuracy(model) > 0.8


def test_fit_compiles_under_xla():
    history = fit(deepfm(), training_pairs(), epochs=3, learning_rate=0.02, patience=3, xla=True)
    assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0]


def test_mixed_precision_trains_and_keeps_scores_in_float32():
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model, inputs = deepfm(), pairs()
        model.similarity_weight.assign(1.0)
        plain = model(inputs)
        # 0.7001953125 is 0.69921875 in bfloat16.
        blended = model({**inputs, "similarity": tf.fill([6], 0.7001953125)})
        assert plain.dtype == blended.dtype == tf.float32
        np.testing.assert_allclose(blended - plain, 0.7001953125, atol=1e-5)
        history = fit(model, training_pairs(), epochs=4, learning_rate=0.02, patience=4)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert np.isfinite(history["loss"]).all() and history["loss"][-1] < history["loss"][0]


def test_config_round_trip_through_json():
    model = deepfm(target="rating", dropout=0.4)
    copy = tf_keras.saving.deserialize_keras_object(
        json.loads(json.dumps(tf_keras.saving.serialize_keras_object(model)))
    )
    for name in ("dim", "hidden", "dropout", "target", "id_dropout"):
        assert getattr(copy, name) == getattr(model, name)
    copy.set_weights(model.get_weights())
    np.testing.assert_allclose(copy(pairs()).numpy(), model(pairs()).numpy(), atol=1e-6)


@pytest.mark.quick_stack
def test_fit_save_export_and_reload(tmp_path):
    model = deepfm()
    fit(model, training_pairs(), epochs=1, learning_rate=0.02, patience=1)
    model.similarity_weight.assign(3.0)
    scores = model(pairs()).numpy()

    model.save_weights(str(tmp_path / "ranking.weights.h5"))
    fresh = deepfm()
    assert np.abs(fresh(pairs()).numpy() - scores).max() > 1e-3
    fresh.load_weights(str(tmp_path / "ranking.weights.h5"))
    np.testing.assert_allclose(fresh(pairs()).numpy(), scores, atol=1e-6)
    assert float(fresh.similarity_weight) == 3.0

    engine = tiny_world.engine(ranking=fresh)
    written = export_models(engine, tmp_path / "export")
    users, items = tf.constant(["u3", "nobody"]), tf.constant(["i4", "i28"])
    ranking = tf.saved_model.load(str(written["ranking"])).signatures["serving_default"]
    np.testing.assert_allclose(
        ranking(user_id=users, item_id=items)["score"].numpy(), engine.rank_pairs(users, items).numpy(), atol=1e-6
    )
    recommend = tf.saved_model.load(str(written["recommend"])).signatures["recommend"]
    answer = recommend(user_id=users, k=tf.constant([4, 4]))
    names, best = engine.recommend(users, tf.constant(4))
    assert answer["item_id"].numpy().tolist() == names.numpy().tolist()
    np.testing.assert_allclose(answer["score"].numpy(), best.numpy(), atol=1e-6)
