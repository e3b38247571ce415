"""Ranks the whole catalogue for many users at a time, with what they have seen left out.

Metrics on sampled candidates order models differently from metrics on the catalogue (Krichene and Rendle, On sampled
metrics for item recommendation, 2020), so nothing is sampled here; batched matrix products and `top_k` make it quick
enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from mmrec_tf.errors import MmrecError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Progress = Callable[[str, int, int], None]
Scorer = Callable[[np.ndarray], np.ndarray]
"""Takes `[batch]` int64 positions in an evaluation set, gives `[batch, n_items]` scores, higher is better."""

_GROUP = 32
"""Items whose best score is looked at first: the width of one reduction."""

_BLOCK = 2**15
"""Items scored at a time."""

_SCORES = 2**22
"""Most scores at a time, which then stay in a processor's cache."""

_MOST_USERS = 1024
"""Most users at a time."""


def rank_items(
    scorer: Scorer,
    n: int,
    profiles: csr_matrix,
    k: int,
    batch_size: int = 256,
    progress: Progress | None = None,
) -> np.ndarray:
    """The k best unseen items of each user, for any model that can score the whole catalogue.

    Args:
        scorer: called with `[batch]` int64 positions (always the same batch size, the last batch repeats its last
            position) and gives `[batch, n_items]` scores. An item scored minus infinity is never recommended.
        n: int. Number of users.
        profiles: CSR `[n, n_items]`; every stored entry is masked, whatever its value.
        k: int. Length of the lists.
        batch_size: int. Users scored at a time. Defaults to 256.
        progress: called with (description, done, total).

    Returns:
        `[n, k]` int32 item rows, best first, equal scores in row order, -1 where fewer than k items are left.

    Raises:
        MmrecError: when a score is NaN, or the scores have the wrong shape.
    """
    n_items = profiles.shape[1]
    lists = np.full((n, k), -1, np.int32)
    batch = max(1, min(batch_size, n))
    for start in range(0, n, batch):
        positions = np.arange(start, min(start + batch, n))
        asked = np.pad(positions, (0, batch - len(positions)), mode="edge")
        scores = np.array(scorer(asked), np.float32)
        if scores.shape != (batch, n_items):
            raise MmrecError(
                f"the scorer gave scores of shape {list(scores.shape)} for {batch} users and {n_items} items; "
                f"it must return [{batch}, {n_items}]."
            )
        scores = scores[: len(positions)]
        _refuse_nan(scores, positions)
        scores[_entries(profiles, positions)] = -np.inf
        best, items = tf.math.top_k(scores, min(k, n_items))
        lists[positions, : min(k, n_items)] = np.where(best.numpy() > -np.inf, items.numpy(), -1)
        if progress:
            progress("ranking items", int(positions[-1]) + 1, n)
    return lists


