"""Closed-form alignment against SciPy, scikit-learn and constructions whose answer is known."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from sklearn.cross_decomposition import CCA

from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.losses.linear_alignment import linear_alignment

RANDOM = np.random.default_rng(0)
SHARED = RANDOM.normal(size=[400, 2])
FIRST = np.concatenate([SHARED + 0.5 * RANDOM.normal(size=[400, 2]), RANDOM.normal(size=[400, 3])], axis=1) + 4.0
SECOND = np.concatenate([RANDOM.normal(size=[400, 2]), SHARED + 0.5 * RANDOM.normal(size=[400, 2])], axis=1) * 3.0


def test_procrustes_against_scipy():
    second = SECOND[:, [2, 0, 3, 1]]
    found = linear_alignment(FIRST[:, :4], second, method="procrustes")
    expected, scale = orthogonal_procrustes(FIRST[:, :4] - FIRST[:, :4].mean(0), second - second.mean(0))
    np.testing.assert_allclose(found.matrix, expected, atol=1e-5)
    assert found.strengths.sum() * 400 == pytest.approx(scale, rel=1e-5)
    np.testing.assert_allclose(found.matrix @ found.matrix.T, np.eye(4), atol=1e-5)


def test_procrustes_finds_the_rotation_by_hand():
    # The second is the first turned by 90 degrees, (x, y) -> (-y, x), and moved.
    first = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, -3.0]])
    second = np.array([[0.0, 1.0], [-2.0, 0.0], [3.0, -1.0]]) + [10.0, 20.0]
    found = linear_alignment(first, second, method="procrustes")
    np.testing.assert_allclose(found.matrix, [[0.0, 1.0], [-1.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose(found.map_first(first), found.map_second(second), atol=1e-5)


def test_procrustes_keeps_distances_when_widths_differ():
    found = linear_alignment(FIRST, SECOND, method="procrustes")
    assert found.matrix.shape == (5, 4)
    np.testing.assert_allclose(found.second_map.T @ found.second_map, np.eye(4), atol=1e-5)
    np.testing.assert_allclose(found.first_map.T @ found.first_map, np.eye(4), atol=1e-5)


def test_cca_against_scikit_learn():
    found = linear_alignment(FIRST, SECOND, method="cca", regularization=0.0)
    one, other = CCA(n_components=2, max_iter=5000, tol=1e-10).fit_transform(FIRST, SECOND)
    expected = [np.corrcoef(one[:, k], other[:, k])[0, 1] for k in range(2)]
    np.testing.assert_allclose(found.strengths[:2], expected, atol=1e-4)


def test_cca_dimensions_are_uncorrelated_of_unit_variance_and_correlate_by_their_strength():
    found = linear_alignment(FIRST, SECOND, method="cca", regularization=0.0)
    one, other = found.map_first(FIRST), found.map_second(SECOND)
    np.testing.assert_allclose(one.T @ one / 400, np.eye(4), atol=1e-4)
    np.testing.assert_allclose(other.T @ other / 400, np.eye(4), atol=1e-4)
    np.testing.assert_allclose(one.T @ other / 400, np.diag(found.strengths), atol=1e-4)
    # Two shared directions with noise of half their deviation: 1 / (1 + 0.25) = 0.8; the others share nothing.
    np.testing.assert_allclose(found.strengths[:2], 0.8, atol=0.06)
    assert (found.strengths[2:] < 0.2).all()
    # The dot product in the common space is what the matrix says.
    centred = (FIRST - found.first_mean) @ found.matrix @ (SECOND - found.second_mean).T
    np.testing.assert_allclose(centred[:5, :5], (one @ other.T)[:5, :5], rtol=1e-3, atol=1e-3)


def test_regularization_keeps_chance_from_looking_like_agreement():
    # Six rows of twenty random numbers agree perfectly if they may.
    first, second = RANDOM.normal(size=[6, 20]), RANDOM.normal(size=[6, 20])
    assert linear_alignment(first, second, regularization=0.0).strengths[0] == pytest.approx(1.0, abs=1e-5)
    assert linear_alignment(first, second, regularization=10.0).strengths[0] < 0.6


def test_width_of_the_common_space():
    whole, part = linear_alignment(FIRST, SECOND), linear_alignment(FIRST, SECOND, dim=2)
    assert part.first_map.shape == (5, 2) and part.second_map.shape == (4, 2) and part.strengths.shape == (2,)
    np.testing.assert_array_equal(part.first_map, whole.first_map[:, :2])
    assert part.map_first(FIRST[:3]).shape == (3, 2)


@pytest.mark.parametrize("method", ["cca", "procrustes"])
def test_masked_rows_have_no_influence(method):
    mask = np.arange(400) % 3 != 0
    expected = linear_alignment(FIRST[mask], SECOND[mask], method=method)
    spoilt = np.where(mask[:, None], FIRST, np.nan)
    found = linear_alignment(spoilt, SECOND, mask, method=method)
    np.testing.assert_allclose(found.matrix, expected.matrix, atol=1e-5)


@pytest.mark.parametrize("method", ["cca", "procrustes"])
def test_constant_vectors_have_no_strength(method):
    found = linear_alignment(np.full([10, 3], 0.1), RANDOM.normal(size=[10, 2]), method=method)
    np.testing.assert_allclose(found.strengths, 0.0, atol=1e-6)
    assert np.isfinite(found.matrix).all()
    if method == "cca":
        np.testing.assert_array_equal(found.first_map, 0.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((FIRST, SECOND[:7]), DataError, r"shapes \(400, 5\) and \(7, 4\)"),
        ((FIRST[:, 0], SECOND), DataError, r"shapes \(400,\) and \(400, 4\)"),
        ((FIRST, SECOND, np.ones(3, bool)), DataError, r"one entry for each of the 400 rows, got shape \(3,\)"),
        ((FIRST, SECOND, np.arange(400) == 5), DataError, "at least two rows that have both modalities, got 1"),
        ((FIRST, np.where(np.arange(400)[:, None] == 7, np.inf, SECOND)), DataError, "row 7 of the second modality"),
        ((FIRST, SECOND, None, "ccaa"), ConfigError, "'ccaa' is unknown. Allowed: cca, procrustes"),
    ],
)
def test_what_cannot_be_aligned_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        linear_alignment(*arguments)
