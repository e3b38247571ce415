"""REINFORCE in the retrieval model: its loss against NumPy, who has made the log, what is rewarded, and a simulator."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from pydantic import ValidationError

from mmrec_tf.pretraining.stages import pretrained_two_tower
from tests import tiny_world
from tests.tiny_world import calm_two_tower, retrieval_batch


def tensors(batch) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array) for name, array in batch.items()}


def test_loss_against_numpy():
    loss = {"name": "reinforce", "top_k": 3, "cap": 1.5}
    model = calm_two_tower(temperature=0.2, negatives={"source": "full"}, loss=loss)
    shares = np.arange(1, 32) / np.arange(1, 32).sum()
    model.task.set_probabilities(shares)
    batch = retrieval_batch(slice(0, 20))
    batch["weight"] = np.arange(20, dtype=np.float32)
    queries, candidates = model(tensors(batch)).numpy(), model.candidate_embeddings()
    losses = []
    for query, own, history in zip(queries, batch["item_index"], batch["history"]):
        free = [item for item in range(1, 31) if item == own or item not in history]
        scores = np.exp(candidates @ query / 0.2)
        chance = scores[own] / scores[free].sum()
        losses.append(-min(chance / shares[own], 1.5) * 3 * (1 - chance) ** 2 * np.log(chance))
    expected = np.average(losses, weights=batch["weight"])
    assert float(model.compute_loss(tensors(batch), training=True)) == pytest.approx(expected, rel=1e-4)


def test_a_learned_policy_is_fitted_beside_and_comes_back_from_json():
    model = calm_two_tower(loss={"name": "reinforce", "behaviour": "learned"})
    with tf.GradientTape() as tape:
        loss = model.compute_loss(tensors(retrieval_batch(slice(0, 20))), training=True)
    gradient = tf.convert_to_tensor(tape.gradient(loss, model.task.judge.policy.items))
    assert np.abs(gradient.numpy()).max() > 0.0
    copy = tf_keras.saving.deserialize_keras_object(
        json.loads(json.dumps(tf_keras.saving.serialize_keras_object(model)))
    )
    copy.create_weights(tiny_world.HISTORY)
    copy.set_weights(model.get_weights())
    batch = tensors(retrieval_batch(slice(0, 20)))
    assert float(copy.compute_loss(batch)) == pytest.approx(float(model.compute_loss(batch)), rel=1e-5)


def test_the_log_counts_what_was_not_liked_too_and_labels_are_rewards(tmp_path):
    # In the order of the interactions: every third has one star and is no positive.
    stars = np.array([1.0, 4.0, 5.0] * 36)
    settings = {"loss": {"name": "reinforce", "rewards": "label"}, "trends": {"half_lives": []}}
    prepared = tiny_world.prepared(
        tmp_path,
        stars,
        positive_from=4.0,
        retrieval=settings,
        train={"batch_size": 16},
        split={"method": "leave_one_out"},
    )
    model, _ = pretrained_two_tower(prepared)
    _, items = prepared.rows(prepared.split.train)
    counts = np.maximum(np.bincount(items + 1, minlength=31), 0.5)
    np.testing.assert_allclose(np.exp(model.task.judge.policy.log_shares), counts / len(items), rtol=1e-5)
    positives = prepared.data.positives(prepared.split.train)
    rewards = {
        (user + 1, item + 1): star
        for (user, item), star in zip(np.stack(prepared.rows(positives), 1), positives["stars"])
    }
    for batch in prepared.retrieval_dataset().take(2):
        pairs = zip(batch["user_index"].numpy(), batch["item_index"].numpy(), batch["weight"].numpy())
        for user, item, weight in pairs:
            assert weight == rewards[user, item]


def test_rewards_need_labels_of_0_or_more():
    with pytest.raises(ValidationError, match="rewards label needs data.label"):
        tiny_world.config(retrieval={"loss": {"rewards": "label"}})
    with pytest.raises(ValidationError, match="no rewards below 0, which data.positive_from -1.0 lets in"):
        tiny_world.config(retrieval={"loss": {"rewards": "label"}}, data={"label": "stars", "positive_from": -1.0})


@pytest.mark.parametrize(("name", "best"), [("softmax", 3), ("reinforce", 8)])
def test_corrected_finds_the_best_item_of_a_skewed_log(name, best):
    # Strangers were shown item 3 in 80 % of cases and item 8 in 1 %; they liked these in 30 % and in 90 %.
    shown, liked = np.full(31, 0.19 / 28), np.full(31, 0.1)
    shown[[3, 8]], liked[[3, 8]] = (0.80, 0.01), (0.30, 0.90)
    options = {"name": name, "top_k": 1, "cap": 1000.0} if name == "reinforce" else {"name": name}
    model = calm_two_tower(negatives={"source": "full"}, loss=options, trends={"half_lives": []})
    model.task.set_probabilities(shown / shown[1:].sum())
    items = np.arange(1, 31, dtype=np.int32)
    # The log as it is on average: each item once, with how often it was shown and liked as its weight.
    batch = tensors(
        {
            "user_index": np.zeros(30, np.int32),
            "history": np.zeros([30, tiny_world.HISTORY], np.int32),
            "item_index": items,
            "weight": (shown * liked)[1:].astype(np.float32),
        }
    )
    model.compile(optimizer=tf_keras.optimizers.Adam(0.02))
    step = tf.function(model.train_step)
    for _ in range(100):
        step(batch)
    scores = model.candidate_embeddings()[1:] @ model(batch).numpy()[0]
    assert scores.argmax() + 1 == best
