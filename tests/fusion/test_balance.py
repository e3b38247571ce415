"""The penalty on modalities that dominate: by hand, and in training."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.config import FusionConfig
from mmrec_tf.fusion import build_fusion, fusion_names
from mmrec_tf.fusion.base import BALANCED_ROWS
from mmrec_tf.fusion.concat import ConcatFusion
from tests.fusion.by_hand import three_modalities


def concat_of(weight_a: float, weight_b: float) -> ConcatFusion:
    """A fusion that adds up two modalities of width 1, each times its weight; masks play no part."""
    fusion = ConcatFusion(dim=1)
    fusion({"a": tf.ones([1, 1]), "b": tf.ones([1, 1])}, {"a": tf.ones([1], bool), "b": tf.ones([1], bool)})
    fusion.mix.kernel.assign([[weight_a], [weight_b], [0.0], [0.0]])
    return fusion


def test_imbalance_by_hand():
    # Leaving out a changes row 0 by 3 * 1, leaving out b by 1 * 1: shares 3/4 and 1/4. Row 1 has one modality only.
    fusion = concat_of(3.0, 1.0)
    features = {"a": tf.constant([[1.0], [5.0]]), "b": tf.constant([[1.0], [5.0]])}
    masks = {"a": tf.constant([True, True]), "b": tf.constant([True, False])}
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert float(fusion.imbalance(features, masks)) == pytest.approx(np.log(2) - entropy, rel=1e-4)


@pytest.mark.parametrize(("weights", "expected"), [((2.0, 2.0), 0.0), ((5.0, 0.0), np.log(2))])
def test_imbalance_is_0_when_all_contribute_alike_and_log_n_when_one_does(weights, expected):
    features = {"a": tf.ones([4, 1]), "b": tf.ones([4, 1])}
    masks = {"a": tf.ones([4], bool), "b": tf.ones([4], bool)}
    assert float(concat_of(*weights).imbalance(features, masks)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("method", fusion_names())
def test_every_method_adds_its_imbalance_in_training_only(method):
    features, masks = three_modalities()
    tf_keras.utils.set_random_seed(3)
    fusion = build_fusion(FusionConfig(method=method, dim=8, modality_dropout=0.0, balance=2.0))
    fusion(features, masks)
    assert fusion.losses == []
    filled = {name: tf.where(masks[name][:, None], features[name], 0.0) for name in features}
    with tf.GradientTape() as tape:
        fusion(features, masks, training=True)
        loss = fusion.losses[0]
    assert float(loss) == pytest.approx(2.0 * float(fusion.imbalance(filled, masks)), rel=1e-4)
    gradients = [g for g in tape.gradient(loss, fusion.trainable_weights) if g is not None]
    assert gradients and all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)
    assert type(fusion).from_config(fusion.get_config()).balance == 2.0


def test_rows_without_modalities_and_single_modalities_count_for_nothing():
    features, masks = three_modalities()
    nothing = {name: np.zeros(6, bool) for name in masks}
    one = {**nothing, "text": np.ones(6, bool)}
    fusion = ConcatFusion(dim=4)
    fusion(features, masks)
    for given in (nothing, one):
        assert float(fusion.imbalance({name: tf.constant(f) for name, f in features.items()}, given)) == 0.0


def test_a_large_batch_is_looked_at_in_part_and_compiles():
    rows = 4 * BALANCED_ROWS
    features, masks = three_modalities(rows)
    fusion = ConcatFusion(dim=4, balance=1.0)
    fusion(features, masks)

    @tf.function(jit_compile=True)
    def penalty():
        fusion(features, masks, training=True)
        return tf.add_n(fusion.losses)

    whole = np.mean([float(fusion.imbalance(*part(features, masks, start))) for start in range(0, rows, BALANCED_ROWS)])
    assert float(penalty()) == pytest.approx(whole, rel=0.2)


def part(features, masks, start):
    rows = slice(start, start + BALANCED_ROWS)
    return ({name: tf.constant(values[rows]) for name, values in group.items()} for group in (features, masks))


def test_the_penalty_keeps_the_easy_modality_from_dominating():
    # Both modalities say the answer; a's numbers are ten times as large, so that a step on it goes a hundred times as
    # far.
    random = np.random.default_rng(0)
    target = random.normal(size=[128, 1]).astype(np.float32)
    features = {"a": 10 * target, "b": target + 0.1 * random.normal(size=[128, 1]).astype(np.float32)}
    masks = {"a": np.ones(128, bool), "b": np.ones(128, bool)}

    def imbalance_after(balance):
        tf_keras.utils.set_random_seed(5)
        fusion = ConcatFusion(dim=1, balance=balance)
        fusion(features, masks)
        optimizer = tf_keras.optimizers.SGD(0.001)
        for _ in range(300):
            with tf.GradientTape() as tape:
                fused = fusion(features, masks, training=True)
                loss = tf.reduce_mean(tf.square(fused - target)) + sum(fusion.losses)
            optimizer.minimize(loss, fusion.trainable_weights, tape=tape)
        error = float(tf.reduce_mean(tf.square(fusion(features, masks) - target)))
        tensors = {name: tf.constant(values) for name, values in features.items()}
        return float(fusion.imbalance(tensors, masks)), error

    (without, error_without), (with_penalty, error_with) = imbalance_after(0.0), imbalance_after(10.0)
    assert with_penalty < 0.5 * without
    assert error_with < 0.1 and error_without < 0.1
