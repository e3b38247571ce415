"""Denoising: what is spoilt, what is asked for, and that restoring beats leaving things as they are."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_pretraining import DenoisingConfig
from mmrec_tf.errors import ConfigError
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.denoising import DenoisingStage, denoising
from mmrec_tf.pretraining.fitting import fit_stage
from tests.pretraining.worlds import items_of, linked, world

SEED = tf.constant([3, 4])
A, B = np.array([[1.0, 2.0], [0.5, -1.0]]), np.array([[3.0, 0.0], [2.0, 2.0]])


def stage_of(vectors, masks=None, **options):
    items, index = items_of(vectors, masks, kernel=np.concatenate([np.eye(2)] * len(vectors)))
    stage = DenoisingStage(items, **options)
    batch = {"item_index": index, "seed": SEED}
    stage(batch)
    for decoder in stage.decoders.values():
        decoder.kernel.assign(np.eye(2))
    return stage, batch


def test_loss_by_hand():
    # Nothing spoilt: the fused vector is a + b, so b is missed by |a|^2, of mean (5 + 1.25) / 2, and a by |b|^2.
    stage, batch = stage_of({"a": A, "b": B}, mask=0.0, noise=0.0)
    assert float(stage(batch)["loss"]) == pytest.approx((3.125 + 8.5) / 2)


def test_only_the_named_modalities_are_spoilt_and_restored():
    stage, batch = stage_of({"a": A, "b": B}, mask=0.0, noise=0.0, modalities=["b"])
    assert list(stage.decoders) == ["b"]
    assert float(stage(batch)["loss"]) == pytest.approx(3.125)


def test_absent_modalities_are_not_asked_for():
    # The second item lacks b, so its fused vector is a, of which nothing is missed; the first counts for both.
    stage, batch = stage_of({"a": A, "b": B}, {"a": [1, 1], "b": [1, 0]}, mask=0.0, noise=0.0)
    assert float(stage(batch)["loss"]) == pytest.approx((9.0 / 2 + 5.0) / 2)
    nothing, row = stage_of({"a": A, "b": B}, {"a": [0, 0], "b": [0, 0]})
    with tf.GradientTape() as tape:
        loss = nothing(row)["loss"]
    assert float(loss) == 0.0
    gradients = [g for g in tape.gradient(loss, nothing.trainable_variables) if g is not None]
    assert all(not gradient.numpy().any() for gradient in gradients)


def test_spoiling_masks_a_share_and_adds_noise_of_a_length():
    stage, _ = stage_of({"a": A}, mask=0.25, noise=0.5)
    ones = tf.ones([4000, 16])
    spoilt = stage.spoil(ones, SEED, draw=0).numpy()
    # A number is 0 with a chance of 0.25, so 0.75 on average; noise of mean square length 0.5^2 = 0.25 is added.
    assert spoilt.mean() == pytest.approx(0.75, abs=0.01)
    kept = stage.spoil(ones, SEED, draw=0).numpy()
    np.testing.assert_array_equal(kept, spoilt)
    quiet, _ = stage_of({"a": A}, mask=0.0, noise=0.5)
    noise = quiet.spoil(ones, SEED, draw=0).numpy() - 1.0
    assert np.mean(np.sum(noise**2, axis=1)) == pytest.approx(0.25, rel=0.03)
    mask_only, _ = stage_of({"a": A}, mask=0.25, noise=0.0)
    assert set(np.unique(mask_only.spoil(ones, SEED, draw=0))) == {0.0, 1.0}


def test_modalities_and_steps_are_spoilt_differently():
    stage, _ = stage_of({"a": A}, mask=0.5, noise=0.0)
    ones = tf.ones([50, 8])
    found = [stage.spoil(ones, *draws).numpy() for draws in ((SEED, 0), (SEED, 2), (SEED + [0, 1], 0))]
    assert all((found[one] != found[other]).mean() > 0.3 for one, other in ((0, 1), (0, 2), (1, 2)))


def test_a_batch_of_one_and_constant_vectors_are_fine():
    for vectors in ({"a": A[:1]}, {"a": np.zeros([3, 2])}, {"a": np.ones([3, 2])}):
        stage, batch = stage_of(vectors)
        assert np.isfinite(float(stage(batch)["loss"]))


def test_restoring_beats_what_came_in_on_items_it_was_not_trained_on():
    vectors = linked()
    items, index = items_of(vectors, dim=8)
    options = DenoisingConfig(mask=0.3, noise=0.7, epochs=40, batch_size=60, learning_rate=0.02)
    stage = DenoisingStage(items, options.mask, options.noise)
    fit_stage(stage, Batches({"item_index": index[:180]}, 60, 0), options, sources=[], seed=0)
    loss = float(stage({"item_index": index[180:], "seed": SEED})["loss"])
    spoilt = [stage.spoil(tf.constant(vectors[name][180:]), SEED, 2 * place) for place, name in enumerate("ab")]
    left = np.mean([np.mean(np.sum((s - vectors[name][180:]) ** 2, axis=1)) for s, name in zip(spoilt, "ab")])
    # A third of the length is masked and half of it added as noise: 0.3 + 0.49 as squares.
    assert left == pytest.approx(0.79, abs=0.12)
    assert loss < 0.4 * left


def test_the_stage_of_a_configuration(tmp_path):
    model, prepared = world(tmp_path)
    options = DenoisingConfig(modalities=["text"], mask=0.1, noise=0.4, batch_size=9)
    stage, batches, _ = denoising(model, prepared, options, seed=1)
    assert (list(stage.decoders), stage.mask, stage.noise, batches.batch_size) == (["text"], 0.1, 0.4, 9)
    any_of = prepared.items.masks["text"] | prepared.items.masks["image"]
    assert batches.arrays["item_index"].tolist() == np.flatnonzero(any_of).tolist()
    with pytest.raises(ConfigError, match="denoising.modalities names 'price'"):
        denoising(model, prepared, DenoisingConfig(modalities=["price"]), seed=1)
