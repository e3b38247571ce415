"""Multi-task training: what is summed, what is learned, and that what is served is the retrieval model as before."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

from mmrec_tf.config_tasks import TasksConfig
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.multi_task import MultiTask
from mmrec_tf.models.task_heads import CategoryHead
from mmrec_tf.serving.export import export_models
from mmrec_tf.training.fit import fit
from tests import tiny_world
from tests.multi_task_world import NAMES, first_batch, world


def moved(model):
    """The model away from its initial weights, so that biases say something too."""
    random = np.random.default_rng(6)
    for weight in model.trainable_weights:
        weight.assign_add(0.1 * random.normal(size=weight.shape).astype(np.float32))
    return model


def losses_by_hand(model, batch) -> dict[str, float]:
    """Each task's loss from what the towers and the fusion give, in NumPy and scikit-learn."""
    two_tower = model.two_tower
    known = two_tower.items.lookup(batch["item_index"])
    content = two_tower.items.fusion(known["vectors"], known["masks"])
    query = two_tower.embed_query(batch["rated_user_index"], batch["rated_history"])[:, : two_tower.dim]
    candidate = two_tower.embed_candidate(batch["rated_item_index"])[:, : two_tower.dim]
    if two_tower.candidate_tower.experts:
        content = two_tower.candidate_tower.mixture(content)
        history = two_tower.items(tf.reshape(batch["rated_history"], [-1]))
        history = tf.reshape(history, [*batch["rated_history"].shape, -1])
        user = {"user_index": batch["rated_user_index"], "history": batch["rated_history"], "history_items": history}
        query = {task: two_tower.query_tower(user, task=task) for task in ("rating", "sentiment")}
        candidate = two_tower.candidate_tower.mixture(two_tower.items(batch["rated_item_index"]))
    else:
        content, query, candidate = (dict.fromkeys(NAMES, value) for value in (content, query, candidate))

    def logits(name):
        score = model.heads[name].score
        return content[name].numpy() @ score.kernel.numpy() + score.bias.numpy()

    def paired(name):
        head = model.heads[name]
        q, c = query[name].numpy(), candidate[name].numpy()
        deep = head.score(head.deep(np.concatenate([q, c, q * c], axis=1))).numpy()[:, 0]
        users = two_tower.query_tower.lookup.id_index.numpy()[batch["rated_user_index"]]
        items = two_tower.items.lookup.id_index.numpy()[batch["rated_item_index"]]
        return deep + head.user_bias.embeddings.numpy()[users, 0] + head.item_bias.embeddings.numpy()[items, 0]

    has_content = known["masks"]["text"].numpy() | known["masks"]["image"].numpy()
    category, tags = known["categorical"]["category"].numpy(), known["multi_categorical"]["tags"].numpy()
    counted = has_content & (category > 0)
    chances = softmax(logits("category category"), axis=1)[counted]
    truth = np.array([[tag in row for tag in (1, 2)] for row in tags])
    chance = expit(logits("tags category"))
    tagged = has_content & (tags > 0).any(axis=1)
    label = batch["label"].numpy()
    rating = model.heads["rating"]
    return {
        "retrieval": float(two_tower.compute_loss(batch)),
        "category category": log_loss(category[counted] - 1, chances, labels=range(chances.shape[1])),
        "tags category": -np.where(truth, np.log(chance), np.log(1 - chance))[tagged].mean(),
        "rating": np.mean(np.square(paired("rating") - (label - rating.centre) / rating.scale)),
        "sentiment": log_loss(label >= 2.5, expit(paired("sentiment")), labels=[0, 1]),
    }


@pytest.mark.parametrize("experts", [0, 3])
def test_losses_and_their_sums_against_numpy(tmp_path, experts):
    prepared, _, model = world(tmp_path, weighting="fixed", experts=experts, calm=True)
    batch = first_batch(prepared)
    # What was met and not liked is scored as new in training and not when it is asked for; here nothing is.
    lookup = model.two_tower.items.lookup
    lookup.is_met.assign(lookup.id_index > 0)
    expected = losses_by_hand(moved(model), batch)
    weights = {"retrieval": 1.0, "category category": 0.5, "tags category": 0.25, "rating": 2.0, "sentiment": 4.0}
    total = sum(weight * expected[task] for task, weight in weights.items())
    for training in (False, True):
        assert float(model.compute_loss(batch, training=training)) == pytest.approx(total, rel=1e-4)
    shown = {metric.name: float(metric.result()) for metric in model.means.values()}
    assert shown == pytest.approx({f"{task} loss": value for task, value in expected.items()}, rel=1e-4)

    learned = MultiTask(model.two_tower, model.heads, weights, "uncertainty")
    # At the start the weights are those that were asked for; sum of s_t / 2, with exp(-s) = w, or 2 w for the rating.
    logs = -0.5 * np.log([1.0, 0.5, 0.25, 2.0 * 2.0, 4.0]).sum()
    assert float(learned.compute_loss(batch)) == pytest.approx(total + logs, rel=1e-4)


