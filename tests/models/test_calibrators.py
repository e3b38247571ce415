"""Calibrators against scikit-learn and by hand, and what all of them promise."""

import math

import numpy as np
import pytest
import tensorflow as tf
from sklearn.calibration import _sigmoid_calibration
from sklearn.isotonic import IsotonicRegression

from mmrec_tf.errors import ConfigError, MmrecError
from mmrec_tf.models.calibrator import Calibrator
from mmrec_tf.models.calibrators import CALIBRATORS, PlattCalibrator, TemperatureCalibrator, build_calibrator
from mmrec_tf.models.isotonic_calibrator import IsotonicCalibrator
from tests.layer_checks import check_layer

ALL = pytest.mark.parametrize("name", CALIBRATORS)
# At +1 three of four are positives, at -1 one of four.
FEW = (np.repeat([1.0, -1.0], 4), np.array([1, 1, 1, 0, 1, 0, 0, 0]))


def too_sure(count=4000, seed=0):
    """Logits that are twice as far from 0 as the truth and 1 too high: logit p = (logit - 1) / 2."""
    random = np.random.default_rng(seed)
    logits = random.normal(scale=3.0, size=count).astype(np.float32)
    return logits, (random.random(count) < 1 / (1 + np.exp(-(logits - 1) / 2))).astype(np.float32)


def fitted(name, logits, labels, weights=None, **settings):
    calibrator = CALIBRATORS[name](**settings)
    calibrator.fit(logits, labels, weights)
    return calibrator


@ALL
def test_layer(name, tmp_path):
    def build():
        return fitted(name, *too_sure(300), negatives_kept=0.5)

    logits = np.linspace(-9, 9, 12, dtype=np.float32).reshape(4, 3)
    layer = check_layer(build, logits, tmp_path, expected_shape=(4, 3), is_trainable=False, has_float32_output=True)
    assert layer.trainable_weights == []


@ALL
def test_before_it_is_fitted_it_is_the_sigmoid(name):
    logits = np.float32([[-2.0, 0.0], [0.5, 30.0]])
    np.testing.assert_allclose(build_calibrator(name)(logits), 1 / (1 + np.exp(-logits)), rtol=1e-6)


@ALL
def test_it_turns_no_order_round(name):
    logits, labels = too_sure(500)
    for told in (labels, 1 - labels):
        calibrator = fitted(name, logits, told)
        asked = np.sort(np.concatenate([logits, np.linspace(-60, 60, 500, dtype=np.float32)]))
        chances = calibrator(asked).numpy()
        # TensorFlow's sigmoid may be wrong in float32's last digit.
        assert np.diff(chances).min() > -2e-7 and chances.min() >= 0 and chances.max() <= 1
        if name in ("temperature", "platt"):
            near = calibrator(np.float32([-1.0, 0.0, 1.0])).numpy()
            assert near[0] < near[1] < near[2]


def test_temperature_by_hand():
    # The targets are 5/6 and 1/6, so that at +1 they have the mean (3 * 5/6 + 1/6) / 4 = 2/3 = sigmoid(log 2).
    assert float(fitted("temperature", *FEW).temperature) == pytest.approx(1 / math.log(2), rel=1e-4)
    weights = np.where((FEW[0] > 0) == (FEW[1] > 0), 2.0, 1.0)
    # Positives weigh 6 + 1 = 7, and so do negatives: targets 8/9 and 1/9; mean at +1 (6 * 8/9 + 1/9) / 7 = 7/9.
    expected = 1 / math.log((7 / 9) / (2 / 9))
    assert float(fitted("temperature", *FEW, weights).temperature) == pytest.approx(expected, rel=1e-4)


def test_platt_is_that_of_scikit_learn():
    logits, labels = too_sure(800)
    slope, intercept = _sigmoid_calibration(logits.astype(np.float64), labels)
    # Their a and b stand for 1 / (1 + exp(a x + b)).
    found = fitted("platt", logits, labels)
    np.testing.assert_allclose([float(found.slope), float(found.intercept)], [-slope, -intercept], rtol=1e-4)
    weights = np.random.default_rng(1).integers(0, 4, len(labels)).astype(np.float64)
    slope, intercept = _sigmoid_calibration(logits.astype(np.float64), labels, weights)
    found = fitted("platt", logits, labels, weights)
    np.testing.assert_allclose([float(found.slope), float(found.intercept)], [-slope, -intercept], rtol=1e-4)