def rank_by_embeddings(
    queries: np.ndarray,
    items: np.ndarray,
    profiles: csr_matrix,
    k: int,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """The k best unseen items of each user by dot product: the quick way for two-tower models.

    Scores are computed for a block of items at a time. Only the groups of items with the highest maxima are sorted, and
    of these only as many as hold anything better than what has been found; the k best items are always among the k best
    groups, so the result is exact.

    Args:
        queries: `[n, dim]` float. Query embeddings.
        items: `[n_items, dim]` float. Candidate embeddings.
        profiles, k, progress: as in `rank_items`.
        batch_size: int. Users scored at a time. None, the default, for as many as have 4 million scores, 1,024 at most.

    Returns:
        `[n, k]` int32 item rows, as `rank_items` gives them.

    Raises:
        MmrecError: when an embedding holds a number that is not finite, or widths or sizes do not fit.
    """
    queries, items = np.asarray(queries, np.float32), np.asarray(items, np.float32)
    n, n_items = profiles.shape
    if queries.shape != (n, items.shape[-1]) or len(items) != n_items:
        raise MmrecError(
            f"queries {list(queries.shape)} and items {list(items.shape)} do not fit profiles {[n, n_items]}; "
            "they must be [users, dim] and [items, dim]."
        )
    for name, embeddings in (("query", queries), ("item", items)):
        if not np.isfinite(embeddings).all():
            row = int(np.argmin(np.isfinite(embeddings).all(axis=1)))
            raise MmrecError(f"the {name} embedding of row {row} is not finite. {_NOT_FINITE}")
    lists = np.full((n, k), -1, np.int32)
    users = min(_SCORES // max(min(n_items, _BLOCK), 1), _MOST_USERS) if batch_size is None else batch_size
    batch = max(1, min(users, n))
    blocks = [(start, _padded(items[start : start + _BLOCK])) for start in range(0, n_items, _BLOCK)]
    for start in range(0, n, batch):
        positions = np.arange(start, min(start + batch, n))
        asked = tf.constant(queries[np.pad(positions, (0, batch - len(positions)), mode="edge")])
        rows, columns = _entries(profiles, positions)
        best, found = tf.zeros([batch, 0]), tf.zeros([batch, 0], tf.int32)
        for first, block in blocks:
            size = min(_BLOCK, n_items - first)
            is_inside = (columns >= first) & (columns < first + size)
            seen = np.stack([rows[is_inside], columns[is_inside] - first], axis=1).astype(np.int32)
            padding = np.indices([batch, len(block) - size], np.int32).reshape(2, -1).T + np.int32([0, size])
            best, found = _best_of_block(asked, block, np.concatenate([seen, padding]), first, best, found, k)
        best, found = best.numpy()[: len(positions)], found.numpy()[: len(positions)]
        lists[positions, : found.shape[1]] = np.where(best > -np.inf, found, -1)
        if progress:
            progress("ranking items", int(positions[-1]) + 1, n)
    return lists


@tf.function(
    input_signature=[
        tf.TensorSpec([None, None], tf.float32),
        tf.TensorSpec([None, None], tf.float32),
        tf.TensorSpec([None, 2], tf.int32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([None, None], tf.float32),
        tf.TensorSpec([None, None], tf.int32),
        tf.TensorSpec([], tf.int32),
    ]
)
def _best_of_block(queries, items, seen, first, best, found, k):
    """The best k of those found so far and of one more block; `seen` are the places that are left out, padding too."""
    users, groups = tf.shape(queries)[0], tf.shape(items)[0] // _GROUP
    scores = tf.matmul(queries, items, transpose_b=True)
    scores = tf.tensor_scatter_nd_update(scores, seen, tf.fill(tf.shape(seen)[:1], -np.inf))
    chosen = tf.tile(tf.range(groups)[None, :], [users, 1])
    before = tf.shape(best)[1]
    if groups > k:
        scores = tf.reshape(scores, [users, groups, _GROUP])
        maxima = tf.reduce_max(scores, axis=2)
        kept = k
        if before == k:
            # Equal scores stay in row order, so what is no better than all that has been found has no place.
            worst = best[:, k - 1 :]
            maxima = tf.where(maxima > worst, maxima, -np.inf)
            better = tf.reduce_sum(tf.cast(maxima > worst, tf.int32), axis=1)
            kept = tf.clip_by_value(tf.reduce_max(better), 1, k)
        highest, chosen = tf.math.top_k(maxima, kept)
        # In ascending order, so that equal scores stay in row order.
        chosen = tf.sort(chosen, axis=1)
        scores = tf.reshape(tf.gather(scores, chosen, batch_dims=1), [users, -1])
        # `top_k` passes over what has no place more quickly when all of it is equal. In a first block that is what is
        # worse than the best of each of k groups.
        has_place = scores > best[:, k - 1 :] if before == k else scores >= highest[:, k - 1 :]
        scores = tf.where(has_place, scores, -np.inf)
    scores, places = tf.math.top_k(tf.concat([best, scores], axis=1), tf.minimum(k, before + groups * _GROUP))
    inside = tf.maximum(places - before, 0)
    rows = tf.gather(chosen, inside // _GROUP, batch_dims=1) * _GROUP + inside % _GROUP + first
    found = tf.gather(tf.pad(found, [[0, 0], [0, 1]]), tf.minimum(places, before), batch_dims=1)
    return scores, tf.where(places < before, found, rows)


def _padded(items):
    return tf.constant(np.pad(items, ((0, -len(items) % _GROUP), (0, 0))))


def _entries(matrix, positions):
    """Rows (counted from the first position) and columns of all stored entries, zeros among them."""
    starts = matrix.indptr[positions[0] : positions[-1] + 2]
    rows = np.repeat(np.arange(len(positions)), np.diff(starts))
    return rows, matrix.indices[starts[0] : starts[-1]]


def _refuse_nan(scores, positions):
    if np.isnan(scores).any():
        row, item = np.argwhere(np.isnan(scores))[0]
        position = positions[row]
        raise MmrecError(f"the score of item row {item} for the user at position {position} is NaN. {_NOT_FINITE}")


_NOT_FINITE = (
    "A model that gives such numbers was trained with exploding gradients or on numbers that are not finite: lower "
    "the learning rate, or look at the features."
)
