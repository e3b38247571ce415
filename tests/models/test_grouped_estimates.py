"""Covariance of grouped rows and shrunk estimates, by hand."""

import numpy as np

from mmrec_tf.models.grouped_estimates import grouped_covariance, shrunk


def test_rows_of_a_group_count_together():
    # One parameter, x = 1: H = 4, sums of errors 2 and -2, hence 1 / 4 + 2 / 1 * (4 + 4) / 16 = 1.25.
    one, half = np.ones([4, 1]), np.ones(4)
    errors = np.array([1.0, 1.0, -1.0, -1.0])
    np.testing.assert_allclose(grouped_covariance(one, errors, half, np.array([7, 7, 3, 3])), [[1.25]])
    # Rows on their own: 1 / 4 + 4 / 3 * 4 / 16.
    np.testing.assert_allclose(grouped_covariance(one, errors, half, np.arange(4)), [[1 / 4 + 1 / 3]])
    # Groups that agree leave what rows are off by chance.
    np.testing.assert_allclose(grouped_covariance(one, errors, half, np.array([0, 1, 0, 1])), [[0.25]])


def test_of_a_parameter_that_no_row_tells_of_nothing_is_said():
    features = np.stack([np.ones(4), np.zeros(4)], axis=1)
    found = grouped_covariance(features, np.array([1.0, 1.0, -1.0, -1.0]), np.ones(4), np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(found, [[1.25, 0.0], [0.0, 0.0]], atol=1e-12)


def test_estimates_are_drawn_as_far_as_they_are_uncertain():
    # 0.1^2 / (0.1^2 + 0.03) = 1/4 of the way for the one, all of it for the other.
    found = shrunk(np.array([3.0, 5.0]), np.array([1.0, 2.0]), 0.1, np.diag([0.03, 0.0]))
    np.testing.assert_allclose(found, [1.5, 5.0])
