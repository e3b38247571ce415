"""The matrix factorisation baseline: implicit-feedback alternating least squares, in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_CELLS = 4_000_000
"""Most float32 cells of one batch's gathered factors: 16 MB, so that a batch stays near the processor's caches."""


class MatrixFactorization:
    """Recommends by factors of users and items fitted to which pairs occurred and how often.

    Every pair of the whole matrix counts, those that never occurred with confidence 1, the others with more:

        minimise  sum_ui c_ui (p_ui - x_u . y_i)^2 + regularization (sum_u |x_u|^2 + sum_i |y_i|^2)
        p_ui = 1 if r_ui > 0 else 0,    c_ui = 1 + alpha r_ui

    With the items fixed, each user's factors solve a small linear system, and the other way round. Scoring does that
    one solve for the profile it is given (folding in), so that users who were not in training are served like the
    others. A profile with nothing in it gets the popular items.

    Of the settings tried, the defaults did best on the held-out interactions of MovieLens latest-small and of the demo
    shop together.

    Args:
        factors: int. Length of the factors. Defaults to 32.
        regularization: float. Weight of the squared factors. Defaults to 10.
        alpha: float. How much an interaction adds to the confidence. Defaults to 2.
        iterations: int. Passes over users and items. Defaults to 15.
        seed: int. Seeds the initial factors. Defaults to 0.

    Reference: Hu, Koren and Volinsky, Collaborative filtering for implicit feedback datasets (2008).
    """

    def __init__(
        self,
        factors: int = 32,
        regularization: float = 10.0,
        alpha: float = 2.0,
        iterations: int = 15,
        seed: int = 0,
    ):
        self.factors = factors
        self.regularization = regularization
        self.alpha = alpha
        self.iterations = iterations
        self.seed = seed

    def fit(
        self, interactions: csr_matrix, progress: Callable[[str, int, int], None] | None = None
    ) -> MatrixFactorization:
        """Alternates between users and items.

        Args:
            interactions: sparse `[n_users, n_items]`, how often each user had to do with each item in training.
            progress: called with (description, done, total).

        Returns:
            Itself.
        """
        user_items = _occurrences(interactions)
        item_users = user_items.T.tocsr()
        random = np.random.default_rng(self.seed)
        items = random.normal(0.0, 0.1, (user_items.shape[1], self.factors)).astype("float32")
        with _one_blas_thread():
            for iteration in range(self.iterations):
                users = self._solve(user_items, items)
                items = self._solve(item_users, users)
                if progress:
                    progress("matrix factorisation", iteration + 1, self.iterations)
        self.item_factors = items
        self.counts = np.asarray(user_items.sum(axis=0), dtype="float32").ravel()
        return self

    def score(self, profiles: csr_matrix) -> np.ndarray:
        """Folds each profile in and multiplies it with the items.

        Args:
            profiles: sparse `[batch, n_items]`, how often each user had to do with each item.

        Returns:
            `[batch, n_items]` float32.
        """
        profiles = _occurrences(profiles)
        with _one_blas_thread():
            users = self._solve(profiles, self.item_factors)
        scores = users @ self.item_factors.T
        scores[np.diff(profiles.indptr) == 0] = self.counts
        return scores

    def _solve(self, matrix: csr_matrix, fixed: np.ndarray) -> np.ndarray:
        """The factors `[rows, factors]` that fit each row of `matrix` best, given those of its columns."""
        gram = fixed.T.astype("float64") @ fixed + self.regularization * np.eye(self.factors)
        projected = (fixed @ np.linalg.inv(gram)).astype("float32")
        gram = gram.astype("float32")
        solved = np.zeros((matrix.shape[0], self.factors), "float32")
        for rows in self._batches(np.diff(matrix.indptr)):
            columns, counts = _padded(matrix, rows)
            vectors = fixed[columns]
            extra = self.alpha * counts
            wanted = np.where(counts > 0.0, 1.0 + extra, 0.0).astype("float32")[:, :, None]
            width = columns.shape[1]
            if width < self.factors:
                # A row with fewer entries than factors has a smaller system over its entries, by
                # (G + V'CV)^-1 V' = G^-1 V' (I + C V G^-1 V')^-1. Most items of a long tail are such rows.
                inverse = projected[columns].transpose(0, 2, 1)
                system = np.eye(width, dtype="float32") + extra[:, :, None] * (vectors @ inverse)
                solution = inverse @ np.linalg.solve(system, wanted)
            else:
                system = gram + (vectors * extra[:, :, None]).transpose(0, 2, 1) @ vectors
                solution = np.linalg.solve(system, vectors.transpose(0, 2, 1) @ wanted)
            solved[rows] = solution[:, :, 0]
        return solved

    def _batches(self, lengths: np.ndarray):
        """Rows with something in them, in batches of similar length, so that little of a batch is padding."""
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        ordered = lengths[order]
        start = 0
        while start < len(order):
            shortest = ordered[start]
            similar = np.searchsorted(ordered, max(shortest * 5 // 4, shortest + 1), side="right")
            if shortest < self.factors:
                similar = min(similar, np.searchsorted(ordered, self.factors))
            widest = max(int(ordered[similar - 1]), self.factors)
            stop = min(int(similar), start + max(1, _CELLS // (widest * self.factors)))
            yield order[start:stop]
            start = stop


def _occurrences(matrix: csr_matrix) -> csr_matrix:
    occurrences = matrix.tocsr().astype("float32")
    occurrences.sum_duplicates()
    occurrences.eliminate_zeros()
    return occurrences


def _padded(matrix: csr_matrix, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of some rows as rectangles; values of the padding are zero."""
    starts, ends = matrix.indptr[rows], matrix.indptr[rows + 1]
    steps = np.arange((ends - starts).max())
    is_inside = steps < (ends - starts)[:, None]
    places = np.where(is_inside, starts[:, None] + steps, 0)
    return matrix.indices[places], np.where(is_inside, matrix.data[places], np.float32(0.0))


def _one_blas_thread():
    # The products are small: handing each to several threads costs more than it saves, and on a busy machine the
    # waiting threads made a fit of one second last thirty.
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")
