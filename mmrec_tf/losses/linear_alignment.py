"""Alignment of two modalities by linear maps, solved in closed form."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmrec_tf.errors import ConfigError, DataError


@dataclass(frozen=True)
class LinearAlignment:
    """The maps that `linear_alignment` found.

    Attributes:
        first_mean: `[d_a]` float32. Subtracted from vectors of the first modality before they are mapped.
        first_map: `[d_a, dim]` float32. Its map into the common space.
        second_mean: `[d_b]` float32.
        second_map: `[d_b, dim]` float32.
        strengths: `[dim]` float32, decreasing: the canonical correlation of each common dimension for `cca`, its
            covariance for `procrustes`.
    """

    first_mean: np.ndarray
    first_map: np.ndarray
    second_mean: np.ndarray
    second_map: np.ndarray
    strengths: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        """`[d_a, d_b]` alignment matrix M: (a - mean_a) M (b - mean_b) is the dot product in the common space."""
        return self.first_map @ self.second_map.T

    def map_first(self, vectors: np.ndarray) -> np.ndarray:
        """`[n, d_a]` vectors of the first modality to `[n, dim]`."""
        return (vectors - self.first_mean) @ self.first_map

    def map_second(self, vectors: np.ndarray) -> np.ndarray:
        """`[n, d_b]` vectors of the second modality to `[n, dim]`."""
        return (vectors - self.second_mean) @ self.second_map


def linear_alignment(
    first: np.ndarray,
    second: np.ndarray,
    mask: np.ndarray | None = None,
    method: Literal["cca", "procrustes"] = "cca",
    dim: int | None = None,
    regularization: float = 1e-3,
) -> LinearAlignment:
    """Aligns two modalities of the same items by one linear map each, without training.

    Seconds of linear algebra show how much two encoders agree on a catalogue, give a baseline that a trained
    alignment must beat, and can start one. With the centred vectors' covariances C:

    - `cca`: both sides are whitened and rotated so that the k-th common dimension correlates the most, given those
      before it: C_aa^(-1/2) C_ab C_bb^(-1/2) = U S V', maps C_aa^(-1/2) U and C_bb^(-1/2) V, strengths S.
    - `procrustes`: both sides are only rotated, so distances within a modality stay as they are:
      C_ab = U S V', maps U and V. With equal widths, `matrix` is the rotation that brings the first modality
      nearest to the second.

    Args:
        first: `[n, d_a]` float. Vectors of the first modality.
        second: `[n, d_b]` float. Vectors of the second, row by row of the same items.
        mask: `[n]` bool. Rows that have both; all when None.
        method: `cca` or `procrustes`.
        dim: int. Width of the common space; the smaller of the two widths when None, and never more.
        regularization: float. For `cca`: added to the diagonal of each covariance, as a share of its mean. Without it,
            fewer rows than dimensions correlate perfectly whatever they are.

    Returns:
        A `LinearAlignment`. Where all vectors of a modality are equal, the strengths are 0 and, for `cca`, its map is
        zeros.

    Raises:
        ConfigError: for an unknown method.
        DataError: for vectors that do not belong together, a counted value that is not finite, or fewer than two
            counted rows.

    Example:

        >>> vectors = np.random.default_rng(0).normal(size=[100, 3])
        >>> turn = np.linalg.qr(np.random.default_rng(1).normal(size=[3, 3]))[0]
        >>> found = linear_alignment(vectors, vectors @ turn, method="procrustes")
        >>> bool(np.allclose(found.matrix, turn, atol=1e-5))
        True

    Reference: Hotelling, Relations between two sets of variates (1936); Schönemann, A generalized solution of the
    orthogonal Procrustes problem (1966).
    """
    if method not in ("cca", "procrustes"):
        raise ConfigError(f"linear alignment method {method!r} is unknown. Allowed: cca, procrustes.")
    first, second = _counted(first, second, mask)
    means = first.mean(axis=0), second.mean(axis=0)
    first, second = (_centred(side, mean) for side, mean in zip((first, second), means))
    cross = first.T @ second / len(first)
    if method == "cca":
        whiten_first, whiten_second = (_inverse_root(side, regularization) for side in (first, second))
        left, strengths, right = np.linalg.svd(whiten_first @ cross @ whiten_second, full_matrices=False)
        maps = whiten_first @ left, whiten_second @ right.T
    else:
        left, strengths, right = np.linalg.svd(cross, full_matrices=False)
        maps = left, right.T
    found = (means[0], maps[0][:, :dim], means[1], maps[1][:, :dim], strengths[:dim])
    return LinearAlignment(*(array.astype(np.float32) for array in found))


def _counted(first, second, mask):
    """Both sides' counted rows as float64."""
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second):
        raise DataError(
            f"linear alignment takes two arrays [n, width] of the same items, got shapes {first.shape} and "
            f"{second.shape}."
        )
    mask = np.ones(len(first), bool) if mask is None else np.asarray(mask, bool)
    if mask.shape != first.shape[:1]:
        raise DataError(f"the mask must have one entry for each of the {len(first)} rows, got shape {mask.shape}.")
    rows = np.flatnonzero(mask)
    if len(rows) < 2:
        raise DataError(f"linear alignment needs at least two rows that have both modalities, got {len(rows)}.")
    for name, side in (("first", first), ("second", second)):
        bad = rows[~np.isfinite(side[rows]).all(axis=1)]
        if len(bad):
            raise DataError(
                f"row {bad[0]} of the {name} modality holds a value that is not finite ({len(bad)} such rows). Mask "
                "them out, or embed these items again."
            )
    return first[rows], second[rows]


def _centred(side, mean):
    centred = side - mean
    # The mean of equal numbers may differ from them in the last digit, which must not be taken for variance.
    varies = np.abs(centred).max(axis=0) > 1e-12 * np.abs(side).max(axis=0)
    return np.where(varies, centred, 0.0)


def _inverse_root(side, regularization):
    """C^(-1/2) of the regularised covariance; 0 along directions without variance."""
    covariance = side.T @ side / len(side)
    covariance += regularization * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(covariance)
    varies = values > max(values[-1], 0.0) * 1e-10
    return (vectors * np.where(varies, 1 / np.sqrt(np.where(varies, values, 1.0)), 0.0)) @ vectors.T
