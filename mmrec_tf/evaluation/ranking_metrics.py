"""Ranking metrics over whole lists, vectorised: recall, NDCG, MRR, hit rate, MAP and coverage.

A hit is a recommended item that is relevant. `k` is always the cut-off: what stands below it does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmrec_tf.evaluation.evaluation_set import EvaluationSet

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

METRICS = ("recall", "ndcg", "mrr", "hit_rate", "map", "coverage")
GROUPS = {
    "all": "All users",
    "warm_users": "Warm users (with interactions in training)",
    "new_users": "New users (none in training)",
    "cold_items": "Cold items (new: none in training)",
}
"""Groups of `group_metrics` and what to call them."""


def user_metrics(lists: np.ndarray, relevant: csr_matrix, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """Each user's metrics, which averages, intervals and comparisons by user are made of.

        recall@k    hits / relevant items; with one relevant item it equals the hit rate
        ndcg@k      sum over hits of 1 / log2(rank + 1), divided by the same sum for a list with its min(k, relevant)
                    first places all hits (Jarvelin and Kekalainen 2002)
        mrr@k       1 / rank of the first hit, 0 without one
        hit_rate@k  1 with at least one hit, else 0
        map@k       sum over hits of the precision down to them, divided by min(k, relevant)

    Args:
        lists: `[n, K]` int item rows, best first, no item twice in a list, -1 where a list is shorter.
        relevant: CSR `[n, n_items]` with at least one stored entry in each row.
        ks: cut-offs, each at least 1. A cut-off above K counts what there is.

    Returns:
        `name@k` -> `[n]` float64.
    """
    hits = _hits(lists, relevant)
    totals = np.diff(relevant.indptr).astype(np.float64)
    ranks = np.arange(1, hits.shape[1] + 1)
    discounts = 1.0 / np.log2(ranks + 1)
    precision_at_hits = np.cumsum(hits, axis=1) / ranks * hits
    metrics = {}
    for k in ks:
        found = hits[:, :k].sum(axis=1)
        places = np.minimum(totals, k)
        ideal = np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))[places.astype(int) - 1]
        metrics[f"recall@{k}"] = found / totals
        metrics[f"ndcg@{k}"] = hits[:, :k] @ discounts[:k] / ideal
        metrics[f"mrr@{k}"] = (hits[:, :k] / ranks[:k]).max(axis=1, initial=0.0)
        metrics[f"hit_rate@{k}"] = (found > 0).astype(np.float64)
        metrics[f"map@{k}"] = precision_at_hits[:, :k].sum(axis=1) / places
    return metrics


def mean_ndcg(lists: np.ndarray, relevant: csr_matrix, ks: Sequence[int]) -> np.ndarray:
    """`[n]` float64: each user's NDCG, the mean over cut-offs; what validation decides by.

    Few of some hundred users find what they want among the first ten, and which of two models puts more of it there is
    much by chance. Deeper cut-offs tell models apart by more of the users.

    Args:
        lists, relevant, ks: as for `user_metrics`.
    """
    metrics = user_metrics(lists, relevant, ks)
    return np.mean([metrics[f"ndcg@{k}"] for k in ks], axis=0)


def coverage(lists: np.ndarray, k: int, catalogue: np.ndarray) -> float:
    """Share of the catalogue that stands in at least one list's first k places.

    Args:
        lists: `[n, K]` int item rows, -1 for none.
        k: int. Cut-off.
        catalogue: `[n_items]` bool. The items that count; must hold one at least.
    """
    shown = np.unique(lists[:, :k])
    return float(catalogue[shown[shown >= 0]].sum() / catalogue.sum())


def chance_recall(unseen_counts: np.ndarray, k: int) -> float:
    """Recall@k of lists drawn at random from what each user has not seen: the mean of min(1, k / unseen)."""
    return float(np.minimum(1.0, k / unseen_counts).mean())


def group_metrics(
    lists: np.ndarray, evaluation_set: EvaluationSet, ks: Sequence[int]
) -> dict[str, dict[str, float | int | None]]:
    """The averages over users, for all of them and for the groups that hide in such an average.

    Cold items are ranked in the whole catalogue like any other; only what counts as relevant is restricted to items
    without interactions in training, and users who want none of those are left out. For that group, coverage is
    the share of the cold items that were shown to its users, and `chance_recall@k` and `recall_over_chance@k` say how
    much better than random lists the recall is.

    Args:
        lists: `[n, K]` int item rows, best first, -1 for none, in the order of the evaluation set.
        evaluation_set: who wants what.
        ks: cut-offs.

    Returns:
        One dict for each of `GROUPS`: `users`, the number of users, and the metrics by `name@k`; None where the group
        is empty.
    """
    everything = np.ones(evaluation_set.item_count, bool)
    cold = evaluation_set.is_cold_item
    cold_relevant = restrict(evaluation_set.relevant, cold)
    wants_cold = np.diff(cold_relevant.indptr) > 0
    warm = evaluation_set.is_warm_user
    groups = {
        "all": _means(lists, evaluation_set.relevant, ks, everything),
        "warm_users": _means(lists[warm], evaluation_set.relevant[warm], ks, everything),
        "new_users": _means(lists[~warm], evaluation_set.relevant[~warm], ks, everything),
        "cold_items": _means(lists[wants_cold], cold_relevant[wants_cold], ks, cold),
    }
    for k in ks:
        chance = chance_recall(evaluation_set.unseen_counts[wants_cold], k) if wants_cold.any() else None
        recall = groups["cold_items"][f"recall@{k}"]
        groups["cold_items"][f"chance_recall@{k}"] = chance
        groups["cold_items"][f"recall_over_chance@{k}"] = None if chance is None else recall / chance
    return groups


def restrict(relevant: csr_matrix, items: np.ndarray) -> csr_matrix:
    """`relevant` with only the entries of the items that a `[n_items]` bool mask names."""
    restricted = relevant.copy()
    restricted.data = restricted.data * items[restricted.indices]
    restricted.eliminate_zeros()
    return restricted


def _means(lists, relevant, ks, catalogue):
    values = user_metrics(lists, relevant, ks)
    users = len(lists)
    means: dict[str, float | int | None] = {"users": users}
    for k in ks:
        for name in METRICS[:-1]:
            means[f"{name}@{k}"] = float(values[f"{name}@{k}"].mean()) if users else None
        means[f"coverage@{k}"] = coverage(lists, k, catalogue) if users else None
    return means


def _hits(lists, relevant):
    """`[n, K]` bool: which places of the lists hold a relevant item."""
    n, n_items = relevant.shape
    wanted = np.repeat(np.arange(n), np.diff(relevant.indptr)) * n_items + relevant.indices
    given = np.arange(n)[:, None] * n_items + lists.astype(np.int64)
    return np.isin(given, wanted) & (lists >= 0)
