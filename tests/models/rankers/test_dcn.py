"""DCN v2: its crosses against NumPy."""

import numpy as np
import pytest

from mmrec_tf.models.rankers.dcn import CrossNetwork
from tests import tiny_world
from tests.layer_checks import check_layer
from tests.models.rankers.worlds import linear_part, of_deep, one_pair, only_ids, pairs, randomized, side_by_side

ROWS = np.random.default_rng(0).normal(size=[3, 8]).astype(np.float32)


@pytest.mark.parametrize("rank", [None, 4])
def test_passes_the_layer_checks(rank, tmp_path):
    check_layer(lambda: CrossNetwork(layers=2, rank=rank), ROWS, tmp_path, expected_shape=(3, 8))


def test_cross_by_hand():
    # Width 2 has no room for a lower rank than that of the full matrix.
    cross = CrossNetwork(layers=2)
    cross(np.zeros([1, 2], np.float32))
    for layer in cross.crosses:
        layer.set_weights([np.array([[1.0, 0.0], [2.0, 1.0]]), np.array([0.5, 0.0])])
    # x0 = (1, 2): W'x0 + b = (1 + 4 + 0.5, 2) -> x1 = (1 * 5.5 + 1, 2 * 2 + 2) = (6.5, 6)
    # W'x1 + b = (6.5 + 12 + 0.5, 6) -> x2 = (19 + 6.5, 2 * 6 + 6)
    assert cross(np.array([[1.0, 2.0]], np.float32)).numpy().tolist() == [[25.5, 18.0]]


def test_low_rank_is_the_product_of_two_matrices():
    cross = CrossNetwork(layers=1, rank=3)
    found = cross(ROWS)
    down, up, bias = cross.crosses[0].get_weights()
    assert (down.shape, up.shape) == ((8, 3), (3, 8))
    np.testing.assert_allclose(found, ROWS * (ROWS @ down @ up + bias) + ROWS, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rank", "matrices"), [(None, (8, 2)), (4, (8, 8)), (100, (8, 8))])
def test_rank_is_a_quarter_of_the_width_or_as_asked(rank, matrices):
    cross = CrossNetwork(layers=1, rank=rank)
    cross(ROWS)
    assert cross.crosses[0].get_weights()[0].shape == matrices


def test_score_by_hand():
    model = only_ids("dcn", hidden=[], cross_layers=1)
    width = 4
    # Without low rank for a width of 4: a quarter is 1, and less than half.
    down, up, bias = np.ones([width, 1]), np.array([[1.0, 0.0, 0.0, 2.0]]), np.zeros(width)
    model.cross.crosses[0].set_weights([down, up, bias])
    model.head.set_weights([np.array([[1.0], [0.0], [0.0], [10.0]])])
    for dense in (model.deep.first_of_item, model.deep.first_of_user):
        dense.set_weights([np.zeros_like(weight) for weight in dense.get_weights()])
    # x0 = (3, -1, 1, 2) sums to 5: x1 = x0 * (5, 0, 0, 10) + x0 = (18, -1, 1, 22)
    assert model(one_pair()).numpy() == pytest.approx([10.25 + 18 + 220])


def test_score_is_cross_and_deep_part():
    model, inputs = randomized(tiny_world.ranker(model="dcn", cross_layers=2, cross_rank=5)), pairs()
    parts = model._pairs(inputs, False, (), False, None)
    start = side_by_side(parts).reshape(18, -1)
    crossed = start
    for layer in model.cross.crosses:
        down, up, bias = layer.get_weights()
        crossed = start * (crossed @ down @ up + bias) + crossed
    items = 6 * model.dim
    expected = linear_part(model, parts) + (crossed @ model.head.kernel.numpy())[:, 0]
    expected += of_deep(model.deep, start[:, :items], start[:, items:])
    np.testing.assert_allclose(model(inputs).numpy().ravel(), expected, rtol=1e-3, atol=1e-3)
