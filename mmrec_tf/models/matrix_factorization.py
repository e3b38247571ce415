"""The matrix factorisation baseline: implicit-feedback alternating least squares, in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_CELLS = 8_000_000
"""Most float32 cells of one batch's gathered factors: 32 MB, which stays near the processor's caches."""


class MatrixFactorization:
    def __init__(self, factors=64, regularization=10.0, alpha=10.0, iterations=15, seed=0, nu=0.0):
        self.factors = factors
        self.regularization = regularization
        self.alpha = alpha
        self.iterations = iterations
        self.seed = seed
        self.nu = nu

    def fit(self, interactions: csr_matrix, progress: Callable[[str, int, int], None] | None = None):
        user_items = interactions.tocsr().astype("float32")
        item_users = user_items.T.tocsr()
        random = np.random.default_rng(self.seed)
        items = random.normal(0.0, 0.1, (user_items.shape[1], self.factors)).astype("float32")
        for iteration in range(self.iterations):
            users = self._solve(user_items, items)
            items = self._solve(item_users, users)
            if progress:
                progress("matrix factorisation", iteration + 1, self.iterations)
        self.item_factors = items
        self.popularity = np.asarray(user_items.sum(axis=0)).ravel()
        return self

    def score(self, profiles: csr_matrix) -> np.ndarray:
        profiles = profiles.tocsr().astype("float32")
        scores = self._solve(profiles, self.item_factors) @ self.item_factors.T
        scores[np.diff(profiles.indptr) == 0] = self.popularity
        return scores

    def _solve(self, matrix, fixed):
        f = fixed.shape[1]
        gram = (fixed.T @ fixed + self.regularization * np.eye(f)).astype("float32")
        projected = fixed @ np.linalg.inv(gram.astype("float64")).astype("float32")
        n = matrix.shape[0]
        solved = np.zeros((n, f), "float32")
        lengths = np.diff(matrix.indptr)
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] > 0]
        start = 0
        while start < len(order):
            left = lengths[order[start:]]
            cells = np.maximum(left, f) * np.arange(1, len(left) + 1) * f
            stop = start + max(1, int(np.searchsorted(cells, _CELLS, side="right")))
            if lengths[order[start]] < f: stop = min(stop, int(np.searchsorted(lengths[order], f)))
            # narrow batches: widths alike
            stop = min(stop, max(start + 1, int(np.searchsorted(lengths[order], 2*lengths[order[start]], side="right"))))
            rows = order[start:stop]
            width = int(lengths[rows[-1]])
            steps = np.arange(width)
            inside = steps < lengths[rows][:, None]
            position = np.where(inside, matrix.indptr[rows][:, None] + steps, 0)
            counts = np.where(inside, matrix.data[position], 0.0).astype("float32")
            cols = matrix.indices[position]
            vectors = fixed[cols]
            extra = self.alpha * counts
            conf = (extra + (counts > 0)).astype("float32")
            if width < f:
                proj = projected[cols]
                K = vectors @ proj.transpose(0, 2, 1)
                z = np.linalg.solve(np.eye(width, dtype="float32") + extra[:, :, None] * K, conf[:, :, None])
                solved[rows] = (proj.transpose(0, 2, 1) @ z)[:, :, 0]
            else:
                system = gram + (vectors * extra[:, :, None]).transpose(0, 2, 1) @ vectors
                solved[rows] = np.linalg.solve(system, (conf[:, None, :] @ vectors).transpose(0, 2, 1))[:, :, 0]
            start = stop
        return solved