def test_platt_finds_the_truth():
    found = fitted("platt", *too_sure(40000))
    assert float(found.slope) == pytest.approx(0.5, abs=0.02)
    assert float(found.intercept) == pytest.approx(-0.5, abs=0.04)


def of_users(level, users=4, each=500, seed=3):
    """Chances that are right but for a level of each user's own, which `level` spreads."""
    random = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), each)
    logits = random.normal(size=users * each)
    own = level * random.permutation(np.linspace(-1.0, 1.5, users))[user]
    return logits, (random.random(len(logits)) < 1 / (1 + np.exp(-logits - own))).astype(np.float64), user


def test_platt_believes_the_ranker_as_far_as_users_differ():
    logits, labels, users = of_users(2.0)
    plain, told = fitted("platt", logits, labels), PlattCalibrator()
    told.fit(logits, labels, users=users)
    # By hand, from the plain fit: x = (z, 1) around the mean of the logits, H and the users' sums of errors.
    center = logits.mean()
    a, b = float(plain.slope), float(plain.intercept)
    p = 1 / (1 + np.exp(-a * logits - b))
    positives, negatives = labels.sum(), (1 - labels).sum()
    targets = np.where(labels > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    hessian, sums = np.zeros((2, 2)), np.zeros((4, 2))
    for z, t, q, user in zip(logits - center, targets, p, users, strict=True):
        x = np.array([z, 1.0])
        hessian += q * (1 - q) * np.outer(x, x)
        sums[user] += (t - q) * x
    spread = sum(np.outer(row, row) for row in sums) * 4 / 3
    covariance = np.linalg.inv(hessian) + np.linalg.inv(hessian) @ spread @ np.linalg.inv(hessian)
    gain = 0.01 * np.eye(2) @ np.linalg.inv(0.01 * np.eye(2) + covariance)
    slope, level = np.array([1.0, center]) + gain @ (np.array([a, b + a * center]) - np.array([1.0, center]))
    assert [float(told.slope), float(told.intercept)] == pytest.approx([slope, level - slope * center], rel=1e-3)
    # The users' own levels lie two and more apart: next to nothing is left of what their mean says.
    assert abs(float(told.intercept)) < 0.1 * abs(b)


def test_platt_believes_many_users_and_never_a_single_one():
    logits, labels = too_sure(40000)
    told = PlattCalibrator()
    told.fit(logits, labels, users=np.arange(len(labels)))
    assert [float(told.slope), float(told.intercept)] == pytest.approx([0.5, -0.5], abs=0.05)
    told.fit(logits, labels, users=np.zeros(len(labels), int))
    assert [float(told.slope), float(told.intercept)] == [1.0, 0.0]


@pytest.mark.parametrize(("users", "each"), [(2, 10), (3, 10), (5, 20)])
def test_platt_leaves_a_ranker_that_is_right_alone_where_users_are_few(users, each):
    plain, told = PlattCalibrator(), PlattCalibrator()
    off = []
    for seed in range(20):
        logits, labels, user = of_users(0.0, users, each, seed)
        plain.fit(logits, labels)
        told.fit(logits, labels, users=user)
        off.append([abs(float(one.slope) - 1.0) for one in (plain, told)])
    plain, told = np.transpose(off)
    assert told.max() < 0.2 and told.mean() < 0.25 * plain.mean()


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
def test_platt_and_temperature_stay_finite_where_labels_are_told_apart_without_error(scale):
    logits = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0]) * scale
    for name in ("platt", "temperature"):
        chances = fitted(name, logits, logits > 0)(logits.astype(np.float32)).numpy()
        assert np.isfinite(chances).all() and (np.diff(chances) >= 0).all()


