"""Labelled pairs for judging a ranker: what users did, beside items they left alone."""

import numpy as np
import tensorflow as tf

from mmrec_tf.data.sequences import Sequences, pair_keys
from mmrec_tf.features.prepared import Prepared


def evaluation_pairs(
    prepared: Prepared, frame, history: Sequences, negatives: int = 4, seed: int = 0
) -> dict[str, np.ndarray]:
    """Pairs of user and item with labels, the same for every model that is judged by them.

    For clicks, each positive of `frame` is set beside `negatives` items drawn uniformly from those that its user never
    touched, in any part of the split; rows of `frame` that are no positives are zeros of their own. What a user has
    taken up before is not recommended again and left out, unless no other positive is there. For ratings, and for a
    ranker that is trained without drawn items, the rows of `frame` are taken as they are.

    Args:
        prepared: the prepared data.
        frame: interactions, usually the validation or the test split.
        history: what users are known by: each pair sees what its user did strictly before.
        negatives: int. Drawn for each positive.
        seed: int. Of the draw.

    Returns:
        dict of `user_index`, `item_index`, `history`, `label` and, where they are known, `context` and `targets` (see
        `target_labels`), row-aligned. A drawn item says of other targets that what comes after a click did not happen.
    """
    if negatives == 0 or not prepared.config.models.ranking.draws_negatives:
        return prepared.ranking_examples(frame, history)
    judged = frame[~prepared.repeats(frame, history)]
    pairs = prepared.ranking_examples(judged if (prepared.labels(judged) > 0).any() else frame, history)
    items = len(prepared.data.items)
    taken = np.unique(pair_keys(*prepared.rows(prepared.data.interactions)))
    source = np.repeat(np.flatnonzero(pairs["label"] > 0), negatives)
    user = pairs["user_index"][source].astype(np.int64) - 1
    random = np.random.default_rng(seed)
    drawn = random.integers(0, items, len(source))
    for _ in range(100):
        clash = np.isin(pair_keys(user, drawn), taken)
        if not clash.any():
            break
        drawn[clash] = random.integers(0, items, int(clash.sum()))
    # A user who has touched the whole catalogue has no item left to draw.
    keep = ~np.isin(pair_keys(user, drawn), taken)
    source, drawn = source[keep], drawn[keep]
    negative = tf.nest.map_structure(lambda array: array[source], pairs)
    negative["item_index"], negative["label"] = (drawn + 1).astype(np.int32), np.zeros(len(source), np.float32)
    after_main = prepared.config.models.ranking.targets_after_main
    for name, said in negative.get("targets", {}).items():
        said["label"] = np.zeros(len(source), np.float32)
        said["weight"] = np.full(len(source), name in after_main, np.float32)
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), pairs, negative)
