"""The tuning model: its loss by hand, its gradients, its step."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_encoders import TuningConfig
from mmrec_tf.encoders.tuning import plan_tuning
from mmrec_tf.encoders.tuning.sentence_bert import SentenceBertEncoder
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.training.encoder_tuning import EncoderTuning
from mmrec_tf.training.layerwise_adam import LayerwiseAdam
from mmrec_tf.training.tuning_data import TuningData

FEATURE = "tale"


def model_of(tales, mode="full", **options) -> EncoderTuning:
    encoder = SentenceBertEncoder(tales.config.encoders[FEATURE].path, 8, adapter="lora" if mode == "adapter" else None)
    retrieval = build_two_tower(tales.config, tales.users, tales.items, tales.sequences().item_index)
    # Ids are hidden at random in training; not here, where losses are compared.
    retrieval.items.id_dropout = retrieval.query_tower.id_dropout = 0.0
    plan = plan_tuning(encoder, TuningConfig(mode=mode))
    constants = tales.items.centres[FEATURE], tales.items.scales[FEATURE]
    model = EncoderTuning(retrieval, plan, FEATURE, *constants, **options)
    model.compile(optimizer=LayerwiseAdam(0.01, plan.rates))
    return model


def batch_of(tales, model, size=8, **options):
    data = TuningData(tales, FEATURE, model.encode.encoder, seed=1, **options)
    return next(iter(data.examples(size)))


def test_live_vectors_are_the_stored_ones_until_something_is_learned(tales):
    model = model_of(tales)
    batch = batch_of(tales, model)
    stored = tales.items.vectors[FEATURE][batch["item_index"]]
    np.testing.assert_allclose(model.vectors(batch["content"]), stored, atol=1e-4)


def test_the_loss_by_hand(tales):
    model = model_of(tales)
    retrieval = model.retrieval
    data = TuningData(tales, FEATURE, model.encode.encoder, seed=1)
    batch = next(iter(data.examples(40)))
    item_index, users = batch["item_index"].numpy(), batch["user_index"].numpy()
    # The third item is the first once more, with its other users.
    item_index[2] = item_index[0]
    content = {name: tf.gather(value, [0, 1, 0, *range(3, 40)]) for name, value in batch["content"].items()}
    is_known = data._is_known(users, item_index)
    batch = {**batch, "item_index": tf.constant(item_index), "content": content, "is_known": is_known}
    histories = batch["history"].numpy()
    queries = retrieval.query_embeddings(users.ravel(), histories.reshape(-1, histories.shape[-1]))[:, : retrieval.dim]
    # As if no id were known: an item is what its stored vector, which is the live one, says.
    known_ids = retrieval.items.lookup.id_index.numpy()
    retrieval.items.lookup.id_index.assign(np.zeros_like(known_ids))
    catalogue = retrieval.candidate_embeddings()[:, : retrieval.dim]
    retrieval.items.lookup.id_index.assign(known_ids)
    chosen = tales.sequences()
    losses, left_out = [], 0
    for query, user, own in zip(queries, users.ravel(), np.repeat(item_index, users.shape[1])):
        known = set(chosen.item_index[chosen.user_index == user])
        # The users of the third item need not know the first, which is now their own.
        candidates = [item for item in item_index if item not in known | {own}] + [own]
        left_out += len(item_index) + 1 - len(candidates)
        scores = catalogue[candidates] @ query / retrieval.temperature
        losses.append(np.log(np.exp(scores).sum()) - scores[-1])
    # Of 240 tales each user chose 18, so of 40 about 3, its own among them.
    assert left_out > 1.5 * len(losses)
    np.testing.assert_allclose(model.compute_loss(batch), np.mean(losses), rtol=1e-4)


def test_gradients_reach_the_encoder_and_nothing_else_moves(tales):
    model = model_of(tales, mode="adapter")
    encoder, retrieval = model.encode.encoder, model.retrieval
    learn = {id(weight) for weight in model.trainable_weights}
    assert learn == {id(weight) for weight in encoder.weights if "lora" in weight.name}
    frozen = [weight for weight in [*encoder.weights, *retrieval.trainable_weights] if id(weight) not in learn]
    before = [weight.numpy() for weight in frozen]
    started = [weight.numpy() for weight in model.trainable_weights]
    batch = batch_of(tales, model)
    for _ in range(2):
        model.train_step(batch)
    for weight, value in zip(frozen, before):
        np.testing.assert_array_equal(weight.numpy(), value, err_msg=weight.name)
    # After the first step the second matrix is no longer zero, so that the first one learns too.
    assert all(np.any(weight.numpy() != value) for weight, value in zip(model.trainable_weights, started))


def test_gradients_are_added_up_over_parts(tales):
    whole, parts = model_of(tales), model_of(tales, accumulate=2)
    parts.retrieval.set_weights(whole.retrieval.get_weights())
    batch = batch_of(tales, whole)
    halves = []
    for half in (slice(0, 4), slice(4, 8)):
        taken = tf.nest.map_structure(lambda value, half=half: value[half], batch)
        halves.append({**taken, "is_known": taken["is_known"][:, :, half]})
    results = [whole._gradients(half) for half in halves]
    loss, gradients = tf.function(parts._added_up)(batch)
    np.testing.assert_allclose(loss, np.mean([found for found, _ in results]), rtol=1e-5)
    for found, first, second in zip(gradients, results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(found, (first + second) / 2, rtol=1e-3, atol=3e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_step_compiles(tales, accumulate):
    model = model_of(tales, mode="adapter", accumulate=accumulate)
    model.compile(optimizer=LayerwiseAdam(0.01, [1.0] * len(model.trainable_weights)), jit_compile=True)
    data = TuningData(tales, FEATURE, model.encode.encoder, seed=1, static_shape=True)
    losses = model.fit(data.examples(16), epochs=2, steps_per_epoch=4, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses)) and losses[1] < losses[0]
