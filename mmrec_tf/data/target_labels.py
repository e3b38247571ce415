"""Labels of what a ranker learns, and a mask for what the interactions do not say of it."""

import numpy as np
import pandas as pd

from mmrec_tf.config_ranking import RankingConfig
from mmrec_tf.config_targets import target_columns
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.errors import DataError

Labels = dict[str, dict[str, np.ndarray]]
"""Target -> `label` and `weight`, `[rows]` float32; what has weight 0 is not known, and has label 0."""


def main_labels(data: RecData, frame: pd.DataFrame, options: RankingConfig) -> np.ndarray:
    """`[rows]` float32: what the main target of interactions is, 1 or 0 for clicks, the label itself for ratings."""
    if options.target == "rating":
        return frame[data.label].to_numpy(np.float32)
    return data.is_positive(frame).astype(np.float32)


def target_labels(data: RecData, frame: pd.DataFrame, options: RankingConfig) -> Labels:
    """What interactions say of each target beside the main one.

    A target that comes after another one is labelled in all rows in which that one is, by whether both happened: where
    the other did not, neither did both, whatever its own cell says or leaves out; where the other did, its cell counts.

    Args:
        data: the validated data, which has the targets' columns; NaN where a cell says nothing.
        frame: interactions of it.
        options: names the targets.

    Raises:
        DataError: where a target happened and what it comes after did not.
    """
    targets = options.learned_targets
    columns, labels = target_columns(targets), {}

    def find(name):
        if name == options.target:
            return {"label": main_labels(data, frame, options), "weight": np.ones(len(frame), np.float32)}
        if name not in labels:
            own = _own_label(frame[columns[name]].to_numpy(np.float64), targets[name])
            after = targets[name].after
            labels[name] = own if after is None else _with_the_other(own, find(after), frame, columns[name], after)
        return labels[name]

    return {name: find(name) for name in targets}


def rows_of_target(labels: Labels, main: np.ndarray, name: str, options: RankingConfig) -> np.ndarray:
    """`[rows]` bool: those that say whether a target happens once what it comes after has happened, or its number.

    Args:
        labels: what `target_labels` gives.
        main: `[rows]` labels of the main target.
        name: the target's.
        options: names the targets.
    """
    after = options.learned_targets[name].after
    rows = labels[name]["weight"] > 0
    if after is None:
        return rows
    return rows & ((main if after == options.target else labels[after]["label"]) > 0)


def target_levels(data: RecData, frame: pd.DataFrame, options: RankingConfig) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each target's labels, where what it comes after has happened."""
    labels, main = target_labels(data, frame, options), main_labels(data, frame, options)
    values = {
        name: of["label"][rows_of_target(labels, main, name, options)].astype(np.float64) for name, of in labels.items()
    }
    return {name: (float(of.mean()), float(of.std())) for name, of in values.items()}


def check_clicks_teach(data: RecData, train: pd.DataFrame, options: RankingConfig) -> None:
    """Refuses clicks without anything to tell them from: a ranker of these learns that all chances are 1.

    Nothing is wrong with it where lists are ordered by another target, of an interaction that is always there.

    Raises:
        DataError: if all training interactions are positives, no negatives are drawn, and clicks order the lists.
    """
    is_ordered_by_others = any(power for name, power in (options.order_by or {}).items() if name != options.target)
    if not options.enabled or options.target != "click" or options.draws_negatives or is_ordered_by_others:
        return
    if len(train) and data.is_positive(train).all():
        if data.label is None:
            found, remedy = "without data.label each one is", "name a data.label that some do not reach"
        else:
            wanted = "above 0" if data.positive_from is None else f"{data.positive_from:g} or more, data.positive_from,"
            found, remedy = f"{data.label} is {wanted} in all of them", "raise data.positive_from"
        raise DataError(
            f"the ranker has nothing to tell clicks from: all {len(train)} training interactions are positives "
            f"({found}), and models.ranking.negatives and models.ranking.hard_negatives are 0. Set one of these above "
            f"0, or {remedy}, or set models.ranking.enabled to false."
        )


def check_targets_teach(data: RecData, train: pd.DataFrame, options: RankingConfig) -> None:
    """Refuses training interactions that teach nothing about a target.

    Raises:
        DataError: for a target that no row says, of which all say the same, or that contradicts another one.
    """
    if not options.enabled or not options.targets:
        return
    labels, main = target_labels(data, train, options), main_labels(data, train, options)
    columns = target_columns(options.targets)
    for name, target in options.learned_targets.items():
        rows = rows_of_target(labels, main, name, options)
        where = "training interactions" + ("" if target.after is None else f" with a {target.after}")
        remedy = f"Fill the column, or take {name} out of models.ranking.targets."
        values = labels[name]["label"][rows]
        if not len(values):
            raise DataError(
                f"the target {name} has nothing to learn: none of the {where} has a {columns[name]}. {remedy}"
            )
        if values.min() == values.max():
            if target.kind == "click":
                smallest = target.positive_from
                wanted = "above 0" if smallest is None else f"{smallest:g} or more"
                how = f"in {'all' if values[0] else 'none'} of them {columns[name]} is {wanted} (positive_from)"
            else:
                how = f"in all of them {columns[name]} is {values[0]:g}"
            raise DataError(
                f"the target {name} has nothing to learn from {len(values)} {where}: {how}. The first is row "
                f"{train.index[rows][0]} of the interactions. {remedy}"
            )


def _own_label(values, target):
    known = np.isfinite(values)
    if target.kind == "click":
        # As float32, as labels are compared with data.positive_from.
        smallest, values = target.positive_from, values.astype(np.float32)
        values = values > 0 if smallest is None else values >= np.float32(smallest)
    return {"label": np.where(known, values, 0.0).astype(np.float32), "weight": known.astype(np.float32)}


def _with_the_other(own, other, frame, column, after):
    happened = other["label"] > 0
    wrong = (other["weight"] > 0) & ~happened & (own["label"] > 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        named = [f"{name} {value!r}" for name, value in frame.iloc[row].items() if isinstance(value, str)]
        raise DataError(
            f"{int(wrong.sum())} interactions have a {column} without the {after} that it comes after, first in row "
            f"{frame.index[row]}: {', '.join([*named, f'{column} {frame[column].iloc[row]:g}'])}. Mend the column, "
            f"or let the target come after nothing."
        )
    weight = np.where(happened, own["weight"], 1.0) * other["weight"]
    return {"label": own["label"] * weight * happened, "weight": weight.astype(np.float32)}
