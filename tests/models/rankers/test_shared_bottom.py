"""Shared bottom: its network against NumPy."""

import numpy as np

from tests import tiny_world
from tests.models.rankers.worlds import linear_part, pairs, randomized, side_by_side


def test_scores_are_linear_part_and_towers_over_one_bottom():
    model = randomized(
        tiny_world.ranker(
            model="shared_bottom", hidden=[7, 6, 5], shared_layers=2, targets={"stars": {"kind": "rating"}}
        )
    )
    model.start_from({"stars": (3.0, 2.0)})
    inputs = pairs()
    parts = model._pairs(inputs, False, (), False, None)
    start = side_by_side(parts).reshape(18, -1)
    kernel = np.concatenate([model.first_of_item.kernel, model.first_of_user.kernel])
    shared = np.maximum(start @ kernel + model.first_of_user.bias.numpy(), 0.0)
    (second,) = model.shared
    shared = np.maximum(shared @ second.kernel.numpy() + second.bias.numpy(), 0.0)
    expected = {}
    for name, tower in model.towers.items():
        (layer,) = tower.layers
        hidden = np.maximum(shared @ layer.kernel.numpy() + layer.bias.numpy(), 0.0)
        expected[name] = (hidden @ tower.score.kernel.numpy() + tower.score.bias.numpy())[:, 0]
    linear = start @ np.concatenate([model.linear_of_item.kernel, model.linear_of_user.kernel])
    found = {name: value.numpy().ravel() for name, value in model.target_scores(inputs).items()}
    np.testing.assert_allclose(found["click"], linear_part(model, parts) + expected["click"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found["stars"], 3 + 2 * (linear[:, 0] + expected["stars"]), rtol=1e-3, atol=1e-3)
