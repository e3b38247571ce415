"""What training examples count, by their items."""

import numpy as np
import pytest

from mmrec_tf.data.item_weights import inverse_popularity_weights


def test_weights_fall_with_popularity_around_a_mean_of_one():
    # Item 3 has four examples, item 7 one: 4 ** -0.5 = 0.5 four times and 1 once have the mean 0.6.
    weights = inverse_popularity_weights(np.array([3, 3, 7, 3, 3]), exponent=0.5)
    np.testing.assert_allclose(weights, np.array([0.5, 0.5, 1.0, 0.5, 0.5]) / 0.6, rtol=1e-6)
    assert weights.dtype == np.float32


def test_at_exponent_one_every_item_counts_the_same_in_sum():
    item_index = np.repeat([1, 2, 5], [1, 10, 100])
    sums = np.bincount(item_index, inverse_popularity_weights(item_index, exponent=1.0))[[1, 2, 5]]
    np.testing.assert_allclose(sums, [37.0, 37.0, 37.0], rtol=1e-5)


@pytest.mark.parametrize("item_index", [np.array([], int), np.array([4, 4, 4]), np.array([2, 0, 1])])
def test_weights_of_examples_that_do_not_differ_are_one(item_index):
    np.testing.assert_array_equal(inverse_popularity_weights(item_index, 0.7), np.ones(len(item_index)))
