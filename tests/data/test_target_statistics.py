"""Target encoding by hand, and what a row must not be told."""

import numpy as np
import pytest

from mmrec_tf.data import target_statistics
from mmrec_tf.data.target_statistics import TargetStatistics, additive_effects, can_cross

USERS, ITEMS, LABELS = np.array([1, 1, 2, 2, 2]), np.array([1, 2, 1, 2, 3]), np.array([1.0, 0.0, 1.0, 1.0, 0.0])
# Item 1 is of genre 1, item 2 of 1 and 2, item 3 of none; index 0 is unknown, item 4 was not met.
GENRES = {"genre": np.array([[0, 0], [1, 0], [1, 2], [0, 0], [2, 0]], np.int32)}
SIZES = (4, 5)
PRIOR = 3 / 5


def smoothed(total, count, prior=PRIOR):
    return (total + 10 * prior) / (count + 10)


def fitted(labels=LABELS, lists=GENRES) -> TargetStatistics:
    return TargetStatistics.fit(USERS, ITEMS, labels, SIZES, lists)


def test_means_are_mixed_with_the_overall_one_and_counts_are_logs():
    found = fitted()
    means = [PRIOR, smoothed(1, 2), smoothed(2, 3), PRIOR]
    np.testing.assert_allclose(found.user[:, :2], np.stack([means, np.log1p([0, 2, 3, 0])], axis=1), rtol=1e-6)
    # Genre 1 came with labels 1, 0, 1, 1, genre 2 with 0, 1. Item 3 has no genre.
    first, second = smoothed(3, 4), smoothed(1, 2)
    np.testing.assert_allclose(found.item[:, 0], [PRIOR, smoothed(2, 2), smoothed(1, 2), smoothed(0, 1), PRIOR], 1e-6)
    np.testing.assert_allclose(found.item[:, 3], [PRIOR, first, (first + second) / 2, PRIOR, second], rtol=1e-6)


def test_effects_are_the_damped_least_squares_of_users_and_items():
    found = fitted()
    # The least of sum (y - b_u - b_i)^2 + 10 (sum b_u^2 + sum b_i^2) by its normal equations; users 1, 2, items 1 to 3.
    design = np.zeros([5, 5])
    design[np.arange(5), USERS - 1] = 1.0
    design[np.arange(5), 1 + ITEMS] = 1.0
    effects = np.linalg.solve(design.T @ design + 10 * np.eye(5), design.T @ (LABELS - PRIOR))
    np.testing.assert_allclose(found.user[:, 2], [0, *effects[:2], 0], atol=1e-6)
    np.testing.assert_allclose(found.item[:, 2], [0, *effects[2:], 0], atol=1e-6)


def test_who_met_good_items_is_not_taken_for_friendly():
    # A hundred users like item 1 and not item 2. Users 1 and 2 met one of them, and thought as everybody does.
    users = np.concatenate([[1, 2], np.repeat(np.arange(3, 103), 2)])
    items = np.concatenate([[1, 2], np.tile([1, 2], 100)])
    labels = np.where(items == 1, 1.0, 0.0)
    found = TargetStatistics.fit(users, items, labels, (103, 3), {})
    assert found.user[1, 0] - found.user[2, 0] > 0.09
    of_user, of_item = additive_effects(users, items, labels - labels.mean(), (103, 3))
    assert abs(of_user[1] - of_user[2]) < 0.01
    np.testing.assert_allclose(of_item[1:], [0.45, -0.45], atol=0.01)


def test_a_users_own_view_of_a_category_falls_back_on_that_of_all():
    first, second = smoothed(3, 4), smoothed(1, 2)
    told = fitted().of(np.array([1, 3, 2]), np.array([2, 2, 3]))
    # User 1 has met genre 1 twice (1, 0), genre 2 once (0); user 3 nobody knows; item 3 has no genre.
    own = (smoothed(1, 2, first) + smoothed(0, 1, second)) / 2
    np.testing.assert_allclose(told["pair"][:, 0], [own, (first + second) / 2, PRIOR], rtol=1e-6)
    np.testing.assert_allclose(told["pair"][:, 1], [(np.log1p(2) + np.log1p(1)) / 2, 0.0, 0.0], rtol=1e-6)


def test_blocks_of_rows_are_no_matter(monkeypatch):
    users, items = np.arange(4).repeat(5), np.tile(np.arange(5), 4)
    expected = fitted().of(users, items)
    monkeypatch.setattr(target_statistics, "_BLOCK", 6)
    found = fitted().of(users, items)
    assert all(np.array_equal(found[name], expected[name]) for name in expected) and found["pair"].any()


def test_no_row_is_told_its_own_label():
    random = np.random.default_rng(0)
    users, items, labels = random.integers(1, 20, 300), random.integers(1, 5, 300), random.integers(0, 2, 300) * 1.0
    sizes = (20, 5)

    def told(of):
        return TargetStatistics.out_of_fold(users, items, of, sizes, GENRES, seed=3)

    before = told(labels)
    for row in (0, 17, 299):
        changed = labels.copy()
        changed[row] = 1.0 - changed[row]
        after = told(changed)
        assert all(np.array_equal(before[name][row], after[name][row]) for name in before)
        assert any(not np.array_equal(before[name], after[name]) for name in before)


def test_rows_without_a_label_tell_nothing():
    labels = LABELS.copy()
    labels[4] = np.nan
    found = fitted(labels)
    np.testing.assert_allclose(found.item[3], [3 / 4, 0.0, 0.0, 3 / 4])
    told = TargetStatistics.out_of_fold(USERS, ITEMS, labels, SIZES, GENRES, seed=0)
    assert told["item"].shape == (5, 4) and all(np.isfinite(values).all() for values in told.values())


def test_large_tables_are_not_crossed(monkeypatch):
    assert can_cross(4, GENRES["genre"])
    monkeypatch.setattr(target_statistics, "MOST_CROSSED", 11)
    assert not can_cross(4, GENRES["genre"])
    found = fitted()
    assert not found.crossed and found.item.shape == (5, 4)
    assert found.of(np.array([1]), np.array([1]))["pair"].shape == (1, 0)


@pytest.mark.parametrize("lists", [{}, GENRES], ids=["no categories", "categories"])
def test_nothing_to_learn_from(lists):
    nothing = np.zeros(0, int)
    found = TargetStatistics.fit(nothing, nothing, np.zeros(0), SIZES, lists)
    assert not found.user.any() and not found.item.any()
