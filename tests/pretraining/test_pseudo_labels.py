"""Training on pseudo-labels: the loss by hand, views that agree, and what is drawn."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logsumexp

from mmrec_tf.config_pretraining import PseudoLabelsConfig
from mmrec_tf.pretraining.confident_pairs import ConfidentPairs
from mmrec_tf.pretraining.pseudo_labels import PseudoLabelsStage, WithPairs, pseudo_labels
from mmrec_tf.pretraining.stages import refine
from tests import tiny_world
from tests.pretraining.worlds import assert_same_weights, weights_of, world


def batch_of(rows=slice(0, 12)):
    batch = {name: tf.constant(array) for name, array in tiny_world.retrieval_batch(rows).items()}
    count = batch["item_index"].shape[0]
    random = np.random.default_rng(0)
    pairs = {
        "pair_user": batch["user_index"][::-1],
        "pair_history": batch["history"][::-1],
        "pair_item": tf.constant(random.integers(1, 28, count), tf.int32),
        "pair_confidence": tf.constant(random.uniform(0.8, 1.0, count), tf.float32),
        "any_item": tf.constant(random.integers(1, 31, count), tf.int32),
    }
    return {**batch, **pairs}


def test_loss_of_the_pairs_by_hand():
    model, batch = tiny_world.calm_two_tower(), batch_of()
    stage = PseudoLabelsStage(model, weight=0.5, consistency=0.0)
    values = stage(batch)
    queries = model.embed_query(batch["pair_user"], batch["pair_history"]).numpy()
    own = model.embed_candidate(batch["pair_item"]).numpy()
    others = model.embed_candidate(batch["item_index"]).numpy()
    index, history = batch["item_index"].numpy(), batch["pair_history"].numpy()
    chances = model.sampling_probabilities.numpy()[index]
    terms = []
    for row, item in enumerate(batch["pair_item"].numpy()):
        score = queries[row] @ own[row] / model.temperature
        # Neither the pair's own item nor what the user is known to like is a negative.
        free = (index != item) & ~np.isin(index, history[row])
        against = (queries[row] @ others[free].T) / model.temperature - np.log(len(index) * chances[free])
        terms.append(batch["pair_confidence"].numpy()[row] * (logsumexp([score, *against]) - score))
    assert float(values["pairs"]) == pytest.approx(np.mean(terms), rel=1e-4)
    inputs = {name: batch[name] for name in ("user_index", "history", "item_index")}
    assert float(values["retrieval"]) == pytest.approx(float(model.compute_loss(inputs)), rel=1e-5)
    assert float(values["loss"]) == pytest.approx(float(values["retrieval"]) + 0.5 * np.mean(terms), rel=1e-4)


def test_views_of_a_model_that_drops_nothing_agree():
    stage = PseudoLabelsStage(tiny_world.calm_two_tower())
    assert float(stage(batch_of(), training=True)["disagreement"]) == pytest.approx(0.0, abs=1e-6)
    dropping = PseudoLabelsStage(tiny_world.two_tower(dropout=0.5))
    assert float(dropping(batch_of(), training=True)["disagreement"]) > 0.01


def test_disagreement_is_the_symmetric_divergence_of_the_views_scores():
    from scipy.special import softmax
    from scipy.stats import entropy

    model = tiny_world.calm_two_tower()
    stage = PseudoLabelsStage(model)
    random = np.random.default_rng(1)
    one, other, items = (random.normal(size=[count, 3]).astype(np.float32) for count in (4, 4, 6))
    p, q = (softmax(view @ items.T / model.temperature, axis=1) for view in (one, other))
    expected = np.mean([0.5 * (entropy(a, b) + entropy(b, a)) for a, b in zip(p, q)])
    found = stage._symmetric([tf.constant(one), tf.constant(other)], tf.constant(items))
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_what_views_are_compared_with_stays_where_it_is():
    model = tiny_world.two_tower(dropout=0.5)
    stage, batch = PseudoLabelsStage(model), batch_of()
    candidates = tf.Variable(model.embed_candidate(batch["item_index"]))
    with tf.GradientTape() as tape:
        loss = stage.disagreement(batch, candidates, training=True)
    assert tape.gradient(loss, candidates) is None


def test_without_pairs_or_weights_nothing_is_asked():
    model = tiny_world.calm_two_tower()
    batch = {name: value for name, value in batch_of().items() if not name.startswith("pair")}
    values = PseudoLabelsStage(model, consistency=0.0, is_sure_of_any=False)(batch)
    assert float(values["loss"]) == float(values["retrieval"]) and float(values["pairs"]) == 0.0
    unsure = PseudoLabelsStage(model, is_sure_of_any=False)
    assert np.isfinite(float(unsure(batch, training=True)["disagreement"]))


def test_a_batch_of_one_is_finite():
    stage = PseudoLabelsStage(tiny_world.two_tower())
    values = stage(batch_of(slice(3, 4)), training=True)
    assert all(np.isfinite(float(value)) for value in values.values())


def test_pairs_and_items_are_drawn_evenly_and_row_by_row():
    pairs = ConfidentPairs(np.int32([3, 7]), np.int32([5, 9]), np.float32([0.8, 1.0]))
    add = WithPairs(pairs, np.int32([[0, 1], [2, 4]]), items=10)
    batch = add({"item_index": tf.zeros([4000], tf.int32), "seed": tf.constant([1, 2])})
    rows = {
        (int(user), int(item), float(round(confidence, 1)), tuple(history))
        for user, item, confidence, history in zip(
            batch["pair_user"].numpy(),
            batch["pair_item"].numpy(),
            batch["pair_confidence"].numpy().tolist(),
            batch["pair_history"].numpy().tolist(),
        )
    }
    assert rows == {(3, 5, 0.8, (0, 1)), (7, 9, 1.0, (2, 4))}
    # Half of 4000 draws, and a tenth of them, within four deviations (32 and 19).
    assert abs(np.sum(batch["pair_user"] == 3) - 2000) < 130
    counts = np.bincount(batch["any_item"], minlength=11)
    assert counts[0] == 0 and abs(counts[1:] - 400).max() < 80 and "seed" not in batch


def test_only_sure_pairs_of_those_with_few_interactions_are_added(tmp_path):
    model, prepared = world(tmp_path)
    options = PseudoLabelsConfig(few=4, k=3, views=4, confidence=0.75, batch_size=16)
    stage, batches, _ = pseudo_labels(model, prepared, options, seed=1)
    added = batches.change.columns
    train = prepared.sequences()
    interactions = {(int(user), int(item)) for user, item in zip(train.user_index, train.item_index)}
    of_user = np.bincount(train.user_index, minlength=21)
    of_item = np.bincount(train.item_index, minlength=31)
    assert stage.is_sure_of_any and len(added["pair_user"]) > 0
    for user, item, confidence in zip(added["pair_user"], added["pair_item"], added["pair_confidence"]):
        assert of_user[user] < 4 or of_item[item] < 4
        assert of_user[user] > 0 and (int(user), int(item)) not in interactions and float(confidence) >= 0.75
    # The histories are the users' own.
    np.testing.assert_array_equal(added["pair_history"], train.latest(added["pair_user"].numpy() - 1))


def test_a_harmful_stage_is_undone_and_a_helpful_one_kept(tmp_path):
    stage = {"stage": "pseudo_labels", "epochs": 1, "few": 100, "confidence": 0.1, "learning_rate": 0.01}
    stage["batch_size"] = 32
    for after, is_kept in ((0.4, False), (0.6, True)):
        model, prepared = world(tmp_path, stage)
        before = weights_of(model)
        scores = iter([0.5, after])
        result = refine(model, prepared, prepared.config, score=lambda scores=scores: next(scores))["pseudo_labels"]
        assert result.history["score"] == [0.5, after] and len(result.history["pairs"]) == 1
        if is_kept:
            assert any(np.abs(one - other).max() > 1e-4 for one, other in zip(before, weights_of(model)))
        else:
            assert_same_weights(weights_of(model), before)


@pytest.mark.slow
def test_without_a_judge_the_stage_is_kept(tmp_path):
    model, prepared = world(tmp_path, {"stage": "pseudo_labels", "epochs": 1, "learning_rate": 0.01})
    before = weights_of(model)
    assert "score" not in refine(model, prepared, prepared.config)["pseudo_labels"].history
    assert any(np.abs(one - other).max() > 1e-4 for one, other in zip(before, weights_of(model)))