def test_isotonic_is_that_of_scikit_learn():
    random = np.random.default_rng(3)
    logits = random.normal(size=300).round(1).astype(np.float32)
    labels = (random.random(300) < 1 / (1 + np.exp(-3 * logits))).astype(np.float64)
    weights = random.integers(1, 4, 300).astype(np.float64)
    below, above = logits.min() - 1, logits.max() + 1
    peer = IsotonicRegression(out_of_bounds="clip").fit(
        [below, *logits, above], [1, *labels, 0], sample_weight=[1, *weights, 1]
    )
    asked = np.linspace(logits.min(), logits.max(), 500, dtype=np.float32)
    found = fitted("isotonic", logits, labels, weights)
    np.testing.assert_allclose(found(asked), peer.predict(asked), atol=1e-5)
    # Beyond the logits it is level.
    ends = found(np.float32([-99, logits.min(), logits.max(), 99])).numpy()
    assert ends[0] == pytest.approx(ends[1], abs=1e-6) and ends[2] == pytest.approx(ends[3], abs=1e-6)


def test_isotonic_by_hand():
    # With the positive below and the negative above: 1 | 0 0 1 0 1 1 | 0. Steps: (1 0 0) = 1/3, (1 0) = 1/2, and
    # (1 1 0) = 2/3. Halfway between two steps it is halfway.
    found = fitted("isotonic", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [0, 0, 1, 0, 1, 1])
    asked = np.float32([-5, 0, 1, 1.5, 2, 2.5, 3, 3.5, 4, 9])
    expected = [1 / 3, 1 / 3, 1 / 3, 5 / 12, 1 / 2, 1 / 2, 1 / 2, 7 / 12, 2 / 3, 2 / 3]
    np.testing.assert_allclose(found(asked), expected, rtol=1e-5)


def test_isotonic_keeps_no_more_knots_than_it_may():
    logits, labels = too_sure(20000)
    few = fitted("isotonic", logits, labels, knots=8)
    assert few.places.shape == (8,) and (np.diff(few.places.numpy()) > 0).all()
    # 0.02 is more than three times what 20,000 coin tosses leave open in the middle of the range.
    asked = np.linspace(-5, 5, 21, dtype=np.float32)
    truth = 1 / (1 + np.exp(-(asked - 1) / 2))
    assert np.abs(fitted("isotonic", logits, labels)(asked) - truth).max() < 0.08
    with pytest.raises(ConfigError, match="2 knots or more, got 1"):
        IsotonicCalibrator(knots=1)


@ALL
def test_negatives_left_out_of_training_are_counted_again(name):
    # Of 0.1 of the negatives a model says q = 0.5; there are ten times as many: 0.5 / (0.5 + 0.5 / 0.1) = 1/11.
    assert float(build_calibrator(name, 0.1)(np.float32([0.0]))[0]) == pytest.approx(1 / 11, rel=1e-5)


def test_with_the_correction_a_ranker_of_thinned_negatives_needs_no_more():
    # A model that is right about a log of which a quarter of the negatives were kept: logit q = logit p + log 4.
    random = np.random.default_rng(4)
    truth = random.normal(size=40000) - 2.0
    labels = (random.random(40000) < 1 / (1 + np.exp(-truth))).astype(np.float32)
    found = fitted("temperature", truth + math.log(4), labels, negatives_kept=0.25)
    assert float(found.temperature) == pytest.approx(1.0, abs=0.04)
    np.testing.assert_allclose(Calibrator(0.25)(truth + math.log(4)), 1 / (1 + np.exp(-truth)), rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], [1]), "2 logits, 1 labels, 2 weights; give one of each a pair"),
        (([1.0, 2.0], [1, 0], None, [7]), "2 logits, 2 labels, 2 weights, 1 users"),
        (([1.0, np.nan], [1, 0]), "logit of row 1 is nan"),
        (([1.0, 2.0], [1, 1]), r"got labels \[1.0\]"),
        (([1.0, 2.0], [1, 4]), r"got labels \[1.0, 4.0\]"),
        (([1.0, 2.0], [1, 0], [1.0, 0.0]), r"got labels \[1.0\]"),
    ],
)
def test_refuses_with_advice(arguments, message):
    with pytest.raises(MmrecError, match=message):
        PlattCalibrator().fit(*arguments)


def test_names():
    assert type(build_calibrator("temperature")) is TemperatureCalibrator
    with pytest.raises(ConfigError, match="'plat' is unknown. Did you mean 'platt'"):
        build_calibrator("plat")


def test_mixed_precision_does_not_round_logits():
    layer = PlattCalibrator(dtype="mixed_bfloat16")
    # 5.001953125 is 5 in bfloat16.
    found = layer(tf.constant([5.0, 5.001953125])).numpy()
    assert found[1] > found[0]
