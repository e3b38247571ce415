"""FinalMLP: gates, streams and how they meet, against NumPy."""

import numpy as np
import pytest

from mmrec_tf.errors import ConfigError
from mmrec_tf.models.rankers.finalmlp import FeatureGate
from tests import tiny_world
from tests.layer_checks import check_layer
from tests.models.rankers.worlds import linear_part, one_pair, only_ids, pairs, randomized, side_by_side

RANDOM = np.random.default_rng(0)
LIGHT, VALUES = (RANDOM.normal(size=shape).astype(np.float32) for shape in ([2, 3], [6, 5]))


def test_gate_passes_the_layer_checks(tmp_path):
    check_layer(lambda: FeatureGate(hidden=4), (LIGHT, VALUES), tmp_path, expected_shape=(6, 5))


def test_gate_by_hand():
    gate = FeatureGate(hidden=1)
    gate((LIGHT[:1, :1], VALUES[:2, :2]))
    gate.inner.set_weights([np.array([[2.0]]), np.array([-1.0])])
    gate.outer.set_weights([np.array([[np.log(3.0), -np.log(3.0)]]), np.zeros(2)])
    # The light 1 gives 2 - 1 = 1: the gates are 2 * 3/4 and 2 * 1/4, for both rows.
    found = gate((np.array([[1.0]], np.float32), np.array([[4.0, 4.0], [8.0, 8.0]], np.float32)))
    np.testing.assert_allclose(found, [[6.0, 2.0], [12.0, 4.0]], rtol=1e-6)


def test_gates_hide_nothing_at_the_start():
    np.testing.assert_allclose(FeatureGate()((LIGHT, VALUES)), VALUES, rtol=0.1)


def test_score_by_hand():
    model = only_ids("finalmlp", hidden=[2], heads=2)
    for gate in model.gates:
        gate.outer.set_weights([np.zeros_like(weight) for weight in gate.outer.get_weights()])
    # x = (3, -1, 1, 2). The first stream gives (3 + 1, 2), the second (-1, relu(-1)) -> (1, 0).
    first, second = np.zeros([4, 2]), np.zeros([4, 2])
    first[[0, 2], 0], first[3, 1] = 1.0, 1.0
    second[2, 0], second[1, 1] = 1.0, 1.0
    model.streams[0][0].set_weights([first, np.zeros(2)])
    model.streams[1][0].set_weights([second, np.zeros(2)])
    model.heads_of_streams[0].set_weights([np.array([[1.0], [1.0]])])
    model.heads_of_streams[1].set_weights([np.array([[10.0], [10.0]])])
    # Each head is one number of each stream: 4 * 5 * 1 and 2 * 7 * 0.
    model.meeting.assign([[[5.0]], [[7.0]]])
    assert model(one_pair()).numpy() == pytest.approx([10.25 + 6 + 10 + 20])


@pytest.mark.parametrize("second", [None, [8, 6]])
def test_score_against_numpy(second):
    settings = {"hidden": [10, 4], "second_hidden": second, "heads": 2}
    model, inputs = randomized(tiny_world.ranker(model="finalmlp", **settings)), pairs()
    parts = model._pairs(inputs, False, (), False, None)
    everything = side_by_side(parts).reshape(18, -1)
    items = 7 * model.dim
    outputs, expected = [], linear_part(model, parts)
    for k, light in enumerate((everything[:, items:], everything[:, :items])):
        inner, outer = model.gates[k].inner, model.gates[k].outer
        seen = np.maximum(light @ inner.kernel.numpy() + inner.bias.numpy(), 0.0)
        output = everything * 2.0 / (1.0 + np.exp(-(seen @ outer.kernel.numpy() + outer.bias.numpy())))
        for dense in model.streams[k]:
            output = np.maximum(output @ dense.kernel.numpy() + dense.bias.numpy(), 0.0)
        expected += (output @ model.heads_of_streams[k].kernel.numpy())[:, 0]
        outputs.append(np.split(output, 2, axis=1))
    for h in range(2):
        expected += np.sum((outputs[0][h] @ model.meeting.numpy()[h]) * outputs[1][h], axis=1)
    np.testing.assert_allclose(model(inputs).numpy().ravel(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": [4, 6], "heads": 4}, "heads is 4, which does not divide the last of hidden, 6"),
        ({"hidden": [4], "second_hidden": [3]}, "the last of second_hidden, 3. Choose one of 1, 3"),
        ({"hidden": []}, "Give the last of hidden one width or more"),
    ],
)
def test_refuses_widths_that_heads_do_not_share_out(settings, message):
    with pytest.raises(ConfigError, match=message):
        only_ids("finalmlp", **settings)
