"""The item-to-item nearest-neighbour baseline, on sparse data often ahead of deep models."""

from __future__ import annotations

import numpy as np

from mmrec_tf.models.recommender_model import Asked, Progress, RecommenderModel, TrainingData, consumed, item_counts

_BLOCK = 512
"""Items whose neighbours are found at a time, so that no item-by-item matrix is ever held."""


class ItemKnn(RecommenderModel):
    """Recommends the items most often consumed by the people who consumed what the user did.

    Two items are similar when the same users consumed both, by the cosine of their user columns, shrunk so that a
    similarity that rests on few common users counts less:

        s(i, j) = |U_i and U_j| / (sqrt(|U_i| |U_j|) + shrink)

    Each item keeps its `neighbours` most similar items, and a candidate's score is the sum of its similarities to
    those of its neighbours that are in the profile. Items that share no neighbour with the profile follow in the
    order of their popularity, with scores below zero; for an empty profile that is every item, so a user who is not
    known at all gets the popular items.

    Repeated interactions count once.

    Args:
        neighbours: int. Neighbours kept for each item. Defaults to 100.
        shrink: float. Added to the cosine's denominator. Defaults to 10.

    Reference: Sarwar et al., Item-based collaborative filtering recommendation algorithms (2001); the shrinkage is
    that of Bell and Koren (2007).
    """

    SEARCH = {"neighbours": (20, 50, 100, 200, 400), "shrink": (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)}

    def __init__(self, neighbours: int = 100, shrink: float = 10.0):
        self.neighbours = neighbours
        self.shrink = shrink

    def fit(self, training: TrainingData, progress: Progress | None = None) -> ItemKnn:
        from scipy.sparse import csr_matrix

        user_items = consumed(training.positives)
        item_users = user_items.T.tocsr()
        n_items = user_items.shape[1]
        counts = np.diff(item_users.indptr).astype("float32")
        norms = np.sqrt(counts)
        columns, values, lengths = [], [], np.zeros(n_items, "int64")
        for start in range(0, n_items, _BLOCK):
            common = (item_users[start : start + _BLOCK] @ user_items).tocsr()
            for offset in range(common.shape[0]):
                item = start + offset
                row = slice(common.indptr[offset], common.indptr[offset + 1])
                others = common.indices[row]
                similarity = common.data[row] / (norms[item] * norms[others] + self.shrink)
                similarity[others == item] = 0.0
                kept = np.arange(len(others))
                if len(others) > self.neighbours:
                    kept = np.argpartition(-similarity, self.neighbours - 1)[: self.neighbours]
                kept = kept[similarity[kept] > 0.0]
                columns.append(others[kept])
                values.append(similarity[kept])
                lengths[item] = len(kept)
            if progress:
                progress("item-KNN", min(start + _BLOCK, n_items), n_items)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        flat_columns = np.concatenate(columns) if columns else np.zeros(0, "int32")
        flat_values = np.concatenate(values) if values else np.zeros(0)
        similarities = csr_matrix((flat_values.astype("float32"), flat_columns, indptr), shape=(n_items, n_items))
        self.similarities = similarities
        self._profile_to_item = similarities.T.tocsr()
        self.bring_up_to_date(training)
        return self

    def bring_up_to_date(self, interactions: TrainingData) -> None:
        counts = item_counts(consumed(interactions.positives))
        self._below_zero = counts / (counts.max(initial=0.0) + 1.0) - 1.0

    def score(self, asked: Asked) -> np.ndarray:
        scores = (consumed(asked.profiles) @ self._profile_to_item).toarray()
        return np.where(scores > 0.0, scores, self._below_zero)
