"""From a ranker's logits to chances that come true: what is said to happen in 3 of 10 cases does."""

import math

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.models.calibrator import Calibrator
from mmrec_tf.models.grouped_estimates import grouped_covariance, shrunk
from mmrec_tf.models.isotonic_calibrator import IsotonicCalibrator

SMALLEST_SLOPE = 1e-3
"""Of `PlattCalibrator`, by the spread of the logits: a ranker worse than guessing says the same of everything, nearly,
and keeps its order."""

USUAL_DEVIATION = 0.1
"""How far a ranker's chances usually are off that was trained for them: of `PlattCalibrator`, the standard deviation of
the slope from 1 and of the level from where it is."""

_TEMPERATURES = (0.01, 100.0)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TemperatureCalibrator(Calibrator):
    """Logits divided by one number: p = sigmoid(logit / T). For rankers that are too sure, or not sure enough.

    T minimises the log loss against the targets of `PlattCalibrator`, within [0.01, 100].

    Reference: Guo et al., On Calibration of Modern Neural Networks (2017).
    """

    def __init__(self, negatives_kept: float = 1.0, **kwargs):
        super().__init__(negatives_kept, **kwargs)
        self.temperature = self._add("temperature", "ones")

    def chances(self, logits):
        return tf.sigmoid(logits / self.temperature)

    def _fit(self, logits, labels, weights, users):
        from scipy.optimize import minimize_scalar

        targets = _smooth(labels, weights)
        # Convex in 1 / T, hence with one valley in log T.
        found = minimize_scalar(
            lambda power: _loss(logits * math.exp(-power), targets, weights),
            bounds=[math.log(end) for end in _TEMPERATURES],
            method="bounded",
            options={"xatol": 1e-7},
        )
        self.temperature.assign(math.exp(found.x))


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class PlattCalibrator(Calibrator):
    """Logits stretched and moved: p = sigmoid(a logit + b), a > 0. Also for losses that know no level.

    a and b minimise the log loss against targets a little inside of 0 and 1, so that they stay finite where the labels
    can be told apart without error: of n positives (n + 1) / (n + 2), of m negatives 1 / (m + 2). a is at least
    `SMALLEST_SLOPE`.

    The taste and the mood of some sixty users can move the level of ten thousand pairs far from that of the next sixty.
    Where `fit` is told the users, a and the level are drawn towards those of the ranker itself, by how much the users
    differ and by `USUAL_DEVIATION`; see `shrunk`.

    Reference: Platt, Probabilistic Outputs for Support Vector Machines (1999).
    """

    def __init__(self, negatives_kept: float = 1.0, **kwargs):
        super().__init__(negatives_kept, **kwargs)
        self.slope = self._add("slope", "ones")
        self.intercept = self._add("intercept", "zeros")

    def chances(self, logits):
        return tf.sigmoid(self.slope * logits + self.intercept)

    def _fit(self, logits, labels, weights, users):
        from scipy.optimize import minimize

        targets, center, spread = _smooth(labels, weights), logits.mean(), logits.std() or 1.0
        places = (logits - center) / spread

        def loss(found):
            scores = found[0] * places + found[1]
            wrong = weights / weights.sum() * (_sigmoid(scores) - targets)
            return _loss(scores, targets, weights), np.array([wrong @ places, wrong.sum()])

        slope, intercept = minimize(
            loss,
            np.array([spread, center]),
            jac=True,
            method="L-BFGS-B",
            bounds=[(SMALLEST_SLOPE, None), (None, None)],
            options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
        ).x
        slope /= spread
        if users is not None:
            slope, intercept = self._believed(slope, intercept, logits - center, targets, weights, users, center)
        self.slope.assign(slope)
        self.intercept.assign(intercept - slope * center)

    def _believed(self, slope, level, places, targets, weights, users, center):
        itself = np.array([1.0, center])
        if len(np.unique(users)) < 2:
            return itself
        chances = _sigmoid(slope * places + level)
        features = np.stack([places, np.ones_like(places)], axis=1)
        uncertain = grouped_covariance(
            features, weights * (targets - chances), weights * chances * (1.0 - chances), users
        )
        slope, level = shrunk(np.array([slope, level]), itself, USUAL_DEVIATION, uncertain)
        return max(slope, SMALLEST_SLOPE), level


CALIBRATORS = {
    "none": Calibrator,
    "temperature": TemperatureCalibrator,
    "platt": PlattCalibrator,
    "isotonic": IsotonicCalibrator,
}
"""The calibrators by the names that `models.ranking.calibration` takes."""


def build_calibrator(name: str, negatives_kept: float = 1.0) -> Calibrator:
    """The calibrator of that name, not fitted yet.

    Args:
        name: one of `CALIBRATORS`.
        negatives_kept: float in (0, 1]. See `Calibrator`.

    Raises:
        ConfigError: for an unknown name, with the nearest known one.
    """
    if name not in CALIBRATORS:
        raise ConfigError(
            f"models.ranking.calibration {name!r} is unknown.{suggestion(name, CALIBRATORS)} "
            f"Allowed: {', '.join(CALIBRATORS)}."
        )
    return CALIBRATORS[name](negatives_kept=negatives_kept)


def _smooth(labels, weights):
    """Targets a little inside of 0 and 1; see `PlattCalibrator`."""
    positives = float(weights @ labels)
    negatives = float(weights.sum()) - positives
    return np.where(labels > 0, (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0))


def _loss(scores, targets, weights):
    """Mean log loss of logits: log(1 + e^s) - target * s."""
    return float(np.average(np.logaddexp(0.0, scores) - targets * scores, weights=weights))


def _sigmoid(scores):
    return 0.5 * (1.0 + np.tanh(0.5 * scores))
