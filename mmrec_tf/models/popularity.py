"""The popularity baseline: the floor that every personalised model has to clear."""

from __future__ import annotations

import numpy as np

from mmrec_tf.models.recommender_model import Asked, Progress, RecommenderModel, TrainingData, item_counts


class Popularity(RecommenderModel):
    """Recommends to everyone what was consumed most often in training.

    It knows nothing of the user, and on many catalogues it is hard to beat; a model that does not beat it has learnt
    nothing worth serving. The scores `[batch, n_items]` are the items' counts, repeats included, the same in every row.

    Example:

        >>> import numpy as np
        >>> from scipy.sparse import csr_matrix
        >>> training = TrainingData(csr_matrix(np.array([[1, 0], [1, 1]])))
        >>> Popularity().fit(training).score(Asked(csr_matrix((1, 2))))
        array([[2., 1.]], dtype=float32)
    """

    def fit(self, training: TrainingData, progress: Progress | None = None) -> Popularity:
        self.counts = item_counts(training.positives)
        return self

    def bring_up_to_date(self, interactions: TrainingData) -> None:
        self.fit(interactions)

    def score(self, asked: Asked) -> np.ndarray:
        return np.tile(self.counts, (len(asked), 1))
