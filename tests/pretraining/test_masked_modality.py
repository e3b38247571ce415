"""Masked-modality modelling: by hand, on rows that have nothing to hide, and where it has to learn."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.config_pretraining import MaskedModalityConfig
from mmrec_tf.errors import ConfigError
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.fitting import fit_stage
from mmrec_tf.pretraining.masked_modality import MaskedModalityStage, masked_modality
from mmrec_tf.pretraining.views import choose_one
from tests import tiny_world
from tests.pretraining.worlds import info_nce, items_of, linked, world

SEED = tf.constant([3, 4])
SUM = np.concatenate([np.eye(2), np.eye(2)])
A, B = [[1.0, 2.0], [0.5, -1.0], [3.0, 1.0]], [[1.0, 0.0], [2.0, 2.0], [-1.0, 1.0]]


def stage_of(vectors, masks=None, **options):
    """A stage whose fused vector is the sum of the modalities that are left, and whose decoders give that back."""
    items, index = items_of(vectors, masks, kernel=np.concatenate([np.eye(2)] * len(vectors)))
    stage = MaskedModalityStage(items, **options)
    batch = {"item_index": index, "seed": SEED}
    stage(batch)
    for decoder in stage.decoders.values():
        decoder.kernel.assign(np.eye(2))
    return stage, batch


def hidden(masks):
    return {name: mask.numpy() for name, mask in choose_one(masks, SEED, 0).items()}


def test_regression_by_hand():
    stage, batch = stage_of({"a": A, "b": B}, objective="regression")
    # What is left of a two-modality item is the other one, which the identity predicts the hidden one to be. The
    # squared distances of the rows: |(0, 2)|^2 = 4, |(1.5, 3)|^2 = 11.25, |(-4, 0)|^2 = 16.
    distances = np.array([4.0, 11.25, 16.0])
    hides_a = hidden({name: tf.ones([3], tf.bool) for name in "ab"})["a"]
    assert 0 < hides_a.sum() < 3
    expected = (distances[hides_a].mean() + distances[~hides_a].mean()) / 2
    assert float(stage(batch)["loss"]) == pytest.approx(expected, rel=1e-6)


def test_contrast_is_among_the_items_that_hide_the_same_modality():
    vectors = {name: np.random.default_rng(place).normal(size=[12, 2]) for place, name in enumerate("ab")}
    stage, batch = stage_of(vectors, temperature=0.5)
    hides_a = hidden({name: tf.ones([12], tf.bool) for name in "ab"})["a"]
    losses = [
        info_nce(vectors["b"][hides_a], vectors["a"][hides_a], 0.5),
        info_nce(vectors["a"][~hides_a], vectors["b"][~hides_a], 0.5),
    ]
    assert float(stage(batch)["loss"]) == pytest.approx(np.mean(losses), rel=1e-4)


@pytest.mark.parametrize("objective", ["contrastive", "regression"])
def test_rows_without_two_modalities_are_no_question(objective):
    masks = {"a": [True, True, False], "b": [True, False, False]}
    both, batch = stage_of({"a": A, "b": B}, masks, objective=objective)
    alone, first = stage_of({"a": A[:1], "b": B[:1]}, objective=objective)
    # The draws of the first row are those of a batch of one: stateless numbers are drawn in order.
    batch = {**batch, "item_index": tf.constant(batch["item_index"])}
    with tf.GradientTape() as tape:
        loss = both(batch)["loss"]
    gradients = [g for g in tape.gradient(loss, both.trainable_variables) if g is not None]
    assert all(np.isfinite(gradient.numpy()).all() for gradient in gradients)
    # (1, 2) and (1, 0) differ by 4, and one of the two modalities asks.
    assert float(loss) == pytest.approx(2.0 if objective == "regression" else 0.0)
    assert np.isfinite(float(alone(first)["loss"]))


def test_values_of_absent_modalities_have_no_influence():
    items, index = items_of({"a": A, "b": B}, {"a": [1, 1, 0], "b": [1, 1, 1]})
    stage = MaskedModalityStage(items, objective="regression")
    batch = {"item_index": index, "seed": SEED}
    before = float(stage(batch)["loss"])
    table = items.lookup.tables["vectors"]["a"]
    table.assign(tf.tensor_scatter_nd_update(table, [[3]], [[np.nan, np.inf]]))
    assert float(stage(batch)["loss"]) == before


@pytest.mark.parametrize("objective", ["contrastive", "regression"])
def test_constant_vectors_give_a_finite_loss(objective):
    stage, batch = stage_of({"a": [[1.0, 0.0]] * 4, "b": [[0.0, 0.0]] * 4}, objective=objective)
    with tf.GradientTape() as tape:
        loss = stage(batch)["loss"]
    gradients = [g for g in tape.gradient(loss, stage.trainable_variables) if g is not None]
    assert np.isfinite(float(loss)) and all(np.isfinite(gradient.numpy()).all() for gradient in gradients)
    # Equal vectors are no negatives of each other, so nothing is left to be told apart.
    assert objective == "regression" or float(loss) == pytest.approx(0.0, abs=1e-6)


def test_hiding_more_always_leaves_one():
    vectors = {name: np.random.default_rng(place).normal(size=[200, 2]) for place, name in enumerate("abc")}
    stage, batch = stage_of(vectors, objective="regression", hide=0.9)
    seen = []
    stage.fuse = lambda given, masks: seen.append(masks) or tf.zeros([200, 2])
    stage(batch)
    left = np.stack([mask.numpy() for mask in seen[0].values()], axis=1).sum(axis=1)
    # One of three is hidden; of the two others the second goes with a chance of 0.9.
    assert set(left) == {1, 2} and 0.02 < (left == 2).mean() < 0.25


def test_it_learns_to_tell_the_hidden_from_the_rest_on_items_it_was_not_trained_on():
    items, index = items_of(linked(), dim=8)
    options = MaskedModalityConfig(objective="regression", epochs=30, batch_size=60, learning_rate=0.02)
    stage = MaskedModalityStage(items, options.objective)
    fit_stage(stage, Batches({"item_index": index[:180]}, 60, 0), options, sources=[], seed=0)
    loss = float(stage({"item_index": index[180:], "seed": SEED})["loss"])
    # Vectors have a mean square length of 1, so a loss of 1 is that of predicting the mean.
    assert loss < 0.2


def test_contrast_finds_the_hidden_vector_among_others():
    vectors = linked()
    items, index = items_of(vectors, dim=8)
    options = MaskedModalityConfig(epochs=30, batch_size=60, learning_rate=0.02)
    stage = MaskedModalityStage(items)

    def found():
        new = index[180:]
        fused = stage.fuse({name: tf.constant(rows[180:]) for name, rows in vectors.items()}, MASKS)
        predicted = tf.math.l2_normalize(stage.decoders["b"](fused), axis=1)
        best = tf.argmax(tf.matmul(predicted, tf.math.l2_normalize(vectors["b"][180:], axis=1), transpose_b=True), 1)
        return float(np.mean(best.numpy() == np.arange(len(new))))

    MASKS = {"a": tf.ones([60], tf.bool), "b": tf.zeros([60], tf.bool)}
    before = found()
    fit_stage(stage, Batches({"item_index": index[:180]}, 60, 0), options, sources=[], seed=0)
    # Chance is one in sixty.
    assert before < 0.2 and found() > 0.6


def test_the_stage_of_a_configuration(tmp_path):
    model, prepared = world(tmp_path)
    tf_keras.utils.set_random_seed(0)
    options = MaskedModalityConfig(objective="regression", hide=0.2, batch_size=7)
    stage, batches, sources = masked_modality(model, prepared, options, seed=1)
    text, image = (tiny_world.modalities()[name][1] for name in ("text", "image"))
    assert batches.arrays["item_index"].tolist() == (np.flatnonzero(text & image) + 1).tolist()
    assert (batches.batch_size, stage.compare, stage.hide) == (7, None, 0.2)
    assert any(np.array_equal(array, prepared.items.vectors["text"]) for array in sources)
    # The model's own fusion, and heads that are thrown away.
    assert stage.fusion is model.items.fusion


def test_one_modality_is_not_enough(tmp_path):
    model, prepared = world(tmp_path)
    del prepared.items.masks["text"]
    with pytest.raises(ConfigError, match="masked_modality needs 2"):
        masked_modality(model, prepared, MaskedModalityConfig(), seed=1)
