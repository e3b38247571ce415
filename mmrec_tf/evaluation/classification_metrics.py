"""How well a ranker tells what is taken from what is not: AUC, within each user too, log loss, calibration."""

from __future__ import annotations

import numpy as np

from mmrec_tf.errors import MmrecError


def auc(labels: np.ndarray, scores: np.ndarray) -> float | None:
    """Chance that a positive is scored above a negative, ties counting half: the exact area under the ROC curve.

    From ranks (Mann-Whitney): equal scores share the mean of their ranks.

    Args:
        labels: `[n]` of 0 and 1, or bool.
        scores: `[n]` float, higher means more likely.

    Returns:
        In [0, 1]; None where one of the two classes is absent, as nothing can be compared.

    Raises:
        MmrecError: when lengths differ, a label is neither 0 nor 1, or a score is NaN.
    """
    labels, scores = _checked(labels, scores)
    return _mean(_auc_by_group(labels, scores, np.zeros(len(labels), np.int64)))


def per_user_auc(labels: np.ndarray, scores: np.ndarray, users: np.ndarray) -> float | None:
    """The AUC within each user, averaged over the users who have both a positive and a negative.

    The plain AUC also rewards knowing which users click much, which reorders nobody's list.

    Args:
        labels, scores: as in `auc`.
        users: `[n]` int. Whose each row is.

    Returns:
        In [0, 1]; None where no user has both.

    Raises:
        MmrecError: as in `auc`.
    """
    labels, scores = _checked(labels, scores)
    return _mean(_auc_by_group(labels, scores, np.unique(users, return_inverse=True)[1].reshape(-1)))


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Mean of -log of the probability given to what happened, in nats. Lower is better.

    Args:
        labels: `[n]` of 0 and 1, or bool.
        probabilities: `[n]` float in [0, 1]. Held 1e-7 away from 0 and 1, which float32 cannot tell from them.

    Returns:
        At least 0; None without any row.

    Raises:
        MmrecError: as in `auc`, and when a probability is outside [0, 1].
    """
    labels, probabilities = _checked_chances(labels, probabilities)
    if not len(labels):
        return None
    probabilities = np.clip(probabilities, 1e-7, 1.0 - 1e-7)
    return float(-np.mean(np.where(labels, np.log(probabilities), np.log1p(-probabilities))))


def expected_calibration_error(labels: np.ndarray, predictions: np.ndarray, bins: int = 15) -> float | None:
    """How far chances are from what happens, on average: lower is better, and 0 for chances that come true.

        sum over bins b of n_b / n |share of positives in b - mean chance in b|

    A ranker that says the base rate of everything has 0 too: read it beside the log loss.

    Args:
        labels, predictions: as in `log_loss`.
        bins: int. See `reliability`. Defaults to 15.

    Returns:
        In [0, 1]; None without any row.

    Raises:
        MmrecError: as in `log_loss`.

    Reference: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning (2015), with bins of equal
    mass.
    """
    chances, shares, counts = reliability(labels, predictions, bins)
    return float(np.average(np.abs(shares - chances), weights=counts)) if len(counts) else None


def reliability(
    labels: np.ndarray, predictions: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What happened against what was said would, by bins of rising chance with as many rows in each.

    Rows of equal chance stay in one bin, so that bins may differ in size, and be fewer.

    Args:
        labels, predictions: as in `log_loss`.
        bins: int, at least 1. The most bins. Defaults to 15.

    Returns:
        The mean chance, the share of positives and the number of rows of each bin that has any, each `[bins]`.

    Raises:
        MmrecError: as in `log_loss`.
    """
    labels, predictions = _checked_chances(labels, predictions)
    lower = np.searchsorted(np.sort(predictions), predictions, side="left")
    place = lower * bins // max(len(labels), 1)
    counts, chances, shares = (np.bincount(place, weights=of) for of in (None, predictions, labels))
    filled = counts > 0
    counts = counts[filled]
    return chances[filled] / counts, shares[filled] / counts, counts


def _auc_by_group(labels, scores, groups):
    """The AUC of each group that holds both classes."""
    if not len(labels):
        return np.zeros(0)
    order = np.lexsort((scores, groups))
    labels, scores, groups = labels[order], scores[order], groups[order]
    starts_tie = np.concatenate([[True], (scores[1:] != scores[:-1]) | (groups[1:] != groups[:-1])])
    ties = np.cumsum(starts_tie) - 1
    firsts = np.flatnonzero(starts_tie)
    lasts = np.concatenate([firsts[1:], [len(labels)]]) - 1
    sizes = np.bincount(groups)
    offsets = np.cumsum(sizes) - sizes
    # Ranks count from 1 within the group.
    ranks = (firsts + lasts)[ties] / 2.0 - offsets[groups] + 1.0
    positives = np.bincount(groups, weights=labels)
    negatives = sizes - positives
    rank_sums = np.bincount(groups, weights=ranks * labels)
    both = (positives > 0) & (negatives > 0)
    above = rank_sums - positives * (positives + 1) / 2.0
    return above[both] / (positives[both] * negatives[both])


def _mean(values):
    return float(values.mean()) if len(values) else None


def _checked_chances(labels, probabilities):
    labels, probabilities = _checked(labels, probabilities)
    if len(labels) and (probabilities.min() < 0.0 or probabilities.max() > 1.0):
        raise MmrecError(
            f"probabilities lie in [0, 1], got values from {probabilities.min():.4g} to {probabilities.max():.4g}. "
            "Apply a sigmoid to logits first."
        )
    return labels, probabilities


def _checked(labels, scores):
    labels, scores = np.asarray(labels).reshape(-1), np.asarray(scores, np.float64).reshape(-1)
    if labels.shape != scores.shape:
        raise MmrecError(f"{len(labels)} labels and {len(scores)} scores do not go together; give one score a label.")
    if not np.isin(labels, (0, 1)).all():
        value = labels[~np.isin(labels, (0, 1))][0]
        raise MmrecError(f"labels must be 0 or 1, got {value}. Compare ratings with data.positive_from first.")
    if np.isnan(scores).any():
        raise MmrecError(
            f"the score of row {int(np.argmax(np.isnan(scores)))} is NaN. The model's training did not stay finite: "
            "lower the learning rate, or look at the features."
        )
    return labels.astype(bool), scores
