"""Items, histories and users as a ranker sees them, worked out once for all requests."""

import tensorflow as tf

from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.ensemble import RankerEnsemble

MOST_BYTES = 2**28
"""What does not fit in is not kept, but worked out anew for each request, from the features."""


def ranker_rows(ranking: Ranker | RankerEnsemble | None) -> list | dict | None:
    """What a ranker's fields come to, as variables of the exported graph.

    A request then looks up one row for each candidate, where else each modality of each candidate is to be projected
    (500 candidates with vectors of 1,664 numbers: half of the time), one for each item of its history and one for the
    user. The rows are float32: of each item the embeddings of its fields, or what the ranker makes of them alone
    (`Ranker.item_parts`), and what the means of histories add up.

    Args:
        ranking: the trained ranker; None for none.

    Returns:
        What the ranker's call takes as `rows`, of the items, and of histories and users where there is room for these
        as well; None without a ranker, or where the items alone take more than `MOST_BYTES`.
    """
    if ranking is None:
        return None
    rows, room = [{} for _ in ranking.members], MOST_BYTES
    kinds = {"item_rows": ranking.items.size, "history_rows": ranking.items.size, "user_rows": ranking.users.size}
    for kind, size in kinds.items():
        of_one = [getattr(member, kind)(first=1) for member in ranking.members]
        needed = 4 * size * sum(row.size for row in tf.nest.flatten(of_one))
        if needed <= room:
            room -= needed
            for kept, member in zip(rows, ranking.members):
                kept.update(tf.nest.map_structure(_variable, getattr(member, kind)()))
        elif kind == "item_rows":
            return None
    return rows if isinstance(ranking, RankerEnsemble) else rows[0]


def _variable(rows):
    return tf.Variable(rows, trainable=False, name="ranker_rows")
