"""Numbers on a common scale."""

import numpy as np

from mmrec_tf.data.number_scale import NumberScale


def test_values_are_standardised_and_what_is_missing_is_said():
    # Of 1, 3 and 5: mean 3, variance (4 + 0 + 4) / 3.
    scale = NumberScale.fit(np.array([1.0, np.nan, 3.0, 5.0]))
    deviation = np.sqrt(8 / 3)
    np.testing.assert_allclose(scale, [3.0, deviation])
    found = scale.apply(np.array([3.0, 5.0, np.nan, np.inf, 1e9]))
    np.testing.assert_allclose(found, [[0, 1], [2 / deviation, 1], [0, 0], [0, 0], [5, 1]], rtol=1e-6)
    assert found.dtype == np.float32


def test_what_was_constant_or_never_there_carries_nothing():
    for known in ([0.1, 0.1, 0.1], [np.nan, np.nan], []):
        scale = NumberScale.fit(np.array(known))
        np.testing.assert_array_equal(scale.apply(np.array([0.1, 7.0, np.nan])), [[0, 1], [0, 1], [0, 0]])


def test_one_absurd_number_among_thousands_does_not_flatten_the_others():
    prices = np.random.default_rng(0).lognormal(3.0, 1.0, 5000)
    sane, absurd = NumberScale.fit(prices), NumberScale.fit(np.append(prices, 1e8))
    np.testing.assert_allclose(absurd, sane, rtol=0.01)
    # Without more than a few of it, what is not the same everywhere is told all the same.
    rare = NumberScale.fit(np.append(np.zeros(9999), 1.0))
    np.testing.assert_allclose(rare, [1e-4, np.sqrt(1e-4 * (1 - 1e-4))])
