"""Which features a trained ranker relies on: what it loses when one is shuffled, and what each adds to its scores."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import tensorflow as tf

from mmrec_tf.errors import DataError
from mmrec_tf.evaluation.classification_metrics import auc
from mmrec_tf.evaluation.stage_lists import score_pairs
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.field_contributions import (
    ITEMS,
    STATISTICS,
    TREND,
    Feature,
    field_contributions,
    table_features,
)

Progress = Callable[[str, int, int], None]

_GROUPS = ("categorical", "multi_categorical", "numbers")


@dataclass(frozen=True)
class FeatureImportance:
    """How much a ranker relies on one feature.

    Attributes:
        part: `user`, `item`, `history` or `context`.
        feature: its name; `id`, `trend`, `target statistics`, and of the history `items`.
        loss: what shuffling it costs, the mean over the repeats: the drop of AUC, or the rise of RMSE.
        deviation: the standard deviation of that over the repeats.
        contribution: mean size of what it adds to a score, away from the average; see `field_contributions`.
    """

    part: str
    feature: str
    loss: float
    deviation: float
    contribution: float

    def to_dict(self) -> dict[str, str | float]:
        return asdict(self)


def feature_importance(
    model: Ranker,
    pairs: dict[str, np.ndarray],
    repeats: int = 5,
    sample: int = 2048,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[FeatureImportance]:
    """The importance of every feature of a ranker, the greatest loss first.

    Shuffling is the answer to what a feature is worth as things are: of two that say the same, each alone looks
    dispensable. Contributions say what the model looks at, whether that is of use or not.

    Args:
        model: the trained ranker.
        pairs: labelled pairs that it was not trained on; see `evaluation_pairs`.
        repeats: int. How often each feature is shuffled. Defaults to 5.
        sample: int. The most pairs, drawn at random, whose scores are taken apart. Defaults to 2048.
        seed: int. Of both draws.
        progress: called with (description, done, total).

    Raises:
        DataError: if there are no pairs, or all of them have the same label and there is no AUC.
    """
    losses = permutation_importance(model, pairs, repeats, seed, progress)
    inputs = {name: array for name, array in pairs.items() if name not in ("label", "targets")}
    rows = np.random.default_rng(seed).permutation(len(pairs["label"]))[:sample]
    inputs = tf.nest.map_structure(lambda array: tf.constant(array[rows]), inputs)
    sizes = {feature: np.abs(added).mean() for feature, added in field_contributions(model, inputs).items()}
    found = [
        FeatureImportance(*feature, float(np.mean(lost)), float(np.std(lost)), float(sizes.get(feature, 0.0)))
        for feature, lost in losses.items()
    ]
    return sorted(found, key=lambda one: (-one.loss, -one.contribution))


def permutation_importance(
    model: Ranker,
    pairs: dict[str, np.ndarray],
    repeats: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[Feature, np.ndarray]:
    """What a ranker loses when the values of one feature are shuffled among the pairs, one feature after the other.

    A feature of the context and the history are shuffled from pair to pair. A feature of users or of items is shuffled
    where it is looked up, so that whoever it belongs to has another's value wherever they are met, in histories too;
    the values come from the pairs, each as often as it stands there. The presence of a value moves with it.

    Args:
        model: the trained ranker; its tables are as they were afterwards.
        pairs: labelled pairs that it was not trained on; see `evaluation_pairs`.
        repeats: int. How often each feature is shuffled. Defaults to 5.
        seed: int. Of the shuffling.
        progress: called with (description, done, total).

    Returns:
        Feature -> `[repeats]` float64: AUC less the AUC when shuffled; of ratings the RMSE when shuffled less the RMSE.

    Raises:
        DataError: as for `feature_importance`.

    References: Breiman, Random forests (2001); Fisher et al., All models are wrong, but many are useful (JMLR 2019).
    """
    intact = _error(model, pairs)
    shuffled = _shuffles(model, pairs)
    losses = {}
    for done, (feature, shuffle) in enumerate(shuffled.items()):
        random = np.random.default_rng([seed, done])
        found = []
        for _ in range(repeats):
            with shuffle(random) as changed:
                found.append(_error(model, changed) - intact)
        losses[feature] = np.array(found)
        if progress is not None:
            progress("shuffling features", done + 1, len(shuffled))
    return losses


def _error(model, pairs):
    """RMSE of ratings, less the AUC of clicks."""
    labels = pairs["label"]
    if not len(labels):
        raise DataError("there is no labelled pair to judge features by. Give the test split more interactions.")
    scores = score_pairs(model, pairs)
    if model.target == "rating":
        return float(np.sqrt(np.mean(np.square(scores.astype(np.float64) - labels))))
    found = auc(labels, scores)
    if found is None:
        raise DataError(
            f"all {len(labels)} pairs have the label {labels[0]:g}, so there is no AUC for a feature to be worth. Give "
            "the test split clicks and what was not clicked, or set models.ranking.negatives above 0."
        )
    return -found


def _shuffles(model, pairs) -> dict[Feature, Callable]:
    """Feature -> a context manager that gives the pairs with the feature shuffled."""
    found: dict[Feature, Callable] = {}

    def of_table(lookup, part, index):
        for name in table_features(lookup):
            tables = [
                lookup.tables[group][name] for group in (*_GROUPS, "vectors", "masks") if name in lookup.tables[group]
            ]
            found[part, name] = _in_tables(tables or [lookup.id_index], pairs, index)

    of_table(model.users, "user", "user_index")
    of_table(model.items, "item", "item_index")
    trends = [member.trend_field for member in model.members if member.trend_field is not None]
    if trends:
        tables = [table for trend in trends for table in (trend.table, trend.present)]
        found["item", TREND] = _in_tables(tables, pairs, "item_index")
    statistics = [member.target_fields for member in model.members if member.target_fields is not None]
    if statistics:
        of_user = [table for told in statistics for table in (told.user, *told.crossed.values())]
        of_item = [table for told in statistics for table in (told.item, *told.lists.values())]
        found["user", STATISTICS] = _in_tables(of_user, pairs, "user_index")
        found["item", STATISTICS] = _in_tables(of_item, pairs, "item_index")
    if pairs["history"].shape[1]:
        found["history", ITEMS] = _in_pairs(pairs, ("history",))
    for group in _GROUPS if model.context_fields is not None and "context" in pairs else ():
        for name in sorted(pairs["context"][group]):
            found["context", name] = _in_pairs(pairs, ("context", group, name))
    return found


def _in_pairs(pairs, path):
    @contextmanager
    def shuffle(random) -> Iterator[dict]:
        yield _replaced(pairs, path, lambda array: array[random.permutation(len(array))])

    return shuffle


def _replaced(values, path, change):
    if not path:
        return change(values)
    return {**values, path[0]: _replaced(values[path[0]], path[1:], change)}


def _in_tables(tables, pairs, index):
    """Tables that are looked up by `index`; those of items by the history too."""

    @contextmanager
    def shuffle(random) -> Iterator[dict]:
        before = [table.numpy() for table in tables]
        # Row 0 is what is not known: it has no value to take another's place, and none to be taken.
        rows = pairs[index][pairs[index] > 0]
        source = np.arange(len(before[0]))
        if len(rows):
            met = np.unique(np.concatenate([rows, pairs["history"].ravel()]) if index == "item_index" else rows)
            met = met[met > 0]
            source[met] = random.choice(rows, len(met))
        try:
            for table, values in zip(tables, before):
                table.assign(values[source])
            yield pairs
        finally:
            for table, values in zip(tables, before):
                table.assign(values)

    return shuffle
