"""Kernels that say less: small weights left out, or few values shared by all. Files of such models zip well."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import tf_keras

Thinning = Callable[[np.ndarray], np.ndarray]

_ROUNDS = 50


def pruned(kernel: np.ndarray, share: float = 0.5) -> np.ndarray:
    """A kernel without its smallest weights: a share of them is 0, those of the smallest size.

    Reference: Han et al., Learning both weights and connections for efficient neural networks (2015).
    """
    count = int(share * kernel.size)
    thin = kernel.copy()
    thin.ravel()[np.argsort(np.abs(kernel).ravel(), kind="stable")[:count]] = 0.0
    return thin


def shared(kernel: np.ndarray, values: int = 16) -> np.ndarray:
    """A kernel of few different values: each weight is the mean of those that are near it, by k-means.

    Reference: Han et al., Deep compression (2016), section 3.
    """
    weights = kernel.ravel().astype(np.float64)
    centres = np.unique(np.linspace(weights.min(), weights.max(), values))
    for _ in range(_ROUNDS):
        nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, weights)
        counts = np.bincount(nearest, minlength=len(centres))
        sums = np.bincount(nearest, weights, minlength=len(centres))
        moved = np.where(counts > 0, sums / np.maximum(counts, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, weights)
    return centres[nearest].reshape(kernel.shape).astype(kernel.dtype)


@contextmanager
def thinned(model: tf_keras.Model, thinning: Thinning) -> Iterator[int]:
    """A model whose trained kernels are thinned inside the block, and as they were behind it.

    Embeddings, biases and scales are left alone.

    Yields:
        How many kernels there are.
    """
    kernels = [x for x in model.trainable_variables if x.shape.rank >= 2 and x.name.endswith("kernel:0")]
    before = [kernel.numpy() for kernel in kernels]
    try:
        for kernel, weights in zip(kernels, before):
            kernel.assign(thinning(weights))
        yield len(kernels)
    finally:
        for kernel, weights in zip(kernels, before):
            kernel.assign(weights)
