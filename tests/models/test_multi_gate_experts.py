"""Experts and gates against NumPy, and alone as what they are: plain layers."""

import numpy as np
import pytest
import tf_keras
from scipy.special import erf, softmax

from mmrec_tf.models.multi_gate_experts import MultiGateExperts
from mmrec_tf.models.towers import CandidateTower
from tests.layer_checks import check_layer

INPUTS = np.random.default_rng(3).normal(size=[7, 5]).astype(np.float32)


def gelu(x):
    return 0.5 * x * (1.0 + erf(x / np.sqrt(2.0)))


def test_passes_the_layer_checks(tmp_path):
    check_layer(
        lambda: MultiGateExperts(experts=3, units=4, tasks=["retrieval", "tags category"]),
        INPUTS,
        tmp_path,
        expected_shape={"retrieval": (7, 4), "tags category": (7, 4)},
    )


def test_mixtures_against_numpy():
    layer = MultiGateExperts(experts=3, units=4, tasks=["one", "other"])
    found = layer(INPUTS)
    layer.bias.assign(np.random.default_rng(4).normal(size=[3, 4]))
    found = layer(INPUTS)
    outputs = [gelu(INPUTS @ layer.kernel.numpy()[e] + layer.bias.numpy()[e]) for e in range(3)]
    for task in ("one", "other"):
        gates = softmax(INPUTS @ layer.gates[task].numpy(), axis=1)
        expected = sum(gates[:, e : e + 1] * outputs[e] for e in range(3))
        np.testing.assert_allclose(found[task].numpy(), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(found["one"] - found["other"]).max() > 0.01


def test_a_gate_by_hand():
    layer = MultiGateExperts(experts=2, units=1, tasks=["one", "other"])
    x = np.array([[1.0, 2.0]], np.float32)
    layer(x)
    layer.kernel.assign([[[0.0], [5.0]], [[0.0], [-5.0]]])
    # Far from zero gelu is its input, or nothing: the experts say 10 and 0.
    layer.gates["one"].assign([[0.0, 0.0], [0.0, 0.0]])
    # The logits 0 and log 3 weigh 1/4 and 3/4.
    layer.gates["other"].assign([[0.0, np.log(3.0)], [0.0, 0.0]])
    found = layer(x)
    np.testing.assert_allclose(found["one"].numpy(), [[5.0]], rtol=1e-6)
    np.testing.assert_allclose(found["other"].numpy(), [[2.5]], rtol=1e-6)


def test_experts_start_apart_and_as_large_as_a_dense_layer():
    layer = MultiGateExperts(experts=4, units=64, tasks=["one"])
    layer(np.zeros([1, 32], np.float32))
    kernel = layer.kernel.numpy()
    assert np.abs(kernel[0] - kernel[1]).max() > 0.05
    # Glorot: uniform in +-sqrt(6 / (32 + 64)) = +-0.25, so a deviation of 0.25 / sqrt(3) = 0.1443.
    np.testing.assert_allclose(kernel.std(axis=(1, 2)), 0.25 / np.sqrt(3), rtol=0.05)
    assert np.abs(kernel).max() <= 0.25


def test_only_what_is_asked_for_is_worked_out():
    layer = MultiGateExperts(experts=2, units=3, tasks=["one", "other"])
    assert list(layer(INPUTS, tasks=["other"])) == ["other"]
    # Every gate is there all the same, so that weights do not depend on what was asked first.
    assert sorted(layer.gates) == ["one", "other"] and len(layer.weights) == 4


def test_one_expert_is_a_dense_layer():
    layer, dense = MultiGateExperts(1, 4, ["one"]), tf_keras.layers.Dense(4, activation="gelu")
    dense(INPUTS)
    layer(INPUTS)
    layer.kernel.assign(dense.kernel.numpy()[None])
    np.testing.assert_allclose(layer(INPUTS)["one"].numpy(), dense(INPUTS).numpy(), rtol=1e-5, atol=1e-6)


def test_a_tower_with_experts_passes_the_layer_checks(tmp_path):
    check_layer(
        lambda: CandidateTower(dim=5, hidden=[6, 4], experts=3, tasks=["retrieval"]),
        {"item": INPUTS},
        tmp_path,
        expected_shape=(7, 5),
        has_float32_output=True,
    )


def test_a_tower_gates_its_place_for_retrieval_and_gives_others_their_mixture():
    tower = CandidateTower(dim=5, hidden=[6, 4], experts=3, tasks=["retrieval", "category"])
    place = tower({"item": INPUTS}).numpy()
    mixtures = {task: value.numpy() for task, value in tower.mixture(INPUTS).items()}
    np.testing.assert_allclose(tower({"item": INPUTS}, task="category").numpy(), mixtures["category"], rtol=1e-5)
    # The rest of the tower by hand: one more hidden layer, the projection, the shortcut, length 1.
    kernel, bias = tower.layers[0].get_weights()
    projection, offset = tower.project.get_weights()
    expected = gelu(mixtures["retrieval"] @ kernel + bias) @ projection + offset + INPUTS
    np.testing.assert_allclose(place, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-4, atol=1e-5)


def test_a_tower_without_experts_is_as_it_was():
    tower = CandidateTower(dim=5, hidden=[6, 4])
    place = tower({"item": INPUTS}).numpy()
    assert [weight.shape.as_list() for weight in tower.weights] == [[5, 6], [6], [6, 4], [4], [4, 5], [5]]
    # What another task reads is then the place itself.
    np.testing.assert_array_equal(tower({"item": INPUTS}, task="rating").numpy(), place)
    config = tower.get_config()
    for name in ("experts", "tasks"):
        del config[name]
    assert CandidateTower.from_config(config).experts == 0


def test_experts_need_a_layer_to_stand_for():
    with pytest.raises(ValueError, match="hidden must name its width"):
        CandidateTower(dim=5, hidden=[], experts=2)
