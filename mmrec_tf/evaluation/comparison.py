"""Models beside baselines in one table: a figure alone says nothing about a recommender."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmrec_tf.errors import ConfigError, MmrecError
from mmrec_tf.evaluation.evaluation_set import EvaluationSet
from mmrec_tf.evaluation.evaluator import Scorer, rank_items
from mmrec_tf.evaluation.ranking_metrics import GROUPS, METRICS, group_metrics
from mmrec_tf.models.item_knn import ItemKnn
from mmrec_tf.models.matrix_factorization import MatrixFactorization
from mmrec_tf.models.popularity import Popularity

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Progress = Callable[[str, int, int], None]
Baseline = Popularity | ItemKnn | MatrixFactorization

BASELINES: dict[str, type] = {
    "popularity": Popularity,
    "item_knn": ItemKnn,
    "matrix_factorization": MatrixFactorization,
}
"""The baselines by the names that `evaluation.baselines` takes, in the order in which they are shown."""


@dataclass
class Comparison:
    """The metrics of several models on one evaluation set.

    Args:
        ks: cut-offs; the first is the headline.
        groups: group -> model -> metric -> value, as `group_metrics` gives them, models in the order of the table.
    """

    ks: list[int]
    groups: dict[str, dict[str, dict[str, float | int | None]]]

    def to_dict(self) -> dict:
        """Plain values for JSON: `ks`, `baselines` (those among the models) and `groups`."""
        models = list(self.groups["all"])
        return {"ks": self.ks, "baselines": [name for name in models if name in BASELINES], "groups": self.groups}

    def to_rows(self, group: str = "all", metrics: Sequence[str] | None = None) -> tuple[list[str], list[list[str]]]:
        """Header and rows as text, one row a model.

        Args:
            group: str. One of the groups of `group_metrics`.
            metrics: which columns, by `name@k`. Defaults to every metric at the first cut-off, and for cold items
                also how many times chance the recall is.

        Returns:
            Header, and rows of the same width. A value that does not exist is shown as a dash.
        """
        if metrics is None:
            metrics = [f"{name}@{self.ks[0]}" for name in METRICS]
            if group == "cold_items":
                metrics.append(f"recall_over_chance@{self.ks[0]}")
        models = self.groups[group].items()
        rows = [[name, *(format_metric(key, values.get(key)) for key in metrics)] for name, values in models]
        return ["model", *(metric_title(key) for key in metrics)], rows


def compare(
    models: Mapping[str, Scorer | np.ndarray],
    evaluation_set: EvaluationSet,
    ks: Sequence[int],
    batch_size: int = 256,
    progress: Progress | None = None,
) -> Comparison:
    """Measures every model on the same users in the same way.

    Args:
        models: name -> scorer (see `evaluator.rank_items`), or finished lists `[n, at least max(ks)]` of item rows.
            They are shown in this order; the last that is not a baseline is the report's headline.
        evaluation_set: who wants what.
        ks: cut-offs; the first is the headline.
        batch_size: int. Users scored at a time. Defaults to 256.
        progress: called with (description, done, total).

    Returns:
        The comparison.

    Raises:
        MmrecError: when there is nobody to evaluate, finished lists have the wrong shape, or a score is NaN.
    """
    if not len(evaluation_set):
        raise MmrecError(
            "the evaluation set holds no user: none has a positive interaction with an item not seen before. "
            "Hold out more in the split, or check data.positive_from."
        )
    results = {}
    for name, model in models.items():
        if callable(model):
            shown = _titled(progress, f"ranking with {name.replace('_', ' ')}")
            lists = rank_items(model, len(evaluation_set), evaluation_set.profiles, max(ks), batch_size, shown)
        else:
            lists = np.asarray(model)
            if lists.ndim != 2 or len(lists) != len(evaluation_set) or lists.shape[1] < max(ks):
                raise MmrecError(
                    f"the lists of {name} have shape {list(lists.shape)}; they must be "
                    f"[{len(evaluation_set)}, {max(ks)} or more] item rows, -1 for none."
                )
        results[name] = group_metrics(lists, evaluation_set, ks)
    groups = {group: {name: result[group] for name, result in results.items()} for group in GROUPS}
    return Comparison(list(ks), groups)


def fit_baselines(
    names: Sequence[str], train: csr_matrix, seed: int = 0, progress: Progress | None = None
) -> dict[str, Baseline]:
    """The named baselines, fitted.

    Args:
        names: which of `BASELINES`.
        train: CSR `[n_users, n_items]` of the training part, as `evaluation_set.interaction_matrix` gives it.
        seed: int. Seeds those that start from random numbers. Defaults to 0.
        progress: called with (description, done, total).

    Returns:
        name -> fitted baseline, in the order of `names`.

    Raises:
        ConfigError: when a name is not known.
    """
    fitted = {}
    for name in names:
        if name not in BASELINES:
            raise ConfigError(f"there is no baseline {name!r}; evaluation.baselines takes {', '.join(BASELINES)}.")
        if name == "popularity":
            fitted[name] = Popularity().fit(train)
        elif name == "item_knn":
            fitted[name] = ItemKnn().fit(train, progress)
        else:
            fitted[name] = MatrixFactorization(seed=seed).fit(train, progress)
    return fitted


def baseline_scorers(baselines: Mapping[str, Baseline], evaluation_set: EvaluationSet) -> dict[str, Scorer]:
    """Fitted baselines as scorers of one evaluation set: they score from its profiles."""

    def scorer(baseline):
        return lambda positions: baseline.score(evaluation_set.profiles[positions])

    return {name: scorer(baseline) for name, baseline in baselines.items()}


def metric_title(key: str) -> str:
    """`ndcg@10` -> `NDCG@10`; a name that is not known keeps its capitals."""
    name, _, k = key.partition("@")
    titles = {
        "ndcg": "NDCG",
        "mrr": "MRR",
        "map": "MAP",
        "hit_rate": "Hit rate",
        "auc": "AUC",
        "per_user_auc": "Per-user AUC",
        "rmse": "RMSE",
        "chance_recall": "Chance recall",
        "recall_over_chance": "Times chance",
    }
    return titles.get(name, name[:1].upper() + name[1:].replace("_", " ")) + (f"@{k}" if k else "")


def format_metric(key: str, value: float | None) -> str:
    """A metric as it is shown: four decimals, `x` for ratios, a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.1f}x" if key.startswith("recall_over_chance") else f"{value:.4f}"


def _titled(progress, title):
    return progress and (lambda _, done, total: progress(title, done, total))
