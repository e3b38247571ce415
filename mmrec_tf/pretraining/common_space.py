"""A common space of two or more modalities by linear maps, in closed form."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mmrec_tf.errors import DataError
from mmrec_tf.losses.linear_alignment import linear_alignment


@dataclass(frozen=True)
class CommonSpace:
    """What `common_space` found.

    Attributes:
        maps: modality -> `[d_m, dim]` float32, of centred vectors into the common space.
        agreements: `[dim]` float32, decreasing: the largest sums of covariances between the modalities' coordinates.
        correlations: pair of modalities -> float32, decreasing: the canonical correlations of the two alone, or their
            covariances for `procrustes`.
    """

    maps: dict[str, np.ndarray]
    agreements: np.ndarray
    correlations: dict[tuple[str, str], np.ndarray]


def common_space(
    vectors: dict[str, np.ndarray],
    masks: dict[str, np.ndarray],
    method: str = "cca",
    dim: int | None = None,
    regularization: float = 0.1,
) -> CommonSpace:
    """Linear maps under which the modalities of an item lie near each other.

    For two modalities the maps are those of `mmrec_tf.losses.linear_alignment`, but for their scale. For more, each
    dimension of the common space is the one on which all modalities agree the most, by the sum of the covariances
    between every two, given the dimensions before it:

        [sum over pairs a != b of w_a' C_ab w_b] is largest, where sum over a of w_a' C_aa w_a = 1    (`cca`)

    These are the leading eigenvectors of the blocks C_aa^(-1/2) C_ab C_bb^(-1/2), which is MAXVAR's solution, the SVD
    of the whitened modalities side by side. `procrustes` leaves the whitening out, and replaces each modality's map by
    the nearest one with orthonormal columns. Each C_ab comes from the items that have both, each C_aa from those that
    have the modality. Dimensions on which the modalities do not agree are left out.

    Args:
        vectors: modality -> `[n, d_m]` float, row by row of the same items.
        masks: modality -> `[n]` bool.
        method: `cca` or `procrustes`.
        dim: int. Width of the common space; as many as agree when None, and never more.
        regularization: float. For `cca`, see `linear_alignment`.

    Raises:
        DataError: if two of the modalities are on fewer than two items together, or nothing agrees.

    Reference: Kettenring, Canonical analysis of several sets of variables (Biometrika 1971), for MAXVAR.
    """
    names = sorted(vectors)
    centred = {name: _centred(vectors[name], masks[name]) for name in names}
    whiten = {name: _whitening(centred[name], masks[name], method, regularization) for name in names}
    starts = np.cumsum([0, *(len(whiten[name].T) for name in names)])
    blocks = np.zeros((starts[-1], starts[-1]))
    correlations = {}
    for (a, one), (b, other) in combinations(enumerate(names), 2):
        both = np.flatnonzero(masks[one] & masks[other])
        found = linear_alignment(
            vectors[one], vectors[other], masks[one] & masks[other], method, regularization=regularization
        )
        correlations[one, other] = found.strengths
        cross = (centred[one][both] @ whiten[one]).T @ (centred[other][both] @ whiten[other]) / len(both)
        blocks[starts[a] : starts[a + 1], starts[b] : starts[b + 1]] = cross
        blocks[starts[b] : starts[b + 1], starts[a] : starts[a + 1]] = cross.T
    agreements, leading = _leading(blocks, dim)
    if not len(agreements):
        raise DataError(
            f"{', '.join(names)} have nothing in common that a linear map finds: the vectors of all but one are equal."
        )
    maps = {name: whiten[name] @ leading[starts[place] : starts[place + 1]] for place, name in enumerate(names)}
    if method == "procrustes":
        maps = {name: _nearest_rotation(found) for name, found in maps.items()}
    return CommonSpace(
        {name: found.astype(np.float32) for name, found in maps.items()}, agreements.astype(np.float32), correlations
    )


def _centred(vectors, mask):
    vectors = np.asarray(vectors, np.float64)
    return np.where(mask[:, None], vectors - vectors[mask].mean(axis=0), 0.0) if mask.any() else 0.0 * vectors


def _whitening(centred, mask, method, regularization):
    """`[d, rank]`: covariance 1 in every direction that varies; the directions as they are for `procrustes`."""
    if method == "procrustes":
        return np.eye(centred.shape[1])
    covariance = centred.T @ centred / max(mask.sum(), 1)
    covariance += regularization * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, directions = np.linalg.eigh(covariance)
    varies = values > max(values[-1], 1e-30) * 1e-10
    return directions[:, varies] / np.sqrt(values[varies])


def _leading(blocks, dim):
    """The eigenvalues above zero and their eigenvectors, the largest first."""
    import scipy.linalg

    size = len(blocks)
    if not size:
        return np.zeros(0), np.zeros((0, 0))
    wanted = size if dim is None else min(dim, size)
    values, directions = scipy.linalg.eigh(blocks, subset_by_index=[size - wanted, size - 1])
    values, directions = values[::-1], directions[:, ::-1]
    agrees = values > 1e-9 * max(1.0, abs(blocks).max())
    return values[agrees], directions[:, agrees]


def _nearest_rotation(found):
    left, strengths, right = np.linalg.svd(found, full_matrices=False)
    there = strengths > 1e-9 * max(strengths[0], 1e-30)
    return left[:, there] @ right[there]
