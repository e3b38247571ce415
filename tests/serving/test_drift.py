"""The arithmetic of drift, by hand."""

import numpy as np
import pytest
from scipy.special import rel_entr

from mmrec_tf.serving.drift import count_in_bins, expected_distinct, population_stability_index, quantile_edges


def test_index_by_hand():
    # (1/4 - 1/2) ln(1/2) + (3/4 - 1/2) ln(3/2) = 0.173287 + 0.101366
    assert population_stability_index(np.array([1, 1]), np.array([10, 30])) == pytest.approx(0.274653, abs=1e-6)


def test_index_is_the_divergence_both_ways():
    expected, observed = (
        np.array([[0.1, 0.2, 0.3, 0.4], [0.25] * 4]),
        np.array([[0.4, 0.3, 0.2, 0.1], [0.7] + [0.1] * 3]),
    )
    divergence = rel_entr(expected, observed).sum(axis=1) + rel_entr(observed, expected).sum(axis=1)
    np.testing.assert_allclose(population_stability_index(expected * 50, observed * 7), divergence)


def test_same_shares_are_no_shift_and_nothing_is_no_number():
    assert population_stability_index(np.array([2, 6]), np.array([1, 3])) == 0
    assert np.isnan(population_stability_index(np.array([2, 6]), np.array([0, 0])))


def test_an_empty_bin_counts_as_a_ten_thousandth():
    # (0.0001 - 0.5) ln(0.0001 / 0.5) + (1 - 0.5) ln(1 / 0.5) = 0.4999 * 8.517193 + 0.5 * 0.693147
    assert population_stability_index(np.array([1, 1]), np.array([0, 9])) == pytest.approx(4.604318, abs=1e-5)


def test_edges_hold_equal_shares():
    values = np.random.default_rng(1).permutation(np.arange(100.0))
    edges = quantile_edges(values, bins=4)
    np.testing.assert_array_equal(count_in_bins(edges[None], values[:, None]).sum(), 100)
    # NumPy's own histogram: a bin holds its lower edge.
    found, _ = np.histogram(values, [-np.inf, *edges, np.inf])
    np.testing.assert_array_equal(count_in_bins(edges[None], values[:, None])[0], found)
    assert found.tolist() == [25] * 4


def test_repeated_values_make_no_empty_bin():
    assert quantile_edges(np.array([3.0] * 9)).tolist() == []
    assert quantile_edges(np.array([0.0] * 5 + [1.0] * 5)).tolist() == [0.5]
    assert count_in_bins(np.array([[1.0]]), np.array([[0.0], [1.0], [2.0]])).tolist() == [[1, 2]]


def test_columns_have_edges_of_their_own_and_what_is_not_finite_is_left_out():
    edges = np.array([[0.0, 10.0], [5.0, np.inf]])
    values = np.array([[-1.0, 4.0], [0.0, 5.0], [11.0, np.nan], [np.inf, 99.0]])
    assert count_in_bins(edges, values).tolist() == [[1, 1, 1], [1, 2, 0]]


def test_distinct_items_by_hand():
    # One item picked twice of 4, two once: 1 - (1/2)^3 + 2 (1 - (3/4)^3) = 0.875 + 1.15625
    assert expected_distinct(np.array([1, 2]), np.array([2, 1]), 3) == pytest.approx(2.03125)
    assert expected_distinct(np.array([1, 2]), np.array([2, 1]), 10**6) == pytest.approx(3)
    assert expected_distinct(np.zeros(0), np.zeros(0), 5) == 0
