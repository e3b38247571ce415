"""What calibrators share: from a ranker's logits to chances that come true."""

import math

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.errors import MmrecError


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

    def fit(
        self,
        logits: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray | None = None,
        users: np.ndarray | None = None,
    ) -> None:
        """Sets the weights by pairs that the ranker was not trained on.

        Args:
            logits: `[n]` float, as `call` takes them.
            labels: `[n]` of 0 and 1, with both of them.
            weights: `[n]` float. What each pair counts. Defaults to 1.
            users: `[n]` int. Whom each pair is of, where the ranker was trained for chances: `PlattCalibrator` then
                believes these until enough users say otherwise. None, the default, believes the pairs, as the other
                calibrators always do.

        Raises:
            MmrecError: when lengths differ, a label is neither 0 nor 1, one of them is absent, or a logit is not
                finite.
        """
        logits, labels = (np.asarray(values, np.float64).reshape(-1) for values in (logits, labels))
        weights = np.ones(len(logits)) if weights is None else np.asarray(weights, np.float64).reshape(-1)
        given = {"logits": logits, "labels": labels, "weights": weights}
        if users is not None:
            given["users"] = users = np.asarray(users).reshape(-1)
        if len({len(values) for values in given.values()}) > 1:
            got = ", ".join(f"{len(values)} {name}" for name, values in given.items())
            raise MmrecError(f"calibration got {got}; give one of each a pair.")
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
        users = None if users is None else users[counted]
        self._fit(logits[counted] + math.log(self.negatives_kept), labels[counted], weights[counted], users)

    def get_config(self):
        return {**super().get_config(), "negatives_kept": self.negatives_kept}

    def _fit(self, logits, labels, weights, users):
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
