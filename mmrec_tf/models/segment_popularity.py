"""What is popular among people alike: the simplest use of what is known of users."""

from __future__ import annotations

import numpy as np

from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.models.recommender_model import Asked, Progress, RecommenderModel, TrainingData, item_counts


class SegmentPopularity(RecommenderModel):
    """Recommends what is consumed most often by the users of the same segment: a country, an age group, a plan.

    It serves newcomers better than global popularity, because a profile has a segment before it has a history. Small
    segments lean on everybody, as if `prior` more interactions had been seen that follow global popularity:

        score(u, i) = (n_si + prior n_i / n) / (n_s + prior),    s = segment of u

    with n_si the interactions of segment s with item i. Users whose segment is not known, or without a row in
    training, get global popularity n_i / n. The rows `[n_items]` of the scores sum to 1.

    Args:
        segment: str. A categorical feature of the users. Defaults to None: the only one, or all of them together,
            where only those who agree in each are alike.
        prior: float. Weight of global popularity, in interactions. Defaults to 100.

    Raises:
        ConfigError: if `prior` is below zero.
        DataError: from `fit`, if the users have no such feature.
    """

    SEARCH = {"prior": (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)}

    def __init__(self, segment: str | None = None, prior: float = 100.0):
        if not prior >= 0.0:
            raise ConfigError(f"prior must be 0 or more interactions, got {prior}.")
        self.segment = segment
        self.prior = prior

    def check(self, training: TrainingData) -> None:
        known = training.user_segments
        names = self._names(training)
        if not names or names[0] not in known:
            asked = "" if self.segment is None else f" named {self.segment!r}"
            raise DataError(
                f"segment_popularity needs a categorical feature of the users{asked}; these data have "
                f"{', '.join(known) or 'none'}. Declare one in schema.user, or leave segment_popularity out of "
                "evaluation.baselines."
            )

    def fit(self, training: TrainingData, progress: Progress | None = None) -> SegmentPopularity:
        from scipy.sparse import csr_matrix

        self.check(training)
        places = self._segments(training)
        # Row 0 stays empty: those of no known segment are served by everybody's popularity.
        rows = np.flatnonzero(places)
        shape = (places.max() + 1, training.n_users)
        membership = csr_matrix((np.ones(len(rows)), (places[rows], rows)), shape=shape)
        everybody = item_counts(training.positives).astype(np.float64)
        # Sparse, because there may be nearly as many segments as users.
        self.counts = (membership @ training.positives).tocsr()
        self.shares = everybody / max(everybody.sum(), 1.0)
        self.segments = places
        return self

    def bring_up_to_date(self, interactions: TrainingData) -> None:
        self.fit(interactions)

    def score(self, asked: Asked) -> np.ndarray:
        places = np.zeros(len(asked), np.int64)
        if asked.user_rows is not None:
            rows = np.asarray(asked.user_rows)
            places = np.where(rows >= 0, self.segments[np.maximum(rows, 0)], 0)
        counts = self.counts[places].toarray()
        totals = counts.sum(axis=1, keepdims=True)
        weight = np.where(totals > 0.0, self.prior, max(self.prior, 1.0))
        return ((counts + weight * self.shares) / (totals + weight).clip(min=1e-12)).astype("float32")

    def _names(self, training):
        return list(training.user_segments) if self.segment is None else [self.segment]

    def _segments(self, training):
        """`[n_users]` int: 0 where no segment is known, else a number for each combination that occurs."""
        columns = np.stack([np.asarray(training.user_segments[name]) for name in self._names(training)], axis=1)
        is_known = (columns > 0).any(axis=1)
        places = np.zeros(len(columns), np.int64)
        if is_known.any():
            places[is_known] = np.unique(columns[is_known], axis=0, return_inverse=True)[1].ravel() + 1
        return places
