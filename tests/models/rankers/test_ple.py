"""PLE: its layers against NumPy, and what experts are good for where targets have nothing in common."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.rankers import ranker_class
from mmrec_tf.models.rankers.ple import ExtractionLayer
from tests import tiny_world
from tests.layer_checks import check_layer
from tests.models.rankers.worlds import linear_part, pairs, randomized, side_by_side, softmax

RANDOM = np.random.default_rng(0)
ROWS = {name: RANDOM.normal(size=[5, 3]).astype(np.float32) for name in ("click", "bought", "shared")}
TARGETS = ["click", "bought"]


def of_experts(inputs, weights):
    kernel, bias = (weight.numpy() for weight in weights)
    return np.maximum(np.einsum("bd,edu->beu", inputs, kernel) + bias, 0.0)


def by_hand(layer, inputs, shared):
    """The layer in NumPy: each target's mixture, and the shared one or None."""
    own = {name: of_experts(inputs[name], layer.own[name]) for name in layer.targets}
    common = of_experts(shared, layer.common)
    mixed = {
        name: np.einsum(
            "be,beu->bu",
            softmax(inputs[name] @ layer.gates[name].numpy()),
            np.concatenate([own[name], common], axis=1),
        )
        for name in layer.targets
    }
    if layer.is_last:
        return mixed, None
    every = np.concatenate([*own.values(), common], axis=1)
    return mixed, np.einsum("be,beu->bu", softmax(shared @ layer.common_gate.numpy()), every)


def test_passes_the_layer_checks(tmp_path):
    inputs = {name: ROWS[name] for name in TARGETS}
    layer = check_layer(
        lambda: ExtractionLayer(4, TARGETS, experts=2, own_experts=3),
        inputs,
        tmp_path,
        call_arguments={"shared": ROWS["shared"]},
        expected_shape=({"click": (5, 4), "bought": (5, 4)}, (5, 4)),
    )
    found, shared = layer(inputs, ROWS["shared"])
    expected, expected_shared = by_hand(layer, inputs, ROWS["shared"])
    np.testing.assert_allclose(shared, expected_shared, rtol=1e-4, atol=1e-5)
    for name in TARGETS:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_a_gate_that_is_sure_listens_to_one_expert():
    layer = ExtractionLayer(1, TARGETS, experts=1, own_experts=1, is_last=True)
    layer({name: np.ones([1, 1], np.float32) for name in TARGETS}, np.ones([1, 1], np.float32))
    for name, weight in (("click", 2.0), ("bought", 3.0)):
        layer.own[name][0].assign([[[weight]]])
    layer.common[0].assign([[[10.0]]])
    # Places: the own expert, then the shared one.
    layer.gates["click"].assign([[100.0, 0.0]])
    layer.gates["bought"].assign([[0.0, 100.0]])
    found, shared = layer({"click": tf.constant([[1.0]]), "bought": tf.constant([[1.0]])}, tf.constant([[0.5]]))
    assert (found["click"].numpy().tolist(), found["bought"].numpy().tolist(), shared) == ([[2.0]], [[5.0]], None)


def test_scores_are_linear_part_and_towers_over_the_last_layer():
    settings = {"hidden": [6, 5], "shared_layers": 2, "experts": 3, "own_experts": 2, "targets": {"bought": {}}}
    model = randomized(tiny_world.ranker(model="ple", **settings))
    inputs = pairs()
    parts = model._pairs(inputs, False, (), False, None)
    start = side_by_side(parts).reshape(18, -1)
    first, last = model.extraction
    assert (first.is_last, last.is_last) == (False, True)
    mixed, shared = by_hand(first, dict.fromkeys(TARGETS, start), start)
    mixed, _ = by_hand(last, mixed, shared)
    expected = {
        name: (mixed[name] @ tower.score.kernel.numpy() + tower.score.bias.numpy())[:, 0]
        for name, tower in model.towers.items()
    }
    linear = start @ np.concatenate([model.linear_of_item.kernel, model.linear_of_user.kernel])
    found = {name: value.numpy().ravel() for name, value in model.target_scores(inputs).items()}
    np.testing.assert_allclose(found["click"], linear_part(model, parts) + expected["click"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found["bought"], linear[:, 0] + expected["bought"], rtol=1e-3, atol=1e-3)


def loss_after_training(name: str, steps: int = 100, size: int = 24, **settings) -> float:
    """Two targets of users and items that follow tastes which have nothing to do with each other, learned together."""
    tf_keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    one, other = ((random.normal(size=[size, 2]) @ random.normal(size=[2, size])).ravel() > 0 for _ in range(2))
    lookups = [FeatureLookup(shapes={}, size=n, id_vocabulary_size=n, vocabulary_sizes={}) for n in [size + 1] * 2]
    for lookup in lookups:
        lookup.id_index.assign(range(size + 1))
    model = ranker_class(name)(*lookups, dim=6, targets={"other": {}}, weighting="fixed", **settings)
    model.create_weights(0)
    ones = tf.ones([size * size])
    examples = {
        "user_index": tf.repeat(tf.range(1, size + 1), size),
        "item_index": tf.tile(tf.range(1, size + 1), [size]),
        "history": tf.zeros([size * size, 0], tf.int32),
        "label": tf.constant(one, tf.float32),
        "weight": ones,
        "targets": {"other": {"label": tf.constant(other, tf.float32), "weight": ones}},
    }
    optimizer = tf_keras.optimizers.Adam(0.02)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = model.compute_loss(examples, training=True)
        optimizer.minimize(loss, model.trainable_variables, tape=tape)
        return loss

    return float([step() for _ in range(steps)][-1])


def test_targets_that_disagree_are_learned_by_experts_and_not_by_one_bottom_of_their_width():
    bottom = loss_after_training("shared_bottom", hidden=[6])
    assert loss_after_training("mmoe", hidden=[6], experts=3) < 0.5 * bottom
    assert loss_after_training("ple", hidden=[6], experts=1, own_experts=1) < 0.5 * bottom
