"""The popularity baseline: the floor that every personalised model has to clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Popularity:
    """Recommends to everyone what was consumed most often in training.

    It knows nothing of the user, and on many catalogues it is hard to beat; a model that does not beat it has learnt
    nothing worth serving.

    Example:

        >>> import numpy as np
        >>> from scipy.sparse import csr_matrix
        >>> interactions = csr_matrix(np.array([[1, 0], [1, 1]]))
        >>> Popularity().fit(interactions).score(csr_matrix((1, 2)))
        array([[2., 1.]], dtype=float32)
    """

    def fit(self, interactions: csr_matrix) -> Popularity:
        """Counts each item's interactions.

        Args:
            interactions: sparse `[n_users, n_items]`, how often each user had to do with each item in training.

        Returns:
            Itself.
        """
        self.counts = np.asarray(interactions.sum(axis=0), dtype="float32").ravel()
        return self

    def score(self, profiles: csr_matrix) -> np.ndarray:
        """Each item's count, the same for every profile.

        Args:
            profiles: sparse `[batch, n_items]`; only its number of rows matters.

        Returns:
            `[batch, n_items]` float32.
        """
        return np.tile(self.counts, (profiles.shape[0], 1))
