"""Numbers as embeddings, by hand."""

import numpy as np
import pytest

from mmrec_tf.errors import ConfigError
from mmrec_tf.models.number_embeddings import (
    BucketisedNumber,
    LinearNumber,
    PeriodicNumber,
    PiecewiseLinearNumber,
    build_number_embedding,
    normal_edges,
    quantile_edges,
)
from tests.layer_checks import check_layer

EDGES = [-1.0, 0.0, 2.0, 3.0]
# Below, on an edge, within, above, and missing.
NUMBERS = np.array([[-2.0, 1], [0.0, 1], [0.5, 1], [4.0, 1], [0.0, 0]], np.float32)


@pytest.mark.parametrize("kind", ["linear", "periodic", "piecewise_linear", "bucketised"])
def test_passes_the_layer_checks(kind, tmp_path):
    check_layer(lambda: build_number_embedding(kind, 4, EDGES), NUMBERS, tmp_path, expected_shape=(5, 4))


def told(embedding, numbers=NUMBERS) -> np.ndarray:
    """What the embedding makes of numbers, when its matrix leaves every column as it is."""
    embedding.dim = embedding.columns + 1
    embedding(numbers)
    embedding.kernel.assign(np.eye(embedding.dim))
    return embedding(numbers).numpy()


def test_linear():
    np.testing.assert_allclose(told(LinearNumber(0)), NUMBERS)


def test_periodic():
    embedding = PeriodicNumber(0, frequencies=2)
    told(embedding)
    embedding.waves.assign([0.25, 0.5])
    # 0.5 is an eighth of a turn of the first wave and a quarter of the second; 4 is a whole turn and two.
    half = np.sqrt(0.5)
    expected = [[half, 1, half, 0, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]]
    np.testing.assert_allclose(embedding(NUMBERS[2:]), expected, atol=1e-6)


def test_piecewise_linear():
    # The first bin goes on below, the last above: (-2 + 1) / 1, and (4 - 2) / 1.
    expected = [[-1, 0, 0, 1], [1, 0, 0, 1], [1, 0.25, 0, 1], [1, 1, 2, 1], [0, 0, 0, 0]]
    np.testing.assert_allclose(told(PiecewiseLinearNumber(0, EDGES)), expected)


def test_one_bin_is_a_straight_line():
    np.testing.assert_allclose(told(PiecewiseLinearNumber(0, [-1.0, 1.0]))[:, 0], [-0.5, 0.5, 0.75, 2.5, 0.0])


def test_bucketised():
    expected = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0]]
    np.testing.assert_allclose(told(BucketisedNumber(0, EDGES)), expected)


def test_edges_by_quantiles_of_what_is_there():
    numbers = np.array([[v, 1] for v in (4.0, 0.0, 2.0, 1.0, 3.0)] + [[9.0, 0]])
    assert quantile_edges(numbers, 2) == [0.0, 2.0, 4.0]
    ties = np.array([[1.0, 1]] * 9 + [[2.0, 1]])
    assert quantile_edges(ties, 4) == [1.0, 2.0]
    assert quantile_edges(ties[:9], 4) is None and quantile_edges(numbers[5:], 4) is None


def test_edges_where_no_values_are_known():
    # The quartiles of a standard normal are 0.6745 from its mean, its percentiles 2.3263.
    np.testing.assert_allclose(normal_edges(4), [-2.3263, -0.6745, 0.0, 0.6745, 2.3263], atol=1e-4)
    assert build_number_embedding("bucketised", 3).columns == 8


def test_refuses_what_makes_no_bins():
    for edges in ([1.0], [1.0, 1.0], [2.0, 1.0]):
        with pytest.raises(ValueError, match="two or more rising numbers"):
            BucketisedNumber(2, edges)
    with pytest.raises(ConfigError, match="'bucketized' is unknown. Did you mean 'bucketised'"):
        build_number_embedding("bucketized", 2)
