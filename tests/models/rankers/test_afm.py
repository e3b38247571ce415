"""AFM: its attention over pairs of fields against NumPy."""

from itertools import combinations

import numpy as np
import pytest

from mmrec_tf.models.rankers.afm import PairAttention
from tests import tiny_world
from tests.layer_checks import check_layer
from tests.models.rankers.worlds import linear_part, one_pair, only_ids, pairs, randomized, side_by_side, softmax

FIELDS = np.random.default_rng(0).normal(size=[3, 4, 5]).astype(np.float32)


def test_passes_the_layer_checks(tmp_path):
    check_layer(lambda: PairAttention(width=3), FIELDS, tmp_path, expected_shape=(3, 5))


def test_attention_by_hand():
    attention = PairAttention(width=1)
    attention(FIELDS[:1, :3, :1])
    attention.look.set_weights([np.array([[1.0]]), np.array([0.0])])
    attention.judge.set_weights([np.array([[np.log(2.0)]])])
    # Fields 1, 2 and -3: products 2, -3, -6, of which relu leaves 2, 0, 0: weights 4/6, 1/6, 1/6.
    found = attention(np.array([[[1.0], [2.0], [-3.0]]], np.float32))
    assert found.numpy() == pytest.approx(np.array([[(4 * 2 - 3 - 6) / 6]]), abs=1e-6)


def test_score_by_hand():
    model = only_ids("afm")
    model.head.set_weights([np.array([[1.0], [10.0]])])
    # One pair of fields has all the weight: (3 * 1, -1 * 2).
    assert model(one_pair()).numpy() == pytest.approx([10.25 + 3 - 20])


def test_score_against_numpy():
    model, inputs = randomized(tiny_world.ranker(model="afm", attention_width=3)), pairs()
    parts = model._pairs(inputs, False, (), False, None)
    vectors = side_by_side(parts)
    products = np.stack([vectors[:, f] * vectors[:, g] for f, g in combinations(range(22), 2)], axis=1)
    look, judge = model.attention.look, model.attention.judge
    seen = np.maximum(products @ look.kernel.numpy() + look.bias.numpy(), 0.0)
    weights = softmax((seen @ judge.kernel.numpy())[..., 0])
    pooled = np.einsum("rp,rpd->rd", weights, products)
    expected = linear_part(model, parts) + (pooled @ model.head.kernel.numpy())[:, 0]
    np.testing.assert_allclose(model(inputs).numpy().ravel(), expected, rtol=1e-3, atol=1e-4)
