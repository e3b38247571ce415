"""The users of a part of the split, and the lists that each of them would be shown."""

import pandas as pd

from mmrec_tf.evaluation.evaluation_set import EvaluationSet, build_evaluation_set
from mmrec_tf.evaluation.stage_lists import StageLists
from mmrec_tf.evaluation.training_data import asking_context, asking_times
from mmrec_tf.features.prepared import Prepared

MOST_VALIDATION_USERS = 20_000
"""Users whom training asks after every epoch: the whole catalogue is ranked for each, and more tell little more."""


def judged_users(prepared: Prepared, part: str, most: int | None = None) -> tuple[EvaluationSet, StageLists]:
    """The users of `validation` or `test`, and the lists they would be shown, knowing only what came before.

    Args:
        prepared: the data as numbers.
        part: str. `validation` or `test`.
        most: int. Draw so many users where there are more; None, the default, for all.
    """
    split = prepared.split
    before = split.train if part == "validation" else pd.concat([split.train, split.validation])
    target = getattr(split, part)
    users = build_evaluation_set(prepared.data, before, target, split.train)
    if most is not None:
        users = users.sampled(most, prepared.config.seed)
    batch_size = prepared.config.evaluation.batch_size
    times, context = (asked(prepared, users, target) for asked in (asking_times, asking_context))
    trends = prepared.trends() if part == "validation" else prepared.trends(split.validation)
    known = (batch_size, times, trends, context)
    return users, StageLists(prepared.sequences(before), users.user_rows, users.profiles, *known)
