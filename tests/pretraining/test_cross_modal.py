"""Cross-modal alignment inside the fused space: by hand, and where it has to bring modalities together."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_pretraining import CrossModalConfig
from mmrec_tf.errors import ConfigError
from mmrec_tf.fusion import fusion_names
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.cross_modal import CrossModalStage, cross_modal
from mmrec_tf.pretraining.fitting import fit_stage
from tests.pretraining.worlds import info_nce, items_of, linked, world

A = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 1.0]])
# No two rows of A + B are equal, which would be no negatives of each other.
B = np.array([[1.0, 0.0], [2.0, 2.0], [-1.0, 3.0]])
TEMPERATURE = 0.07


def summing(vectors, masks=None, **options):
    """A stage over a fusion that adds up what is present."""
    items, index = items_of(vectors, masks, kernel=np.concatenate([np.eye(2)] * len(vectors)))
    return CrossModalStage(items, **options), {"item_index": index}


def test_loss_by_hand():
    stage, batch = summing({"a": A, "b": B}, whole=False, keep=0.0)
    values = stage(batch)
    assert set(values) == {"loss", "alignment"}
    assert float(values["loss"]) == pytest.approx(info_nce(A, B, TEMPERATURE), rel=1e-4)


def test_whole_compares_each_modality_with_the_full_vector_too():
    stage, batch = summing({"a": A, "b": B}, keep=0.0)
    expected = np.mean([info_nce(*pair, TEMPERATURE) for pair in ((A, B), (A, A + B), (B, A + B))])
    assert float(stage(batch)["alignment"]) == pytest.approx(expected, rel=1e-4)


def test_keep_asks_for_every_modality_of_the_full_vector():
    stage, batch = summing({"a": A, "b": B}, whole=False, keep=0.5)
    stage(batch)
    for decoder in stage.decoders.values():
        decoder.kernel.assign(np.eye(2))
    # a + b is decoded as it is, so a is missed by b and b by a.
    expected = (np.mean(np.sum(B**2, axis=1)) + np.mean(np.sum(A**2, axis=1))) / 2
    values = stage(batch)
    assert float(values["reconstruction"]) == pytest.approx(expected, rel=1e-5)
    assert float(values["loss"]) == pytest.approx(float(values["alignment"]) + 0.5 * expected, rel=1e-5)


def test_only_the_named_pairs_are_aligned():
    C = A[::-1] + 0.5
    stage, batch = summing({"a": A, "b": B, "c": C}, pairs=[("c", "a")], whole=False, keep=0.0)
    assert float(stage(batch)["loss"]) == pytest.approx(info_nce(C, A, TEMPERATURE), rel=1e-4)
    every, _ = summing({"a": A, "b": B, "c": C}, whole=False, keep=0.0)
    expected = np.mean([info_nce(*pair, TEMPERATURE) for pair in ((A, B), (A, C), (B, C))])
    assert float(every(batch)["loss"]) == pytest.approx(expected, rel=1e-4)


def test_items_without_both_modalities_have_no_part():
    masks = {"a": [1, 1, 1, 0, 0], "b": [1, 1, 1, 1, 0]}
    padded = {"a": np.vstack([A, [[9, 9], [9, 9]]]), "b": np.vstack([B, [[7, 7], [7, 7]]])}
    stage, batch = summing(padded, masks, keep=0.0)
    without, rows = summing({"a": A, "b": B}, keep=0.0)
    assert float(stage(batch)["loss"]) == pytest.approx(float(without(rows)["loss"]), rel=1e-5)


@pytest.mark.parametrize("method", ["contrastive", "sigmoid", "triplet"])
@pytest.mark.parametrize(
    ("a", "b"), [(A[:1], B[:1]), (np.ones([3, 2]), B), (np.zeros([3, 2]), np.zeros([3, 2]))], ids=["one", "equal", "0"]
)
def test_odd_batches_have_finite_gradients(method, a, b):
    stage, batch = summing({"a": a, "b": b}, method=method)
    with tf.GradientTape() as tape:
        loss = stage(batch)["loss"]
    gradients = [g for g in tape.gradient(loss, stage.trainable_variables) if g is not None]
    assert np.isfinite(float(loss)) and gradients
    assert all(np.isfinite(gradient.numpy()).all() for gradient in gradients)


@pytest.mark.parametrize("method", ["contrastive", "sigmoid", "triplet"])
def test_an_item_twice_in_a_batch_is_not_pushed_away_from_itself(method):
    items, index = items_of({"a": A, "b": B}, kernel=np.concatenate([np.eye(2)] * 2))
    stage = CrossModalStage(items, method, whole=False, keep=0.0)
    stage({"item_index": index})
    twice = float(stage({"item_index": np.repeat(index[:1], 2)})["loss"])
    # Of one item alone nothing can be told apart.
    assert twice == pytest.approx(float(stage({"item_index": index[:1]})["loss"]), abs=1e-6)


def matched(items, vectors, rows):
    """Share of the items whose vector made of `a` alone is nearest to their own made of `b` alone."""
    there, none = tf.ones([len(rows)], tf.bool), tf.zeros([len(rows)], tf.bool)
    given = {name: tf.constant(values[rows]) for name, values in vectors.items()}
    one, other = (
        tf.math.l2_normalize(items.fusion(given, {"a": here, "b": elsewhere}), axis=1)
        for here, elsewhere in ((there, none), (none, there))
    )
    best = tf.argmax(tf.matmul(one, other, transpose_b=True), axis=1).numpy()
    return float(np.mean(best == np.arange(len(rows))))


@pytest.mark.parametrize(
    "method", ["contrastive", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sigmoid", "triplet"))]
)
def test_modalities_of_items_it_was_not_trained_on_find_each_other(method):
    vectors = linked()
    items, index = items_of(vectors, dim=8)
    new = np.arange(180, 240)
    before = matched(items, vectors, new)
    options = CrossModalConfig(method=method, epochs=30, batch_size=60, learning_rate=0.02)
    stage = CrossModalStage(items, method)
    fit_stage(stage, Batches({"item_index": index[:180]}, 60, 0), options, sources=[], seed=0)
    # Chance is one in sixty.
    assert before < 0.2 and matched(items, vectors, new) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("method", fusion_names())
def test_every_fusion_can_be_aligned(method):
    vectors = linked()
    items, index = items_of(vectors, dim=8, method=method)
    options = CrossModalConfig(epochs=30, batch_size=60, learning_rate=0.02)
    fit_stage(CrossModalStage(items), Batches({"item_index": index[:180]}, 60, 0), options, sources=[], seed=0)
    assert matched(items, vectors, np.arange(180, 240)) > 0.3


def test_the_stage_of_a_configuration(tmp_path):
    model, prepared = world(tmp_path)
    stage, batches, _ = cross_modal(model, prepared, CrossModalConfig(method="sigmoid", whole=False, keep=0), seed=1)
    assert stage.pairs == [("image", "text")] and len(stage.alignments) == 1 and not stage.decoders
    both = prepared.items.masks["text"] & prepared.items.masks["image"]
    assert batches.arrays["item_index"].tolist() == np.flatnonzero(both).tolist()
    with pytest.raises(ConfigError, match="cross_modal.pairs names 'sound'"):
        cross_modal(model, prepared, CrossModalConfig(pairs=[("text", "sound")]), seed=1)
