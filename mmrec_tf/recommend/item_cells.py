"""Cutting a catalogue into small blocks of items that lie near each other."""

import numpy as np
import tensorflow as tf

ITEMS_IN_CELL = 256
"""Items of a cell on average, before cells are cut into blocks."""

_SAMPLED_OF_CELL = 64
_PASSES = 8
# Distances that are held at a time: 64 MB.
_DISTANCES_AT_ONCE = 2**24


def near_blocks(embeddings: np.ndarray, width: int, seed: int = 0) -> list[np.ndarray]:
    """Rows of a table in blocks of at most `width`, by k-means and by halving.

    k-means finds the cells, and a cell that holds more than a block is halved along the direction in which it is
    longest, and so are its halves. Cells alone differ in size by a factor of ten and more, and small ones by k-means
    would take too long: a block of fixed width is one read of memory, and with a mean of its own it is found on its
    own.

    Args:
        embeddings: `[items, dim]` float32.
        width: int, at least 1.
        seed: int.

    Returns:
        Arrays of rows in ascending order, each row in one of them; empty for an empty table.
    """
    cells = _cells(embeddings, seed)
    order = np.argsort(cells, kind="stable")
    ends = np.cumsum(np.bincount(cells))
    blocks, stack = [], [rows for rows in np.split(order, ends[:-1]) if len(rows)]
    while stack:
        rows = stack.pop()
        if len(rows) <= width:
            blocks.append(np.sort(rows))
        else:
            along = np.argsort(_along_the_longest(embeddings[rows]), kind="stable")
            parts = -(-len(rows) // width)
            half = len(rows) * (parts // 2) // parts
            stack += [rows[along[:half]], rows[along[half:]]]
    return blocks


def _cells(embeddings, seed):
    """The cell of each row, by Lloyd's algorithm on a sample."""
    count = max(len(embeddings) // ITEMS_IN_CELL, 1)
    if count == 1:
        return np.zeros(len(embeddings), np.int64)
    random = np.random.default_rng(seed)
    sample = embeddings[random.choice(len(embeddings), min(len(embeddings), _SAMPLED_OF_CELL * count), replace=False)]
    centres = sample[:count]
    for _ in range(_PASSES):
        cells = _nearest(sample, centres)
        # A cell that nothing is nearest to begins anew at some item.
        centres = np.where(
            (np.bincount(cells, minlength=count) > 0)[:, None],
            group_means(sample, cells, count),
            sample[random.choice(len(sample), count)],
        )
    return _nearest(embeddings, centres)


def group_means(vectors: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """`[count, dim]` float32 means of `[n, dim]` vectors by their group; zeros for a group of none."""
    sizes = np.bincount(groups, minlength=count)
    sums = tf.math.unsorted_segment_sum(vectors, groups, count).numpy()
    return (sums / np.maximum(sizes, 1)[:, None]).astype(np.float32)


def _nearest(vectors, centres):
    at_once = max(_DISTANCES_AT_ONCE // len(centres), 1)
    half_squares = 0.5 * np.square(centres).sum(axis=1)
    chunks = []
    for start in range(0, len(vectors), at_once):
        products = tf.matmul(vectors[start : start + at_once], centres, transpose_b=True)
        chunks.append(tf.argmax(products - half_squares, axis=1).numpy())
    return np.concatenate(chunks)


def _along_the_longest(vectors):
    """Where `[n, dim]` vectors lie on the line along which they are spread the most, nearly: four power iterations."""
    vectors = vectors - vectors.mean(axis=0)
    direction = vectors[np.argmax(np.square(vectors).sum(axis=1))]
    for _ in range(4):
        direction = vectors.T @ (vectors @ direction)
        direction /= max(np.linalg.norm(direction), np.finfo(np.float32).tiny)
    return vectors @ direction
