"""Labels as ordered grades, by hand."""

import numpy as np
import pytest

from mmrec_tf.data.grades import MOST_GRADES, Grades

STARS = np.array([1, 2, 2, 3, 4, 4, 4, 5, np.nan, 5], np.float32)


def test_every_value_is_a_grade():
    grades = Grades.fit(STARS, STARS >= 4)
    np.testing.assert_array_equal(grades.starts, [2, 3, 4, 5])
    assert grades.like == 2
    np.testing.assert_allclose(grades.shares, [1 / 9, 2 / 9, 1 / 9, 3 / 9, 2 / 9])
    np.testing.assert_array_equal(grades.of(STARS), [0, 1, 1, 2, 3, 3, 3, 4, -1, 4])
    # What training has not seen falls to the grade that it has reached.
    np.testing.assert_array_equal(grades.of(np.array([0.5, 3.5, 9.0, np.nan])), [0, 2, 4, -1])


def test_many_values_share_grades_and_the_positive_ones_begin_where_a_grade_does():
    seconds = np.random.default_rng(1).exponential(60.0, 5000).astype(np.float32)
    grades = Grades.fit(seconds, seconds >= 77.7)
    assert len(grades.shares) == MOST_GRADES
    assert grades.starts[grades.like] == seconds[seconds >= 77.7].min()
    np.testing.assert_array_equal(grades.of(seconds) > grades.like, seconds >= 77.7)
    # As many rows in each, but in the two that the positive ones' beginning divides.
    assert sorted(grades.shares)[1] > 0.04 and max(grades.shares) < 0.18
    np.testing.assert_allclose(grades.shares, np.bincount(grades.of(seconds)) / 5000)


def test_places_are_the_chances_of_being_above_a_label_drawn_at_random():
    grades = Grades.fit(STARS, STARS >= 4)
    known = STARS[np.isfinite(STARS)]
    expected = [np.mean(known < star) + 0.5 * np.mean(known == star) for star in (1, 2, 3, 4, 5)]
    np.testing.assert_allclose(grades.places, expected, rtol=1e-6)


@pytest.mark.parametrize("least", [0.2, 3.0, 59.5])
def test_the_positive_ones_may_begin_anywhere(least):
    values = np.concatenate([np.zeros(50), np.arange(1, 61)])
    grades = Grades.fit(values, values >= least)
    assert (np.diff(grades.starts) > 0).all()
    np.testing.assert_array_equal(grades.of(values) > grades.like, values >= least)


@pytest.mark.parametrize(
    "labels, least",
    [([0, 1, 0, 1], 1), ([1, 2, 3], 1), ([1, 2, 3], 4), ([np.nan, np.nan], 1), ([], 1), ([2, 2], 2)],
)
def test_nothing_beyond_yes_and_no_is_no_grade(labels, least):
    labels = np.array(labels, np.float32)
    assert Grades.fit(labels, labels >= least) is None