def test_compiled_by_xla_it_is_the_same(tmp_path):
    heads = [{"task": "category", "feature": "tags"}, "rating"]
    prepared, _, model = world(tmp_path, heads=heads, experts=3, calm=True)
    batch = first_batch(prepared)

    def loss_and_gradient():
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
        return loss, tape.gradient(loss, model.two_tower.items.fusion.trainable_variables)

    plain, compiled = loss_and_gradient(), tf.function(loss_and_gradient, jit_compile=True)()
    for one, other in zip(tf.nest.flatten(plain), tf.nest.flatten(compiled), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-3, atol=1e-5)


def test_every_weight_is_trained_and_the_category_head_reads_content_only(tmp_path):
    prepared, two_tower, model = world(tmp_path, experts=2)
    batch = first_batch(prepared)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    missing = [
        weight.name
        for weight, gradient in zip(model.trainable_weights, tape.gradient(loss, model.trainable_weights))
        if gradient is None
    ]
    assert missing == []
    with tf.GradientTape(persistent=True) as tape:
        read = model._read_items(batch, training=True)["category category"]
        loss, _ = model.heads["category category"].loss(read)
    items = two_tower.items
    assert tape.gradient(loss, [*items.ids.trainable_weights, *items.side.trainable_weights]) == [None] * 4
    assert all(gradient is not None for gradient in tape.gradient(loss, items.fusion.trainable_weights))


def test_history_shows_each_tasks_own_loss_and_the_weights_are_learned(tmp_path):
    prepared, _, model = world(tmp_path)
    before = {name: float(weight) for name, weight in model.balance.weights_by_task().items()}
    history = fit(model, prepared.multi_task_dataset(12), epochs=6, learning_rate=0.02, patience=6)
    assert set(history) == {"loss", *(f"{task} loss" for task in ["retrieval", *NAMES])}
    assert all(len(values) == 6 and np.isfinite(values).all() for values in history.values())
    for task in ("retrieval", "category category", "rating"):
        assert history[f"{task} loss"][-1] < history[f"{task} loss"][0]
    after = {name: float(weight) for name, weight in model.balance.weights_by_task().items()}
    assert all(abs(after[name] - before[name]) > 0.001 for name in before)


def content_accuracy(model, rows) -> float:
    """Share of the items whose category the head tells."""
    items = model.two_tower.items
    known = items.lookup(rows + 1)
    content = items.fusion(known["vectors"], known["masks"])
    found = np.argmax(model.heads["category"]({"content": content}).numpy(), axis=1) + 1
    return float((found == known["categorical"]["category"].numpy()).mean())


def test_a_category_head_teaches_the_content_to_tell_categories(tmp_path):
    head = {"task": "category", "feature": "category"}
    prepared, _, model = world(tmp_path, heads=[{**head, "weight": 1.0}], positive_from=None)
    fit(model, prepared.multi_task_dataset(12), epochs=25, learning_rate=0.02, patience=25)
    rows = np.arange(tiny_world.ITEMS)
    # The text, which six of seven items have, says the group, and the category is the group; a guess is right for 1/4.
    with_text = rows[prepared.items.masks["text"][rows + 1]]
    assert content_accuracy(model, with_text) > 0.9
    # Also of those that no interaction has been seen with.
    new = with_text[prepared.items.id_index[with_text + 1] == 0]
    assert len(new) > 1 and content_accuracy(model, new) == 1.0


def test_a_rating_head_beats_the_mean_on_what_it_has_not_seen(tmp_path):
    prepared, two_tower, model = world(tmp_path, heads=["rating"])
    fit(model, prepared.multi_task_dataset(12), epochs=30, learning_rate=0.02, patience=30)
    held = prepared.split.test
    users, items = prepared.rows(held)
    history = prepared.sequences().before_moment(users, prepared.times(held))
    index, item_index = (users + 1).astype(np.int32), (items + 1).astype(np.int32)
    read = {
        "query": two_tower.embed_query(tf.constant(index), tf.constant(history))[:, : two_tower.dim],
        "candidate": two_tower.embed_candidate(tf.constant(item_index))[:, : two_tower.dim],
        "user_id": prepared.users.id_index[index],
        "item_id": prepared.items.id_index[item_index],
    }
    label = held["stars"].to_numpy()
    error = np.sqrt(np.mean(np.square(model.heads["rating"](read).numpy() - label)))
    of_mean = np.sqrt(np.mean(np.square(prepared.split.train["stars"].mean() - label)))
    assert error < 0.75 * of_mean


