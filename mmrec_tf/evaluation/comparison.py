"""Models beside baselines in one table: a figure alone says nothing about a recommender."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmrec_tf.errors import MmrecError
from mmrec_tf.evaluation.evaluation_set import EvaluationSet
from mmrec_tf.evaluation.evaluator import Scorer, rank_items
from mmrec_tf.evaluation.ranking_metrics import GROUPS, METRICS, group_metrics
from mmrec_tf.models.recommender_model import Asked, RecommenderModel, TrainingData
from mmrec_tf.models.recommenders import build_recommender, recommender_names
from mmrec_tf.models.rows_at_once import rows_at_once

Progress = Callable[[str, int, int], None]


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
        baselines = [name for name in models if name in recommender_names()]
        return {"ks": self.ks, "baselines": baselines, "groups": self.groups}

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
    optional: Collection[str] = (),
) -> Comparison:
    """Measures every model on the same users in the same way.

    Args:
        models: name -> scorer (see `evaluator.rank_items`), or finished lists `[n, at least max(ks)]` of item rows.
            They are shown in this order; the last that is not a baseline is the report's headline.
        evaluation_set: who wants what.
        ks: cut-offs; the first is the headline.
        batch_size: int. Users scored at a time, fewer of a large catalogue. Defaults to 256.
        progress: called with (description, done, total).
        optional: names of the models that are left out with a warning where they cannot rank, for whatever reason;
            by default none is.

    Returns:
        The comparison.

    Raises:
        MmrecError: when there is nobody to evaluate, finished lists have the wrong shape, or a score is NaN.
    """
    evaluation_set.check_anybody()
    results, most = {}, rows_at_once(batch_size, evaluation_set.item_count)
    for name, model in models.items():
        if callable(model):
            shown = _titled(progress, f"ranking with {name.replace('_', ' ')}")
            try:
                lists = rank_items(model, len(evaluation_set), evaluation_set.profiles, max(ks), most, shown)
            except Exception as error:  # whatever it ran into, what it is compared with took hours to train
                if name not in optional:
                    raise
                warnings.warn(f"{name} is left out of the comparison: {_told(error)}", stacklevel=2)
                continue
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


def check_baselines(names: Sequence[str], training: TrainingData, seed: int = 0) -> None:
    """Refuses baselines that the data cannot feed, without fitting any.

    Args:
        names, training, seed: what `fit_baselines` will be given.

    Raises:
        ConfigError: when a name is not known.
        DataError: when a baseline needs something that the data do not have.
    """
    for name in names:
        build_recommender(name, seed).check(training)


def fit_baselines(
    names: Sequence[str], training: TrainingData, seed: int = 0, progress: Progress | None = None
) -> dict[str, RecommenderModel]:
    """The named baselines, fitted with their default settings.

    One that cannot be fitted, for whatever reason, is left out with a warning: what it would be compared with took
    longer to train.

    Args:
        names: which of `recommender_names`.
        training: what `training_data` gives, or a CSR `[n_users, n_items]` of the training part's positives alone,
            which is enough for those that look at nothing else.
        seed: int. Seeds those that start from random numbers. Defaults to 0.
        progress: called with (description, done, total).

    Returns:
        name -> fitted baseline, in the order of `names`.

    Raises:
        ConfigError: when a name is not known.
    """
    training = training if isinstance(training, TrainingData) else TrainingData(training)
    unfitted = {name: build_recommender(name, seed) for name in names}
    fitted = {}
    for name, model in unfitted.items():
        try:
            fitted[name] = model.fit(training, progress)
        except Exception as error:  # too little memory, or a mistake in a registered class
            warnings.warn(f"the baseline {name} is left out of the comparison: {_told(error)}", stacklevel=2)
    return fitted


def brought_up_to_date(baselines: Mapping[str, RecommenderModel], known: TrainingData) -> dict[str, RecommenderModel]:
    """The baselines, told of what came after training; one that fails at it is left out with a warning.

    Args:
        baselines: name -> fitted baseline, which is changed.
        known: see `RecommenderModel.bring_up_to_date`.
    """
    told = {}
    for name, baseline in baselines.items():
        try:
            baseline.bring_up_to_date(known)
        except Exception as error:  # as in `fit_baselines`; what is told of a half is no measure of anything
            warnings.warn(f"the baseline {name} is left out of the comparison: {_told(error)}", stacklevel=2)
        else:
            told[name] = baseline
    return told


def baseline_scorers(
    baselines: Mapping[str, RecommenderModel], evaluation_set: EvaluationSet, times: np.ndarray | None = None
) -> dict[str, Scorer]:
    """Fitted baselines as scorers of one evaluation set.

    Args:
        baselines: name -> fitted baseline.
        evaluation_set: who is asked, and what they did before.
        times: `[n]` float. The moment at which each is asked, as `asking_times` gives it; None for the end of
            training.
    """
    asked = Asked(evaluation_set.profiles, evaluation_set.user_rows, times)

    def scorer(baseline):
        return lambda positions: baseline.score(asked[positions])

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
        "joint_auc": "Joint AUC",
        "rmse": "RMSE",
        "mae": "MAE",
        "chance_recall": "Chance recall",
        "recall_over_chance": "Times chance",
    }
    return titles.get(name, name[:1].upper() + name[1:].replace("_", " ")) + (f"@{k}" if k else "")


def format_metric(key: str, value: float | None) -> str:
    """A metric as it is shown: four decimals, `x` for ratios, a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.1f}x" if key.startswith("recall_over_chance") else f"{value:.4f}"


def _told(error):
    """Ours say all by themselves; the text of others means little without the type, and may be empty."""
    if isinstance(error, MmrecError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _titled(progress, title):
    return progress and (lambda _, done, total: progress(title, done, total))
