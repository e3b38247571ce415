"""The items as a ranker sees them, worked out once for all requests."""

import tensorflow as tf

from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.ensemble import RankerEnsemble

MOST_BYTES = 2**28
"""Larger tables are not kept: the items are then worked out anew for each request, from their features."""


def ranker_rows(ranking: Ranker | RankerEnsemble | None) -> list | dict | None:
    """What `Ranker.item_rows` gives, as variables of the exported graph.

    A request then looks up one row for each candidate, where else each modality of each candidate is to be projected
    (500 candidates with vectors of 1,664 numbers: half of the time). The rows are float32: of each item the embeddings
    of its fields, or what the ranker makes of them alone (`Ranker.item_parts`).

    Args:
        ranking: the trained ranker; None for none.

    Returns:
        What the ranker's call takes as `rows`; None without a ranker, or where they are larger than `MOST_BYTES`.
    """
    if ranking is None:
        return None
    of_nothing = [member.rows_of_items(tf.zeros([1], tf.int32)) for member in ranking.members]
    numbers = sum(row.shape.num_elements() for row in tf.nest.flatten(of_nothing))
    if 4 * ranking.items.size * numbers > MOST_BYTES:
        return None
    return tf.nest.map_structure(
        lambda rows: tf.Variable(rows, trainable=False, name="ranker_rows"), ranking.item_rows()
    )
