"""Which items are neighbours: by who consumed them, in which order, and by what they look, read or sound like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmrec_tf.data.sequences import Sequences
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.ease import Ease
from mmrec_tf.models.item_knn import ItemKnn
from mmrec_tf.models.recommender_model import TrainingData
from mmrec_tf.models.rows_at_once import rows_at_once

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_BLOCK = 512
"""The most items whose neighbours are found at a time, so that no item-by-item matrix is ever held."""


def cooccurrence_neighbours(positives: csr_matrix, k: int, shrink: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    """Each item's neighbours by the users who consumed both, as `ItemKnn` finds them.

    The cosine divides by how many users either item has, so that a bestseller is not everybody's neighbour, and
    shrinkage holds back what rests on few common users.

    Args:
        positives: CSR `[users, items]`; repeats count once.
        k: int. Neighbours of each item, or fewer where fewer share a user.
        shrink: float. Added to the cosine's denominator. Defaults to 10.

    Returns:
        `[items, k]` int32 item rows, the nearest first, -1 for none; and `[items, k]` float32 similarities.
    """
    return _largest(ItemKnn(k, shrink).fit(TrainingData(positives)).similarities, k)


def linear_neighbours(positives: csr_matrix, k: int, regularization: float) -> tuple[np.ndarray, np.ndarray]:
    """Each item's neighbours by what its presence adds to theirs in a linear model of all items; see `Ease`.

    Unlike the cosine, a weight leaves out what other items of the same users tell already. The catalogue must fit
    `Ease`.

    Args:
        positives: CSR `[users, items]`; repeats count once.
        k: int. Neighbours of each item, those with the largest weights above 0.
        regularization: float. Of `Ease`.

    Returns:
        As `cooccurrence_neighbours`.
    """
    model = Ease(regularization).fit(TrainingData(positives))
    count, found = len(model.items), min(k, len(model.items))
    indices = np.full([positives.shape[1], found], -1, np.int32)
    weights = np.zeros([positives.shape[1], found], np.float32)
    for start in range(0, count, _BLOCK):
        block = model.weights[start : start + _BLOCK]
        nearest = np.argpartition(-block, found - 1, axis=1)[:, :found]
        values = np.take_along_axis(block, nearest, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        nearest, values = np.take_along_axis(nearest, order, axis=1), np.take_along_axis(values, order, axis=1)
        rows = model.items[start : start + _BLOCK]
        indices[rows] = np.where(values > 0.0, model.items[nearest], -1)
        weights[rows] = np.maximum(values, 0.0)
    return indices, weights


def follower_neighbours(
    sequences: Sequences, items: int, k: int, window: int = 3, shrink: float = 10.0
) -> tuple[np.ndarray, np.ndarray]:
    """The items that users took up soon after each item.

    Of every pair of items in a user's order, at most `window` apart, the later one is a follower of the earlier:

        similarity(j, i) = sum over such pairs of 1 / distance / (sqrt(n_j n_i) + shrink)

    with n how many interactions an item has.

    Args:
        sequences: the training interactions in order.
        items: int. Number of items.
        k: int. Followers of each item, or fewer where fewer came.
        window: int. Defaults to 3.
        shrink: float. Holds back what rests on few interactions. Defaults to 10.

    Returns:
        As `cooccurrence_neighbours`.
    """
    from scipy.sparse import csr_matrix

    rows, users = sequences.item_index - 1, sequences.user_rows
    pairs = csr_matrix((items, items), dtype=np.float64)
    for distance in range(1, window + 1):
        is_one = (users[distance:] == users[:-distance]) & (rows[distance:] != rows[:-distance])
        earlier, later = rows[:-distance][is_one], rows[distance:][is_one]
        pairs += csr_matrix((np.full(len(earlier), 1.0 / distance), (earlier, later)), shape=(items, items))
    counts = np.bincount(rows, minlength=items)
    pairs = pairs.tocoo()
    values = pairs.data / (np.sqrt(counts[pairs.row] * counts[pairs.col]) + shrink)
    return _largest(csr_matrix((values, (pairs.row, pairs.col)), shape=(items, items)), k)


def modality_neighbours(vectors: np.ndarray, mask: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Each item's neighbours by the cosine of its vectors in one modality.

    All weigh 1: how similar exactly says little once it is known which are the most similar, as FREEDOM found. Only
    items on the same side are neighbours, those with a cosine above 0. Every item is compared with every other, so that
    the time grows with the square of their number.

    Args:
        vectors: `[items, width]` float.
        mask: `[items]` bool. Items without a vector have no neighbours and are none.
        k: int. Neighbours of each item.

    Returns:
        `[items, k]` int32 item rows, the nearest first, -1 for none; and `[items, k]` float32 weights.

    Reference: Zhou and Shen, A tale of two graphs: freezing and denoising graph structures for multimodal
    recommendation (FREEDOM, ACM Multimedia 2023).
    """
    count = len(vectors)
    indices, weights = np.full([count, k], -1, np.int32), np.zeros([count, k], np.float32)
    there = np.flatnonzero(mask)
    known = np.asarray(vectors, np.float32)[there]
    lengths = np.linalg.norm(known, axis=1, keepdims=True)
    known = known / np.where(lengths > 0.0, lengths, 1.0)
    found = min(k, len(there) - 1)
    block = rows_at_once(_BLOCK, len(there))
    for start in range(0, len(there) if found > 0 else 0, block):
        cosines = known[start : start + block] @ known.T
        own = np.arange(len(cosines))
        cosines[own, start + own] = -1.0
        nearest = np.argpartition(cosines, -found, axis=1)[:, -found:]
        near = np.take_along_axis(cosines, nearest, axis=1)
        order = np.argsort(-near, axis=1, kind="stable")
        nearest, near = np.take_along_axis(nearest, order, axis=1), np.take_along_axis(near, order, axis=1)
        rows = there[start : start + block]
        indices[rows, :found] = np.where(near > 0.0, there[nearest], -1)
        weights[rows, :found] = near > 0.0
    return indices, weights


