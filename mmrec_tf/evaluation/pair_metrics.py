"""What a ranker's predictions are worth on labelled pairs, before and after calibration, and the calibration itself."""

import numpy as np
import tensorflow as tf

from mmrec_tf.evaluation.classification_metrics import (
    auc,
    expected_calibration_error,
    log_loss,
    per_user_auc,
    reliability,
)
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.target_head import TargetHead


def pair_metrics(
    prepared: Prepared, model: Ranker, pairs: dict[str, np.ndarray], scores: np.ndarray
) -> dict[str, float | None]:
    """AUC, per-user AUC, log loss and calibration error of clicks; RMSE of ratings, and their AUC.

    The order is judged by the scores, by which items are recommended, and not by the chances, of which a calibrator may
    make two equal.

    Args:
        prepared: the prepared data.
        model: the ranker.
        pairs: see `evaluation_pairs`.
        scores: `[n]` float32, what `score_pairs` gives.

    Returns:
        Metric -> value, None where there is nothing to compare. Of clicks log loss and calibration error are those of
        the calibrated chances, and stand beside `uncalibrated_log_loss` and `uncalibrated_calibration_error`, where the
        ranker has a calibration. Of ratings the AUCs are there where positives are defined.
    """
    labels, users = pairs["label"], pairs["user_index"]
    metrics = {}
    if model.target == "rating":
        metrics["rmse"] = float(np.sqrt(np.mean(np.square(scores - labels))))
        if prepared.data.positive_from is None:
            return metrics
        labels = (labels >= prepared.data.positive_from).astype(np.float32)
    metrics |= {"auc": auc(labels, scores), "per_user_auc": per_user_auc(labels, scores, users)}
    for prefix, chances in _chances(model, scores).items():
        metrics[f"{prefix}log_loss"] = log_loss(labels, chances)
        metrics[f"{prefix}calibration_error"] = expected_calibration_error(labels, chances)
    return metrics


def reliability_curves(model: Ranker, pairs: dict[str, np.ndarray], scores: np.ndarray) -> dict[str, list[list[float]]]:
    """`calibrated` and, where the ranker has a calibration, `uncalibrated`: rows of `reliability`; {} of ratings."""
    return {
        f"{prefix}calibrated": [list(map(float, row)) for row in zip(*reliability(pairs["label"], chances))]
        for prefix, chances in {"un" if name else "": found for name, found in _chances(model, scores).items()}.items()
    }


def fit_calibrator(
    model: Ranker | TargetHead, pairs: dict[str, np.ndarray], scores: np.ndarray, of_a_log: bool = False
) -> None:
    """Fits the ranker's calibrator on pairs that it was not trained on; where these cannot tell, it stays as it is.

    Args:
        model, pairs, scores: as for `pair_metrics`.
        of_a_log: bool. Whether the pairs are rows of a log, of the kind that the ranker was trained on: a log loss then
            gives chances, which only enough users can put right; see `PlattCalibrator`. Among drawn negatives they are
            those of another mixture. Defaults to False.
    """
    labels = pairs["label"]
    if model.calibrator is not None and len(labels) and np.ptp(labels) > 0:
        # The other losses leave the level and the scale of the scores to chance.
        users = pairs["user_index"] if of_a_log and model.loss_name == "log_loss" else None
        model.calibrator.fit(scores, labels, users=users)


def _chances(model, scores):
    """Chances by prefix: the calibrated ones and, where they differ, those as they come."""
    if model.calibrator is None:
        return {}
    found = {"": model.predictions(scores).numpy()}
    return found if model.calibration == "none" else {**found, "uncalibrated_": tf.sigmoid(scores).numpy()}
