"""The user-to-user nearest-neighbour baseline: what people with a similar profile consumed."""

from __future__ import annotations

import numpy as np

from mmrec_tf.models.recommender_model import Asked, Progress, RecommenderModel, TrainingData, consumed, item_counts

_BLOCK = 64
"""Profiles compared with all users at a time."""


class UserKnn(RecommenderModel):
    """Recommends what those users consumed whose profiles are most like the user's own.

    Profiles are alike by the cosine of what they hold, shrunk so that a similarity that rests on few common items
    counts less, and a candidate's score is the sum of the similarities of the neighbours who consumed it:

        s(u, v) = |I_u and I_v| / (sqrt(|I_u| |I_v|) + shrink)
        score(u, i) = sum over the `neighbours` most similar users v != u who consumed i of s(u, v)

    Fitting only stores the interactions; neighbours are found when a profile is scored, so strangers are served like
    everybody. The comparison is a sparse product of a block of profiles with all users, so memory is bounded by
    block times users. Items that no neighbour consumed follow by popularity, with scores below zero; for a profile
    that nobody shares anything with, or an empty one, that is every item. Repeated interactions count once.

    Args:
        neighbours: int. Neighbours of a profile. Defaults to 20.
        shrink: float. Added to the cosine's denominator. Defaults to 10.

    Reference: Herlocker et al., An algorithmic framework for performing collaborative filtering (SIGIR 1999).
    """

    SEARCH = {"neighbours": (5, 10, 20, 50, 100, 200), "shrink": (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)}

    def __init__(self, neighbours: int = 20, shrink: float = 10.0):
        self.neighbours = neighbours
        self.shrink = shrink

    def fit(self, training: TrainingData, progress: Progress | None = None) -> UserKnn:
        self.user_items = consumed(training.positives)
        self._item_users = self.user_items.T.tocsr()
        self._norms = np.sqrt(np.diff(self.user_items.indptr)).astype("float32")
        self.bring_up_to_date(training)
        return self

    def bring_up_to_date(self, interactions: TrainingData) -> None:
        counts = item_counts(consumed(interactions.positives))
        self._below_zero = counts / (counts.max(initial=0.0) + 1.0) - 1.0

    def score(self, asked: Asked) -> np.ndarray:
        scores = np.empty(asked.profiles.shape, "float32")
        for start in range(0, len(asked), _BLOCK):
            some = asked[start : start + _BLOCK]
            similarities = self.similarities(some)
            scores[start : start + len(some)] = (similarities @ self.user_items).toarray()
        return np.where(scores > 0.0, scores, self._below_zero)

    def similarities(self, asked: Asked):
        """CSR `[batch, n_users]` float32: the similarities to each profile's neighbours, nothing elsewhere."""
        from scipy.sparse import csr_matrix

        profiles = consumed(asked.profiles)
        norms = np.sqrt(np.diff(profiles.indptr))
        common = (profiles @ self._item_users).tocsr()
        columns, values = [], []
        for row in range(len(asked)):
            entries = slice(common.indptr[row], common.indptr[row + 1])
            users = common.indices[entries]
            similarity = common.data[entries] / (norms[row] * self._norms[users] + self.shrink)
            if asked.user_rows is not None:
                is_other = users != asked.user_rows[row]
                users, similarity = users[is_other], similarity[is_other]
            if len(users) > self.neighbours:
                kept = np.argpartition(-similarity, self.neighbours - 1)[: self.neighbours]
                users, similarity = users[kept], similarity[kept]
            columns.append(users)
            values.append(similarity)
        indptr = np.concatenate([[0], np.cumsum([len(users) for users in columns])])
        flat = np.concatenate(values).astype("float32"), np.concatenate(columns), indptr
        return csr_matrix(flat, shape=(len(asked), len(self._norms)))
