"""The factorisation machine against the sum over all pairs."""

from itertools import combinations

import numpy as np
import pytest

from tests import tiny_world
from tests.models.rankers.worlds import linear_part, one_pair, only_ids, pairs, randomized, side_by_side


def test_score_by_hand():
    # 10 + 0.5 - 0.25, and 1 * 3 + 2 * -1
    assert only_ids("fm")(one_pair()).numpy() == pytest.approx([10.25 + 1.0])


def test_score_is_the_sum_over_all_pairs_of_fields():
    model, inputs = randomized(tiny_world.ranker(model="fm")), pairs()
    parts = model._pairs(inputs, False, (), False, None)
    vectors, expected = side_by_side(parts), linear_part(model, parts)
    # item: id, category, tags, price, image, text, trend; user: id, country, age; the history: the former six
    assert vectors.shape == (18, 16, 4)
    for f, g in combinations(range(16), 2):
        expected += (vectors[:, f] * vectors[:, g]).sum(axis=1)
    np.testing.assert_allclose(model(inputs).numpy().ravel(), expected, rtol=1e-4, atol=1e-4)
