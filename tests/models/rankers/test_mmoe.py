"""MMoE: its mixtures against NumPy. What they are good for is in test_ple."""

import numpy as np
from scipy.special import ndtr

from tests import tiny_world
from tests.models.rankers.worlds import linear_part, pairs, randomized, side_by_side, softmax


def test_scores_are_linear_part_and_towers_over_each_targets_mixture():
    model = randomized(tiny_world.ranker(model="mmoe", hidden=[6], experts=3, targets={"bought": {}}))
    inputs = pairs()
    parts = model._pairs(inputs, False, (), False, None)
    start = side_by_side(parts).reshape(18, -1)
    before = np.einsum("bd,edu->beu", start, model.mixture.kernel.numpy()) + model.mixture.bias.numpy()
    experts = before * ndtr(before)
    expected = {}
    for name, tower in model.towers.items():
        shares = softmax(start @ model.mixture.gates[name].numpy())
        mixed = np.einsum("be,beu->bu", shares, experts)
        expected[name] = (mixed @ tower.score.kernel.numpy() + tower.score.bias.numpy())[:, 0]
    linear = start @ np.concatenate([model.linear_of_item.kernel, model.linear_of_user.kernel])
    found = {name: value.numpy().ravel() for name, value in model.target_scores(inputs).items()}
    np.testing.assert_allclose(found["click"], linear_part(model, parts) + expected["click"], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found["bought"], linear[:, 0] + expected["bought"], rtol=1e-3, atol=1e-3)
