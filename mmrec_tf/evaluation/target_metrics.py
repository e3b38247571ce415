"""What a ranker's predictions of targets beside the main one are worth, and their calibration."""

import numpy as np
import tensorflow as tf

from mmrec_tf.config_ranking import RankingConfig
from mmrec_tf.data.target_labels import rows_of_target
from mmrec_tf.evaluation.classification_metrics import auc, expected_calibration_error, log_loss, per_user_auc
from mmrec_tf.evaluation.pair_metrics import fit_calibrator
from mmrec_tf.models.rankers.base import Ranker

Figures = dict[str, float | int | None]


def target_metrics(
    options: RankingConfig, model: Ranker, pairs: dict[str, np.ndarray], scores: dict[str, np.ndarray]
) -> dict[str, Figures]:
    """Target -> its metrics, over the pairs that say something of it; {} for a ranker of one target.

    What comes after a click is judged twice: its own chance by what was clicked, and, as `joint_auc`, `joint_log_loss`
    and `joint_calibration_error`, the chance that both happen by all pairs.

    Args:
        options: names the targets.
        model: the ranker.
        pairs: see `evaluation_pairs`.
        scores: target -> `[n]` float32, what `score_targets` gives.

    Returns:
        Metric -> value, None where there is nothing to compare. Of what happens or not `pairs` (how many), `share` (in
        how many of these it happened), `auc`, `per_user_auc`, `log_loss`, `calibration_error` and, with a calibration,
        the latter two without it, as in `pair_metrics`. Of numbers `pairs`, `rmse`, `mae`, and `spread`, the RMSE of
        their mean, which is to be beaten.
    """
    if not model.target_heads:
        return {}
    said = {name: np.asarray(chances) for name, chances in model.target_predictions(scores).items()}
    return {name: _metrics(options, model, pairs, scores, said, name) for name in model.target_heads}


def fit_calibrators(
    options: RankingConfig, model: Ranker, pairs: dict[str, np.ndarray], scores: dict[str, np.ndarray]
) -> None:
    """Fits the calibrator of each target on pairs that the ranker was not trained on; see `fit_calibrator`.

    Args:
        options, model, pairs, scores: as for `target_metrics`.
    """
    # With a position the ranker's own chance is that in a middling place, not that of what was shown.
    of_a_log = not options.draws_negatives and options.position is None
    fit_calibrator(model, pairs, scores[model.target], of_a_log=of_a_log)
    for name, head in model.target_heads.items():
        rows = rows_of_target(pairs["targets"], pairs["label"], name, options)
        told = {"label": pairs["targets"][name]["label"][rows], "user_index": pairs["user_index"][rows]}
        fit_calibrator(head, told, scores[name][rows], of_a_log=True)


def _metrics(options, model, pairs, scores, said, name) -> Figures:
    labels = pairs["targets"][name]["label"]
    rows = rows_of_target(pairs["targets"], pairs["label"], name, options)
    found, count = labels[rows], int(rows.sum())
    if model.target_heads[name].kind == "rating":
        if not count:
            return {"pairs": 0}
        wrong = said[name][rows].astype(np.float64) - found
        figures = {"rmse": np.sqrt(np.mean(wrong**2)), "mae": np.mean(np.abs(wrong)), "spread": np.std(found)}
        return {"pairs": count, **{key: float(value) for key, value in figures.items()}}
    users = pairs["user_index"][rows]
    figures = {"pairs": count, "share": float(found.mean()) if count else None}
    figures |= {"auc": auc(found, scores[name][rows]), "per_user_auc": per_user_auc(found, scores[name][rows], users)}
    figures |= _of_chances("", found, said[name][rows])
    if model.calibration != "none":
        figures |= _of_chances("uncalibrated_", found, tf.sigmoid(scores[name][rows]).numpy())
    if options.learned_targets[name].after is not None:
        told = pairs["targets"][name]["weight"] > 0
        both = _joint(model, said, name)[told]
        figures |= {"joint_auc": auc(labels[told], both), **_of_chances("joint_", labels[told], both)}
    return figures


def _joint(model, said, name):
    """The chance that a target happens and all that it comes after, calibrated as each of them is."""
    after = model.targets[name]["after"] if name in model.targets else None
    return said[name] if after is None else said[name] * _joint(model, said, after)


def _of_chances(prefix, labels, chances) -> Figures:
    return {
        f"{prefix}log_loss": log_loss(labels, chances),
        f"{prefix}calibration_error": expected_calibration_error(labels, chances),
    }
