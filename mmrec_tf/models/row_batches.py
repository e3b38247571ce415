"""Rows of a sparse matrix as rectangles: what solving many small systems at once is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_CELLS = 4_000_000
"""Most float32 cells of one batch's gathered factors: 16 MB, so that a batch stays near the processor's caches."""


def row_batches(lengths: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """Rows with something in them, in batches of similar length, so that little of a batch is padding.

    Args:
        lengths: `[rows]` int. Entries of each row.
        width: int. Numbers gathered for each entry. Rows shorter than that never share a batch with longer ones.

    Yields:
        `[batch]` int row numbers.
    """
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    ordered = lengths[order]
    start = 0
    while start < len(order):
        shortest = ordered[start]
        similar = np.searchsorted(ordered, max(shortest * 5 // 4, shortest + 1), side="right")
        if shortest < width:
            similar = min(similar, np.searchsorted(ordered, width))
        widest = max(int(ordered[similar - 1]), width)
        stop = min(int(similar), start + max(1, _CELLS // (widest * width)))
        yield order[start:stop]
        start = stop


def padded(matrix: csr_matrix, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, values and presence of some rows, each `[rows, longest]`; values of the padding are zero."""
    starts, ends = matrix.indptr[rows], matrix.indptr[rows + 1]
    steps = np.arange((ends - starts).max())
    is_inside = steps < (ends - starts)[:, None]
    places = np.where(is_inside, starts[:, None] + steps, 0)
    return matrix.indices[places], np.where(is_inside, matrix.data[places], np.float32(0.0)), is_inside


def one_blas_thread():
    """A context in which NumPy's products take one thread.

    Where the products are small, handing each to several threads costs more than it saves, and on a busy machine the
    waiting threads made a fit of one second last thirty.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, user_api="blas")
