import numpy as np
import pytest
import sklearn.calibration
import sklearn.metrics

from mmrec_tf.errors import MmrecError
from mmrec_tf.evaluation.classification_metrics import (
    auc,
    expected_calibration_error,
    log_loss,
    per_user_auc,
    reliability,
)


def _case(rows=500, levels=None):
    random = np.random.default_rng(0)
    labels = random.random(rows) < 0.3
    scores = np.clip(random.random(rows) * 0.6 + labels * 0.3, 0, 1)
    # Few distinct scores: most pairs are ties.
    return labels, np.round(scores * levels) / levels if levels else scores, random.integers(0, 40, rows)


def test_auc_by_hand():
    # Pairs of positive (0.8, 0.4) and negative (0.4, 0.1): 0.8 > both, 0.4 = 0.4 counts half, 0.4 > 0.1: 3.5 of 4.
    assert auc([1, 0, 1, 0], [0.8, 0.4, 0.4, 0.1]) == pytest.approx(3.5 / 4)


@pytest.mark.parametrize("levels", [None, 4])
def test_auc_is_scikit_learns(levels):
    labels, scores, _ = _case(levels=levels)
    assert auc(labels, scores) == pytest.approx(sklearn.metrics.roc_auc_score(labels, scores))


def test_per_user_auc_by_hand():
    # User 7: 0.9 above 0.2, so 1. User 3: 0.1 below 0.5, so 0. User 5 has positives only and is left out.
    value = per_user_auc([1, 0, 1, 0, 1], [0.9, 0.2, 0.1, 0.5, 0.7], [7, 7, 3, 3, 5])
    assert value == pytest.approx(0.5)


@pytest.mark.parametrize("levels", [None, 4])
def test_per_user_auc_is_the_mean_of_scikit_learns(levels):
    labels, scores, users = _case(levels=levels)
    expected = [
        sklearn.metrics.roc_auc_score(labels[users == user], scores[users == user])
        for user in np.unique(users)
        if 0 < labels[users == user].mean() < 1
    ]
    assert 30 < len(expected)
    assert per_user_auc(labels, scores, users) == pytest.approx(np.mean(expected))


def test_knowing_who_clicks_much_helps_the_plain_auc_only():
    labels, users = np.array([1, 1, 1, 0, 1, 0, 0, 0]), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    scores = 1.0 - users
    # Between users 9 of 16 pairs are right and 1 is wrong; the 6 within a user are ties.
    assert auc(labels, scores) == pytest.approx((9 + 6 / 2) / 16)
    assert per_user_auc(labels, scores, users) == 0.5


def test_log_loss_by_hand_and_scikit_learns():
    assert log_loss([1, 0], [0.8, 0.4]) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)
    labels, scores, _ = _case()
    inside = np.clip(scores, 0.01, 0.99)
    assert log_loss(labels, inside) == pytest.approx(sklearn.metrics.log_loss(labels, inside))


def test_certain_and_wrong_is_finite():
    assert log_loss([1], [0.0]) == pytest.approx(-np.log(1e-7))


def test_calibration_error_by_hand():
    # Two bins of two: said 0.15 on average and none came true, said 0.75 and one of two did.
    labels, chances = [0, 0, 1, 0], [0.1, 0.2, 0.9, 0.6]
    assert expected_calibration_error(labels, chances, bins=2) == pytest.approx((0.15 + 0.25) / 2)
    # One bin: said 0.45 on average, 1 of 4 came true.
    assert expected_calibration_error(labels, chances, bins=1) == pytest.approx(0.2)
    said, happened, counts = reliability(labels, chances, bins=2)
    assert (said.tolist(), happened.tolist(), counts.tolist()) == ([pytest.approx(0.15), 0.75], [0.0, 0.5], [2, 2])


def test_reliability_is_scikit_learns_where_no_chances_are_equal():
    random = np.random.default_rng(5)
    chances = random.permutation(np.linspace(0.01, 0.99, 300))
    labels = (random.random(300) < chances**2).astype(int)
    happened, said = sklearn.calibration.calibration_curve(labels, chances, n_bins=10, strategy="quantile")
    found = reliability(labels, chances, bins=10)
    np.testing.assert_allclose(found[0], said)
    np.testing.assert_allclose(found[1], happened)
    assert expected_calibration_error(labels, chances, bins=10) == pytest.approx(np.abs(happened - said).mean())


@pytest.mark.parametrize("order", [[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1], [1, 0, 0, 0, 0, 1]])
def test_equal_chances_stay_together_whatever_their_order(order):
    # The base rate, said of all six: calibrated, though bins of two would hold two positives or none.
    assert expected_calibration_error(order, [1 / 3] * 6, bins=3) == pytest.approx(0.0)
    assert [len(part) for part in reliability(order, [1 / 3] * 6, bins=3)] == [1, 1, 1]


def test_one_class_or_nothing_has_no_value():
    assert auc([1, 1], [0.2, 0.3]) is None
    assert per_user_auc([1, 0], [0.2, 0.3], [0, 1]) is None
    assert auc([], []) is None
    assert log_loss([], []) is None
    assert expected_calibration_error([], []) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: auc([1, 0], [0.5]), "2 labels and 1 scores"),
        (lambda: auc([1, 4], [0.5, 0.1]), "labels must be 0 or 1, got 4"),
        (lambda: auc([1, 0], [0.5, np.nan]), "row 1 is NaN"),
        (lambda: log_loss([1, 0], [3.0, 0.1]), "Apply a sigmoid"),
        (lambda: expected_calibration_error([1, 0], [3.0, 0.1]), "Apply a sigmoid"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(MmrecError, match=message):
        call()
