"""How far what is served has moved from what was expected: the arithmetic, on plain arrays."""

import numpy as np

BINS = 10
"""Bins of a reference distribution, as the population stability index is used by convention."""

LEAST_SHARE = 1e-4
"""What a bin that holds nothing counts as, since its logarithm has no value."""


def population_stability_index(expected: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """How much a distribution over bins has shifted.

        PSI = sum_b (o_b - e_b) ln(o_b / e_b)

    with `e_b` and `o_b` the shares of bin b, at least `LEAST_SHARE` each. It is the symmetrised Kullback-Leibler
    divergence; by convention below 0.1 is no shift, 0.1 to 0.2 a small one, above 0.2 one to look into. Without a
    shift it is about `(bins - 1) (1 / n + 1 / m)` for samples of n and m values, so that few values say little.

    Args:
        expected: `[..., bins]` counts or shares of the reference.
        observed: `[..., bins]` counts or shares of what is compared to it.

    Returns:
        `[...]` float64, 0 or more; NaN where either holds nothing.

    Reference: Siddiqi, Credit Risk Scorecards (2006); Yurdakul and Naranjo, Statistical properties of the population
    stability index (2020).
    """
    e, o = (np.maximum(_shares(counts), LEAST_SHARE) for counts in (expected, observed))
    return np.sum((o - e) * np.log(o / e), axis=-1)


def quantile_edges(values: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Edges between bins that hold equal shares of `[n]` values: at most `bins - 1`, fewer where values repeat.

    Bin b holds what lies from edge b-1 to below edge b; the first and the last are open to their side.
    """
    values = np.sort(values).astype(np.float64)
    distinct = np.unique(values)
    first = np.unique(np.searchsorted(distinct, values[len(values) * np.arange(1, bins) // bins]))
    # Nothing lies below the smallest value, so that an edge there would make an empty bin.
    first = first[first > 0]
    # Halfway to the value below: the last digits of an answer depend on the size of its batch.
    return (distinct[first - 1] + distinct[first]) / 2


def count_in_bins(edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Counts `[columns, bins]` of `[n, columns]` values by the column's edges; what is not finite is left out.

    Args:
        edges: `[columns, bins - 1]`, ascending; infinity fills up a column that has fewer.
        values: `[n, columns]` float.
    """
    columns, bins = edges.shape[0], edges.shape[1] + 1
    places = np.sum(values[:, :, None] >= edges[None], axis=-1) + bins * np.arange(columns)
    counts = np.bincount(places[np.isfinite(values)], minlength=columns * bins)
    return counts.reshape(columns, bins)


def expected_distinct(times: np.ndarray, items: np.ndarray, picks: int) -> float:
    """How many distinct items a number of picks should come to, if items are picked as often as in the reference.

        E = sum_i 1 - (1 - c_i / n)^picks

    where item i was picked `c_i` of n times. Items that the reference has never picked are not expected, so that for
    many more picks than n this is less than what is to be expected.

    Args:
        times: `[m]` numbers of picks.
        items: `[m]` items that were picked as often.
        picks: int.

    Reference: Hurlbert, The nonconcept of species diversity: a critique and alternative parameters (1971).
    """
    total = float(np.dot(times, items))
    return float(np.dot(items, 1.0 - (1.0 - times / total) ** picks)) if total else 0.0


def _shares(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, np.float64)
    totals = counts.sum(axis=-1, keepdims=True)
    return np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
