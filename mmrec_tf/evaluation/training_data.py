"""Prepared data in the form that the baselines are fitted on and asked in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from mmrec_tf.evaluation.evaluation_set import EvaluationSet, build_evaluation_set, interaction_matrix
from mmrec_tf.evaluation.ranking_metrics import mean_ndcg
from mmrec_tf.features.context_features import Context
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.recommender_model import Asked, HeldOut, TrainingData


def training_data(prepared: Prepared, most_held_out: int = 5000) -> TrainingData:
    """The training part of the split, with the validation users to choose settings, weights and epochs by.

    Args:
        prepared: the prepared data.
        most_held_out: int. Validation users; of more, this many are drawn with the configuration's seed. Defaults to
            5000, so that the standard error of their NDCG is at most 0.5 / sqrt(5000) = 0.007.

    Returns:
        The training data. Validation users are judged by NDCG at the first of `evaluation.k`. `held_out` is None
        where the split has no validation users, `times` where the schema has no timestamp, `labels` where the data
        have no label.
    """
    return replace(known_interactions(prepared, prepared.split.train), held_out=_held_out(prepared, most_held_out))


def known_interactions(prepared: Prepared, *frames: pd.DataFrame) -> TrainingData:
    """Interactions in that form: those of training for `fit`, with what came after them for `bring_up_to_date`."""
    frame, data = pd.concat(frames), prepared.data
    user_rows, item_rows = prepared.rows(frame)
    return TrainingData(
        positives=interaction_matrix(data, frame),
        user_rows=user_rows,
        item_rows=item_rows,
        is_positive=data.is_positive(frame),
        times=None if data.schema.timestamp is None else prepared.times(frame),
        labels=None if data.label is None else frame[data.label].to_numpy(np.float32),
        items=prepared.items,
        # Index 0 of a table is the user who is not known.
        user_segments={name: places[1:] for name, places in prepared.users.categorical.items()},
    )


def asking_times(prepared: Prepared, evaluation_set: EvaluationSet, target: pd.DataFrame) -> np.ndarray | None:
    """`[n]` float: when each user of an evaluation set asks, the moment of their first interaction to be found.

    That is what a server knows when the request comes in. None where the data do not tell time.
    """
    if not prepared.data.tells_time:
        return None
    return prepared.times(_first_interactions(prepared, evaluation_set, target))


def asking_context(prepared: Prepared, evaluation_set: EvaluationSet, target: pd.DataFrame) -> Context | None:
    """What is known of each user's request, as of their first interaction to be found; None for nothing."""
    if prepared.context is None:
        return None
    return prepared.context.encode(_first_interactions(prepared, evaluation_set, target))


def _first_interactions(prepared, evaluation_set, target):
    """A row for each user of the evaluation set, in its order."""
    positives = prepared.data.positives(target)
    users, items = prepared.rows(positives)
    # What was seen before is not to be found again, so nobody is asked when it comes.
    wanted, size = evaluation_set.relevant.tocoo(), evaluation_set.item_count
    is_wanted = np.isin(users * size + items, evaluation_set.user_rows[wanted.row] * size + wanted.col)
    positives, users = positives[is_wanted], users[is_wanted]
    times = prepared.times(positives)
    order = np.lexsort((times, users))
    places = np.searchsorted(users[order], evaluation_set.user_rows)
    return positives.iloc[order[places]]


def _held_out(prepared, most):
    target = prepared.split.validation
    if not len(target):
        return None
    users = build_evaluation_set(prepared.data, prepared.split.train, target, prepared.split.train)
    if not len(users):
        return None
    users = users.sampled(most, prepared.config.seed)
    k = prepared.config.evaluation.k[0]
    asked = Asked(users.profiles, users.user_rows, asking_times(prepared, users, target))
    return HeldOut(asked, lambda lists: float(mean_ndcg(lists, users.relevant, [k]).mean()), k)
