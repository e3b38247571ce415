"""Popularity over time, against sums worked out by hand."""

import numpy as np
import pytest

from mmrec_tf.data.trends import DAY, Trends, table_periods

INFINITE = float("inf")


def test_each_period_counts_what_came_before_it():
    # One interaction a day: item 1 on days 0, 1 and 3, item 2 on day 2. Four periods of one interaction each, and the
    # present. All that is known: before day 1 item 1 has 1, before day 2 it has 2, before day 3 item 2 has 1 as well.
    trends = Trends.build(np.array([1, 1, 2, 1]), np.arange(4) * DAY, 4, (INFINITE,), periods=5)
    np.testing.assert_array_equal(trends.starts[:4], np.arange(4) * DAY)
    masses = np.array([[0, 0, 0, 0], [0, 1, 2, 2], [0, 0, 0, 1]], float)
    touched_means = np.array([1, 1, 2, 1.5])
    np.testing.assert_allclose(trends.table[:3, :4, 0], np.log1p(masses / touched_means), rtol=1e-6)
    # The present: 3 and 1, on average 2. Item 3 was never touched.
    np.testing.assert_allclose(trends.table[:, 4, 0], np.log1p([0, 3 / 2, 1 / 2, 0]), rtol=1e-6)


def test_an_interaction_counts_half_after_the_half_life():
    # Item 1 two days and item 2 one day before the present, which begins just after item 3 is touched.
    times = np.array([0.0, 1.0, 2.0]) * DAY
    trends = Trends.build(np.array([1, 2, 3]), times, 4, (1.0, 2.0), periods=8)
    for column, half_life in enumerate((1.0, 2.0)):
        masses = 0.5 ** (np.array([2.0, 1.0, 0.0]) / half_life)
        np.testing.assert_allclose(trends.table[1:, -1, column], np.log1p(masses / masses.mean()), rtol=1e-5)


def test_no_example_sees_itself_or_what_came_after_it():
    random = np.random.default_rng(0)
    items, times = random.integers(1, 6, 200), np.sort(random.uniform(0, 30, 200)) * DAY
    trends = Trends.build(items, times, 6, (3.0, INFINITE), periods=20)
    for position in (0, 57, 120, 199):
        period = trends.periods(times[position : position + 1])[0]
        # With all that comes from this moment on left out, the period says the same.
        earlier = Trends.build(items[:position], times[:position], 6, (3.0, INFINITE), periods=20, starts=trends.starts)
        np.testing.assert_allclose(earlier.table[:, period], trends.table[:, period], rtol=1e-5, atol=1e-6)


def test_periods_of_moments():
    trends = Trends.build(np.array([1, 1, 2, 2]), np.array([10.0, 20.0, 30.0, 40.0]), 3, (1.0,), periods=3)
    np.testing.assert_array_equal(trends.starts[:2], [10.0, 30.0])
    # Before the first start the first period, and after the last interaction the open one.
    np.testing.assert_array_equal(trends.periods([0.0, 10.0, 29.9, 30.0, 40.0, 41.0, 1e12]), [0, 0, 0, 1, 1, 2, 2])


def test_periods_that_are_not_filled_repeat_the_present():
    # All at one moment: one period, and the present.
    trends = Trends.build(np.array([1, 2, 2]), np.zeros(3), 3, (1.0,), periods=6)
    assert len(trends.starts) == 2
    assert trends.table.shape == (3, 6, 1)
    np.testing.assert_array_equal(trends.table[:, 1:, 0], np.repeat(trends.table[:, -1:, 0], 5, axis=1))
    assert trends.table[2, -1, 0] > trends.table[1, -1, 0] > 0.0
    assert (trends.table[:, 0] == 0.0).all()


def test_later_interactions_move_the_present_and_keep_the_periods():
    items, times = np.array([1, 1, 2]), np.array([0.0, 1.0, 2.0]) * DAY
    before = Trends.build(items, times, 3, (INFINITE,), periods=4)
    after = Trends.build(
        np.append(items, [2, 2]), np.append(times, [5 * DAY, 6 * DAY]), 3, (INFINITE,), 4, before.starts
    )
    np.testing.assert_array_equal(before.starts[:-1], after.starts[:-1])
    np.testing.assert_array_equal(before.table[:, :3], after.table[:, :3])
    np.testing.assert_allclose(after.table[1:, -1, 0], np.log1p([2 / 2.5, 3 / 2.5]), rtol=1e-6)
    assert after.periods([5.5 * DAY])[0] == 2
    assert after.periods([7.0 * DAY])[0] == 3


def test_without_interactions_all_is_zero():
    trends = Trends.build(np.zeros(0, int), np.zeros(0), 3, (1.0,), periods=4)
    assert trends.table.shape == (3, 4, 1)
    assert not trends.table.any()


@pytest.mark.parametrize(("size", "expected"), [(10_000, 64), (1_000_000, 13), (100_000_000, 2)])
def test_large_catalogues_have_fewer_periods(size, expected):
    # 2^26 numbers: 13 periods * 5 half-lives * 1,000,000 = 65,000,000.
    assert table_periods(size, 5, 64) == expected
