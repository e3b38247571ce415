"""From a ranker's logits to chances that come true: what is said to happen in 3 of 10 cases does."""

import math

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.errors import ConfigError, MmrecError, suggestion

SMALLEST_SLOPE = 1e-3
"""Of `PlattCalibrator`, by the spread of the logits: a ranker worse than guessing says the same of everything, nearly,
and keeps its order."""

_TEMPERATURES = (0.01, 100.0)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class Calibrator(tf_keras.layers.Layer):
    """Logits to chances as they come, p = sigmoid(logit); what the other calibrators share.

    A ranker orders; its chances are those of its training, and of some losses none at all. A calibrator is a
    non-decreasing function from logit to chance with few parameters, fitted on interactions that the ranker was not
    trained on. It never turns an order round. What is recommended is ordered by the logits themselves, so that two
    items whose chances are equal to float32 still are told apart there.

    The chance is that of the pairs it was fitted on. Where these are positives and drawn items, it is the chance
    against so many drawn items and not that of a click on what is shown; where they are the rows of a log of what was
    shown, it is that of a click.

    Where training took only a share w of the negatives that the data have, the logits are first put right for it:

        p = q / (q + (1 - q) / w),   that is   logit p = logit q + log w

    Args:
        negatives_kept: float in (0, 1]. The share w. Defaults to 1.

    Call arguments:
        logits: float tensor of any shape.

    Returns:
        float32 chances in the shape of `logits`.

    Reference: He et al., Practical Lessons from Predicting Clicks on Ads at Facebook (2014), for the correction.
    """

    def __init__(self, negatives_kept: float = 1.0, **kwargs):
        # Under a mixed policy Keras would round the logits before they arrive.
        super().__init__(autocast=False, **kwargs)
        self.negatives_kept = negatives_kept

    def call(self, logits):
        return self.chances(tf.cast(logits, tf.float32) + math.log(self.negatives_kept))

    def chances(self, logits: tf.Tensor) -> tf.Tensor:
        """What `call` gives, of float32 logits that are put right already."""
        return tf.sigmoid(logits)

    def fit(self, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Sets the weights by pairs that the ranker was not trained on.

        Args:
            logits: `[n]` float, as `call` takes them.
            labels: `[n]` of 0 and 1, with both of them.
            weights: `[n]` float. What each pair counts. Defaults to 1.

        Raises:
            MmrecError: when lengths differ, a label is neither 0 nor 1, one of them is absent, or a logit is not
                finite.
        """
        logits, labels = (np.asarray(values, np.float64).reshape(-1) for values in (logits, labels))
        weights = np.ones(len(logits)) if weights is None else np.asarray(weights, np.float64).reshape(-1)
        if not len(logits) == len(labels) == len(weights):
            raise MmrecError(
                f"calibration got {len(logits)} logits, {len(labels)} labels and {len(weights)} weights; give one of "
                "each a pair."
            )
        if not np.isfinite(logits).all():
            row = int(np.argmin(np.isfinite(logits)))
            raise MmrecError(f"the logit of row {row} is {logits[row]}. Lower the learning rate, or look at features.")
        counted = weights > 0.0
        found = np.unique(labels[counted])
        if not np.array_equal(found, [0.0, 1.0]):
            raise MmrecError(
                f"calibration needs pairs with label 0 and with label 1, got labels {found[:5].tolist()}. "
                "Validate on more interactions, or set models.ranking.calibration to none."
            )
        self._fit(logits[counted] + math.log(self.negatives_kept), labels[counted], weights[counted])

    def get_config(self):
        return {**super().get_config(), "negatives_kept": self.negatives_kept}

    def _fit(self, logits, labels, weights):
        """Nothing to fit here."""

    def _add(self, name, initializer, shape=()):
        return self.add_weight(
            name=name,
            shape=shape,
            dtype="float32",
            initializer=initializer,
            trainable=False,
            experimental_autocast=False,
        )


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

    def _fit(self, logits, labels, weights):
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

    Reference: Platt, Probabilistic Outputs for Support Vector Machines (1999).
    """

    def __init__(self, negatives_kept: float = 1.0, **kwargs):
        super().__init__(negatives_kept, **kwargs)
        self.slope = self._add("slope", "ones")
        self.intercept = self._add("intercept", "zeros")

    def chances(self, logits):
        return tf.sigmoid(self.slope * logits + self.intercept)

    def _fit(self, logits, labels, weights):
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
        self.slope.assign(slope / spread)
        self.intercept.assign(intercept - slope * center / spread)


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

    def _fit(self, logits, labels, weights):
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
