"""Calibration by whatever rises."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.errors import ConfigError
from mmrec_tf.models.calibrator import Calibrator


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class IsotonicCalibrator(Calibrator):
    """Whatever rises: the non-decreasing function nearest to the labels, linear between its knots, level beyond them.

    It bends where two numbers cannot, and needs some thousand pairs to be better for it. Between the knots of a step it
    is level: items with different logits may have the same chance.

    One positive below all logits and one negative above them are fitted along, so that no chance is 0 or 1 for certain.
    Until it is fitted it is `Calibrator`.

    Args:
        negatives_kept: see `Calibrator`.
        knots: int, at least 2. The most knots; of a function that has more, evenly spaced ones are kept. Defaults to
            64.

    Reference: Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates (2002).
    """

    def __init__(self, negatives_kept: float = 1.0, knots: int = 64, **kwargs):
        super().__init__(negatives_kept, **kwargs)
        if knots < 2:
            raise ConfigError(f"a line needs 2 knots or more, got {knots}.")
        self.knots = knots
        self.is_fitted = self._add("is_fitted", "zeros")
        self.places = self._add("places", "zeros", [knots])
        self.levels = self._add("levels", "zeros", [knots])

    def chances(self, logits):
        starts, widths = self.places[:-1], self.places[1:] - self.places[:-1]
        # How far each stretch has been walked. What is left of the knots repeats the last one, a stretch of no width.
        walked = tf.clip_by_value(tf.math.divide_no_nan(logits[..., None] - starts, widths), 0.0, 1.0)
        chances = self.levels[0] + tf.reduce_sum(walked * (self.levels[1:] - self.levels[:-1]), axis=-1)
        return tf.where(self.is_fitted > 0.5, tf.clip_by_value(chances, 0.0, 1.0), tf.sigmoid(logits))

    def get_config(self):
        return {**super().get_config(), "knots": self.knots}

    def _fit(self, logits, labels, weights, users):
        from scipy.optimize import isotonic_regression

        places, row = np.unique(logits.astype(np.float32), return_inverse=True)
        mass = np.bincount(row, weights=weights)
        means = np.bincount(row, weights=weights * labels) / mass
        around = [np.concatenate([[first], values, [last]]) for first, values, last in ((1, means, 0), (1, mass, 1))]
        levels = isotonic_regression(around[0], weights=around[1]).x[1:-1]
        # A step is a line between its two ends.
        steps = np.flatnonzero(np.diff(levels) > 0)
        knots = np.unique(np.concatenate([[0], steps, steps + 1, [len(levels) - 1]]))
        if len(knots) > self.knots:
            knots = knots[np.round(np.linspace(0, len(knots) - 1, self.knots)).astype(int)]
        missing = (0, self.knots - len(knots))
        self.places.assign(np.pad(places[knots], missing, mode="edge"))
        self.levels.assign(np.pad(levels[knots], missing, mode="edge").astype(np.float32))
        self.is_fitted.assign(1.0)