def graph_of(
    items: FeatureTable, positives: csr_matrix, k: int, cooccurrence: float, content: float
) -> tuple[np.ndarray, np.ndarray]:
    """The graph of a catalogue: who consumed both, and every modality, as far as there are any.

    Args:
        items: the feature table; its modalities are compared as they stand there.
        positives: CSR `[users, items]`.
        k: int. Neighbours of each kind, and of each item in the end.
        cooccurrence, content: float. Shares of the two kinds; that of content is divided among the modalities.

    Returns:
        Indices and weights, as `item_graph` gives them.
    """
    parts = [(*cooccurrence_neighbours(positives, k), cooccurrence)] if cooccurrence else []
    names = sorted(items.vectors) if content else []
    for name in names:
        found = modality_neighbours(items.vectors[name][1:], items.masks[name][1:], k)
        parts.append((*found, content / len(names)))
    if not parts:
        return np.zeros([items.size, k], np.int32), np.zeros([items.size, k], np.float32)
    indices, weights = item_graph(parts, k)
    missing = [(0, 0), (0, k - indices.shape[1])]
    return np.pad(indices, missing), np.pad(weights, missing)


def item_graph(parts: Sequence[tuple[np.ndarray, np.ndarray, float]], width: int) -> tuple[np.ndarray, np.ndarray]:
    """One graph of several kinds of neighbours, for `GraphSmoothing`.

    Each kind is normalised by the degrees of both ends, so that an item that is near to many tells each of them less,
    and their shares are added up:

        A = sum over kinds of share * D^-1/2 W D^-1/2,   d_i = sum_j w_ij

    Each item keeps its `width` largest weights. A row that sums to more than 1 is scaled to 1, so that smoothing over
    and over does not grow; an item that lacks some kind of neighbours has a smaller sum, and so keeps more of itself.

    Args:
        parts: for each kind `[items, k]` item rows with -1 for none, `[items, k]` weights, as the functions above give
            them, and the share.
        width: int. Neighbours of each item.

    Returns:
        `[items + 1, width]` int32 table indices, an item's row + 1, the largest weight first, 0 for none; and
        `[items + 1, width]` float32 weights, 0 for none. Row 0, the unknown item, has none.

    Raises:
        ValueError: if there is no kind of neighbours, or the kinds are of different numbers of items.

    Reference: Zhou and Shen, FREEDOM (ACM Multimedia 2023), who so mix two modalities.
    """
    counts = {len(indices) for indices, _, _ in parts}
    if len(counts) != 1:
        raise ValueError(
            f"item_graph needs one or more kinds of neighbours of the same items, got {len(parts)} kinds of "
            f"{sorted(counts)} items. Find them in tables of one and the same catalogue."
        )
    mixed = sum(share * _normalized(indices, weights) for indices, weights, share in parts)
    columns, values = _largest(mixed.tocsr(), width)
    values /= np.maximum(values.sum(axis=1, keepdims=True), 1.0)
    unknown = [(1, 0), (0, 0)]
    return np.pad(columns + 1, unknown), np.pad(values, unknown)


def _normalized(indices: np.ndarray, weights: np.ndarray) -> csr_matrix:
    from scipy.sparse import csr_matrix

    rows, places = np.nonzero(indices >= 0)
    columns, values = indices[rows, places], np.asarray(weights, np.float64)[rows, places]
    degrees = np.bincount(rows, values, minlength=len(indices))
    scale = 1.0 / np.sqrt(np.where(degrees > 0.0, degrees, np.inf))
    return csr_matrix((values * scale[rows] * scale[columns], (rows, columns)), shape=(len(indices), len(indices)))


def _largest(matrix: csr_matrix, width: int) -> tuple[np.ndarray, np.ndarray]:
    """`[rows, width]` columns and values of each row's largest entries, -1 and 0 where there are fewer."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    rank = np.arange(len(rows)) - matrix.indptr[rows]
    kept = rank < width
    columns, values = np.full([matrix.shape[0], width], -1, np.int32), np.zeros([matrix.shape[0], width], np.float32)
    columns[rows[kept], rank[kept]] = matrix.indices[order[kept]]
    values[rows[kept], rank[kept]] = matrix.data[order[kept]]
    return columns, values
