"""What every ranker promises, whatever its network: groups, losses, missing and new things, context, saving."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from sklearn.metrics import log_loss, mean_squared_error

from mmrec_tf.models.build import build_ranker
from mmrec_tf.models.rankers import ranker_names
from tests import tiny_world
from tests.models.rankers.worlds import only_ids, pairs, randomized, with_trends

SPEC = {"categorical": {"device": 3}, "multi_categorical": {"places": 4}, "numbers": ["hour"]}
# ESMM is none without a second target; see test_several_targets.
ALL = pytest.mark.parametrize("name", [name for name in ranker_names() if name != "esmm"])


def with_context(name="fm", **settings):
    """The ranker with a context of three features."""

    class Context:
        spec = SPEC

    config = tiny_world.config(ranking={"model": name, **settings})
    return build_ranker(config, tiny_world.user_table(), tiny_world.item_table(), Context())


@ALL
def test_groups_xla_json_and_gradients(name):
    model, inputs = randomized(tiny_world.ranker(model=name, dropout=0.0), scale=0.05), pairs(group=3)
    with_trends(model)
    scores = model(inputs).numpy()
    assert scores.shape == (6, 3) and scores.dtype == np.float32
    for place in range(3):
        single = {**inputs, "item_index": inputs["item_index"][:, place]}
        np.testing.assert_allclose(model(single).numpy(), scores[:, place], rtol=1e-4, atol=1e-5)
    compiled = tf.function(lambda: model(inputs), jit_compile=True)
    np.testing.assert_allclose(compiled().numpy(), scores, rtol=1e-4, atol=1e-5)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(inputs)
    for weight, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables)):
        assert gradient is not None, f"no gradient reaches {weight.name}"
        assert 0.0 < float(tf.reduce_max(tf.abs(tf.convert_to_tensor(gradient)))) < np.inf, weight.name
    copy = tf_keras.saving.deserialize_keras_object(
        json.loads(json.dumps(tf_keras.saving.serialize_keras_object(model)))
    )
    assert type(copy) is type(model) and copy.get_config() == model.get_config()
    copy.create_weights(5)
    copy.set_weights(model.get_weights())
    np.testing.assert_allclose(copy(inputs).numpy(), scores, rtol=1e-4, atol=1e-5)


@ALL
def test_new_ids_share_an_embedding_and_content_tells_them_apart(name):
    model, inputs = randomized(tiny_world.ranker(model=name)), pairs(group=2)
    # Items 28 and 29 are not in the training interactions; without media and categories nothing tells them apart.
    inputs["item_index"] = tf.tile([[29, 30]], [6, 1])
    found = model(inputs).numpy()
    assert np.abs(found[:, 0] - found[:, 1]).min() > 1e-4
    np.testing.assert_array_equal(model(inputs, without_ids=True).numpy(), found)
    for group in model.items.tables.values():
        for table in group.values():
            table.assign(tf.zeros_like(table))
    found = model(inputs).numpy()
    np.testing.assert_allclose(found[:, 0], found[:, 1], rtol=1e-4, atol=1e-5)


@ALL
def test_absent_modalities_and_padding_have_no_influence(name):
    model, inputs = randomized(tiny_world.ranker(model=name)), pairs()
    # Item 17 has index 18 and no modality; it is asked for, and stands in every history behind padding.
    inputs["item_index"] = tf.fill([6, 3], tiny_world.WITHOUT_MODALITIES + 1)
    inputs["history"] = tf.concat([tf.zeros([6, 2], tf.int32), inputs["history"][:, 3:], tf.fill([6, 1], 18)], axis=1)
    before = model(inputs).numpy()
    assert np.isfinite(before).all()
    for table in model.items.tables["vectors"].values():
        rows = table.numpy()
        rows[[0, 18]] = 1e3
        table.assign(rows)
    np.testing.assert_allclose(model(inputs).numpy(), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["deepfm", "wide_deep", "din", "bst"])
def test_a_modality_left_out_is_absent_from_the_items_and_stays_in_the_histories(name):
    model, inputs = randomized(tiny_world.ranker(model=name)), pairs()
    left_out = model(inputs, without={"text": True}).numpy()
    assert np.abs(left_out - model(inputs).numpy()).max() > 1e-3
    # As if the items asked for had none, while those of the histories, other ones, keep theirs.
    inputs["history"] = tf.tile([[0, 0, 1, 2, 3]], [6, 1])
    inputs["item_index"] = tf.tile([[21, 22, 26]], [6, 1])
    left_out = model(inputs, without={"text": True}).numpy()
    masks = model.items.tables["masks"]["text"].numpy()
    masks[[21, 22, 26]] = False
    model.items.tables["masks"]["text"].assign(masks)
    np.testing.assert_allclose(left_out, model(inputs).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["deepfm", "wide_deep", "din", "bst"])
def test_without_ids_items_score_as_if_they_were_new(name):
    model, inputs = randomized(tiny_world.ranker(model=name)), pairs()
    inputs["history"] = tf.tile([[0, 0, 1, 2, 3]], [6, 1])
    inputs["item_index"] = tf.tile([[21, 22, 26]], [6, 1])
    found = model(inputs, without_ids=True).numpy()
    assert np.abs(found - model(inputs).numpy()).max() > 1e-3
    ids = model.items.id_index.numpy()
    ids[[21, 22, 26]] = 0
    model.items.id_index.assign(ids)
    np.testing.assert_allclose(found, model(inputs).numpy(), rtol=1e-4, atol=1e-5)


@ALL
def test_of_an_item_several_times_in_a_group_each_lacks_what_it_is_to(name):
    model, inputs = randomized(tiny_world.ranker(model=name)), pairs(group=None)
    whole, no_text, no_image, no_id = (
        model(inputs, **left_out).numpy()
        for left_out in ({}, {"without": {"text": True}}, {"without": {"image": True}}, {"without_ids": True})
    )
    inputs["item_index"] = tf.tile(inputs["item_index"][:, None], [1, 4])
    place = tf.range(4)
    found = model(inputs, without={"text": place == 1, "image": place == 2}, without_ids=place == 3).numpy()
    np.testing.assert_allclose(found, np.stack([whole, no_text, no_image, no_id], axis=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["deepfm", "din"])
def test_other_vectors_stand_in_for_the_stored_ones_where_there_are_any(name):
    model, inputs = randomized(tiny_world.ranker(model=name)), pairs(group=None)
    # Items 5 and 9 have a text, item 3 has none (3 modulo 7); the histories hold other items.
    inputs["item_index"] = tf.constant([6, 10, 4, 6, 10, 4])
    inputs["history"] = tf.tile([[0, 0, 1, 2, 3]], [6, 1])
    other = np.random.default_rng(3).normal(size=[6, 6]).astype(np.float32)
    other[3:] = other[:3]
    found, before = model(inputs, vectors={"text": tf.constant(other)}).numpy(), model(inputs).numpy()
    changed = np.abs(found - before)
    assert changed[[0, 1, 3, 4]].min() > 1e-4 and changed[[2, 5]].max() < 1e-5
    rows = model.items.tables["vectors"]["text"].numpy()
    rows[[6, 10, 4]] = other[:3]
    model.items.tables["vectors"]["text"].assign(rows)
    np.testing.assert_allclose(model(inputs).numpy(), found, rtol=1e-4, atol=1e-5)


def test_similarities_are_added_with_their_weight():
    model, inputs = tiny_world.ranker(), pairs()
    plain = model(inputs).numpy()
    similarity = tf.constant(np.random.default_rng(0).normal(size=[6, 3]).astype(np.float32))
    np.testing.assert_allclose(model({**inputs, "similarity": similarity}).numpy(), plain, atol=1e-6)
    model.similarity_weight.assign(8.0)
    found = model({**inputs, "similarity": similarity}).numpy()
    np.testing.assert_allclose(found, plain + 8 * similarity.numpy(), rtol=1e-5, atol=1e-5)


def test_click_loss_is_the_weighted_log_loss_of_logits():
    model, inputs = tiny_world.ranker(), pairs(group=5)
    inputs["weight"] = tf.constant(np.random.default_rng(1).integers(0, 2, [6, 5]).astype(np.float32))
    scores, labels, weights = (array.numpy().ravel() for array in (model(inputs), inputs["label"], inputs["weight"]))
    chances = 1 / (1 + np.exp(-scores))
    # Divided by the number of pairs, not by the sum of their weights.
    expected = log_loss(labels, chances, sample_weight=weights) * weights.sum() / weights.size
    assert float(model.compute_loss(inputs)) == pytest.approx(expected, rel=1e-4)


def test_rating_loss_is_the_squared_error():
    model, inputs = tiny_world.ranker(target="rating"), pairs(group=None)
    inputs["label"] = tf.constant([1.0, 2.0, 3.0, 4.0, 5.0, 3.5])
    expected = mean_squared_error(inputs["label"], model(inputs))
    assert float(model.compute_loss(inputs)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loss": "softmax"},
        {"target": "rating"},
        {"target": "rating", "loss": "huber"},
        {"target": "rating", "loss": "ordinal", "levels": [0.0, 1.0, 2.0]},
    ],
    ids=["log_loss", "softmax", "mse", "huber", "ordinal"],
)
def test_the_loss_is_the_same_under_a_strategy(settings):
    inputs, plain = pairs(group=3), randomized(only_ids("fm", 5, items=31, **settings))
    inputs["user_index"] = tf.ones_like(inputs["user_index"])
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        model = only_ids("fm", 5, items=31, **settings)
    model.set_weights(plain.get_weights())
    expected = float(plain.compute_loss(inputs, training=True))
    found = strategy.run(lambda: model.compute_loss(inputs, training=True))
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_group_losses_judge_each_users_items_together():
    model, inputs = tiny_world.ranker(loss="softmax"), pairs(group=4)
    inputs["label"] = tf.tile([[1.0, 0.0, 0.0, 0.0]], [6, 1])
    inputs["weight"] = tf.tile([[1.0, 1.0, 0.0, 1.0]], [6, 1])
    scores = model(inputs).numpy()[:, [0, 1, 3]].astype(np.float64)
    expected = np.mean(np.log(np.exp(scores).sum(axis=1)) - scores[:, 0])
    assert float(model.compute_loss(inputs)) == pytest.approx(expected, rel=1e-4)
    # A pair without company has nothing to be told from.
    single = {**inputs, **{name: inputs[name][:, 0] for name in ("item_index", "label", "weight")}}
    assert float(model.compute_loss(single)) == pytest.approx(0.0, abs=1e-6)


def test_ordinal_scores_are_expected_ratings():
    model, inputs = tiny_world.ranker(target="rating", loss="ordinal", levels=[1, 2, 5]), pairs(group=None)
    logits = model(inputs, is_raw=True).numpy()
    assert logits.shape == (6, 2)
    above = 1 / (1 + np.exp(-logits))
    # 1, and 1 more if above 1, and 3 more if above 2.
    np.testing.assert_allclose(model(inputs).numpy(), 1 + above[:, 0] + 3 * above[:, 1], rtol=1e-5)
    inputs["label"] = tf.constant([1.0, 2.0, 5.0, 1.0, 2.0, 5.0])
    chances = np.stack([1 - above[:, 0], above[:, 0] - above[:, 1], above[:, 1]], axis=1)
    expected = -np.log(chances[np.arange(6), [0, 1, 2, 0, 1, 2]]).mean()
    assert float(model.compute_loss(inputs)) == pytest.approx(expected, rel=1e-4)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(inputs)
    assert float(tf.reduce_min(tf.abs(tape.gradient(loss, model.thresholds.raw)))) > 0.0


def test_long_id_embeddings_cost():
    model, inputs = tiny_world.ranker(embedding_l2=0.5, dropout=0.0), pairs(group=2)
    plain = float(model.compute_loss(inputs))
    ids = (model.users.id_index.numpy()[inputs["user_index"]], model.items.id_index.numpy()[inputs["item_index"]])
    rows = [fields.ids.embeddings.numpy()[index] for fields, index in zip((model.user_fields, model.item_fields), ids)]
    expected = 0.5 * sum(np.square(row).sum(axis=-1).mean() for row in rows)
    model.id_dropout = 0.0
    assert float(model.compute_loss(inputs, training=True)) == pytest.approx(plain + expected, rel=1e-5)
    assert float(model.compute_loss(inputs)) == pytest.approx(plain)


@ALL
def test_context_counts_and_may_be_missing(name):
    model, inputs = randomized(with_context(name)), pairs()
    nothing = {
        "categorical": {"device": tf.zeros([6], tf.int32)},
        "multi_categorical": {"places": tf.zeros([6, 2], tf.int32)},
        "numbers": {"hour": tf.zeros([6, 2])},
    }
    missing = model(inputs).numpy()
    np.testing.assert_allclose(model({**inputs, "context": nothing}).numpy(), missing, rtol=1e-5, atol=1e-5)
    told = {
        "categorical": {"device": tf.constant([1, 2, 1, 2, 1, 2])},
        "multi_categorical": {"places": tf.tile([[1, 3]], [6, 1])},
        "numbers": {"hour": tf.ones([6, 2])},
    }
    found = model({**inputs, "context": told}).numpy()
    assert np.abs(found - missing).min(axis=1).min() > 1e-4
    # It belongs to the user, whose items all see the same.
    single = {**inputs, "context": told, "item_index": inputs["item_index"][:, 2]}
    np.testing.assert_allclose(model(single).numpy(), found[:, 2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["deepfm", "dcn", "bst"])
def test_mixed_precision_keeps_scores_in_float32(name):
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model, inputs = tiny_world.ranker(model=name, loss="softmax"), pairs()
        scores, loss = model(inputs), model.compute_loss(inputs, training=True)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert scores.dtype == loss.dtype == tf.float32 and np.isfinite(scores.numpy()).all()


@ALL
def test_shapes_that_are_not_known_beforehand(name):
    model, inputs = randomized(with_context(name)), pairs(group=3)
    given = {key: inputs[key] for key in ("user_index", "history", "item_index")}
    specs = {key: tf.TensorSpec([None] * value.shape.rank, value.dtype) for key, value in given.items()}
    # The length of a history is the model's own.
    specs["history"] = tf.TensorSpec([None, 5], tf.int32)
    call = tf.function(model.call, input_signature=[specs])
    np.testing.assert_allclose(call(given).numpy(), model(given).numpy(), rtol=1e-4, atol=1e-5)