def test_what_is_served_is_the_retrieval_model_with_its_experts(tmp_path):
    prepared, two_tower, model = world(tmp_path, heads=["rating"], experts=2)
    before = two_tower.candidate_embeddings()
    # Plain Keras, without the seconds that tracing takes.
    model.compile(optimizer=tf_keras.optimizers.Adam(0.02), run_eagerly=True)
    model.fit(prepared.multi_task_dataset(12), epochs=1, verbose=0)
    candidates = two_tower.candidate_embeddings()
    assert np.abs(candidates - before).max() > 1e-3
    two_tower.save_weights(str(tmp_path / "retrieval.weights.h5"))

    fresh = build_two_tower(prepared.config, prepared.users, prepared.items)
    fresh.load_weights(str(tmp_path / "retrieval.weights.h5"))
    np.testing.assert_allclose(fresh.candidate_embeddings(), candidates, atol=1e-6)
    batch = first_batch(prepared)
    query = two_tower(batch).numpy()
    np.testing.assert_allclose(fresh(batch).numpy(), query, atol=1e-6)
    np.testing.assert_allclose(model(batch).numpy(), query, atol=1e-6)

    engine = tiny_world.engine(fresh)
    path = export_models(engine, tmp_path / "export")["retrieval"]
    embedded = tf.saved_model.load(str(path)).signatures["embed_item"](item_id=tf.constant(["i3", "i28"]))
    np.testing.assert_allclose(embedded["embedding"].numpy(), candidates[[4, 29]], atol=1e-5)


def test_without_experts_weights_of_plain_retrieval_load(tmp_path):
    prepared, two_tower, _ = world(tmp_path)
    config = prepared.config.model_copy(update={"tasks": TasksConfig()})
    plain = build_two_tower(config, prepared.users, prepared.items)
    plain.save_weights(str(tmp_path / "plain.weights.h5"))
    two_tower.load_weights(str(tmp_path / "plain.weights.h5"))
    np.testing.assert_allclose(two_tower.candidate_embeddings(), plain.candidate_embeddings(), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains(tmp_path, policy):
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        heads = [{"task": "category", "feature": "category"}, "rating"]
        prepared, _, model = world(tmp_path, heads=heads, experts=2)
        history = fit(model, prepared.multi_task_dataset(12), epochs=8, learning_rate=0.02, patience=8)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert model.balance.log_variances.dtype == tf.float32
    assert all(np.isfinite(values).all() for values in history.values())
    assert history["category loss"][-1] < history["category loss"][0]


def test_config_round_trip_and_weights(tmp_path):
    prepared, _, model = world(tmp_path, experts=2, calm=True)
    copy = tf_keras.saving.deserialize_keras_object(
        json.loads(json.dumps(tf_keras.saving.serialize_keras_object(model)))
    )
    batch = first_batch(prepared)
    moved(model).save_weights(str(tmp_path / "all.weights.h5"))
    copy.load_weights(str(tmp_path / "all.weights.h5"))
    assert list(copy.heads) == NAMES and copy.heads["rating"].centre == model.heads["rating"].centre
    assert float(copy.compute_loss(batch)) == pytest.approx(float(model.compute_loss(batch)), rel=1e-5)


def test_heads_of_ones_own(tmp_path):
    # The class is of use without a configuration: any head under any name.
    two_tower = tiny_world.calm_two_tower()
    model = MultiTask(two_tower, {"shelf": CategoryHead("category", classes=4)}, weighting="fixed")
    batch = {name: tf.constant(array) for name, array in tiny_world.retrieval_batch(slice(0, 20)).items()}
    alone = float(two_tower.compute_loss(batch))
    assert float(model.compute_loss(batch)) == pytest.approx(alone + float(model.means["shelf"].result()), rel=1e-5)
    with pytest.raises(ValueError, match="weighting 'equal' is none. Allowed: uncertainty, fixed"):
        MultiTask(two_tower, {}, weighting="equal")
