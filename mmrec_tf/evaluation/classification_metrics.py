"""How well a ranker tells what is taken from what is not: AUC, AUC within each user, log loss."""

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
    labels, probabilities = _checked(labels, probabilities)
    if not len(labels):
        return None
    if probabilities.min() < 0.0 or probabilities.max() > 1.0:
        raise MmrecError(
            f"log loss needs probabilities in [0, 1], got values from {probabilities.min():.4g} to "
            f"{probabilities.max():.4g}. Apply a sigmoid to logits first."
        )
    probabilities = np.clip(probabilities, 1e-7, 1.0 - 1e-7)
    return float(-np.mean(np.where(labels, np.log(probabilities), np.log1p(-probabilities))))


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
