"""What a two-tower model may remember of pairs of items, as the data have it."""

from collections.abc import Callable
from functools import partial

import numpy as np

from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.item_graph import cooccurrence_neighbours, follower_neighbours, linear_neighbours
from mmrec_tf.models.two_tower import TwoTower

MOST_LINEAR_ITEMS = 10_000
"""Items of training up to which a linear model of all items is solved for their pairs: some seconds and 0.8 GB."""

LINEAR_REGULARIZATIONS = (30.0, 100.0, 300.0)


def remembered_pairs(prepared: Prepared, model: TwoTower) -> dict[str, dict[str, Callable]]:
    """What each of the model's memories may hold, for `calibrate` to choose from.

    Pairs of a linear model are better than counted ones, as far as a catalogue fits it.
    """
    if not model.memories:
        return {}
    train, items, width = prepared.sequences(), len(prepared.data.items), prepared.config.models.retrieval.neighbours
    consumed = train.profiles(items)
    companions = {"counted": lambda: cooccurrence_neighbours(consumed, width)}
    if np.count_nonzero(prepared.items.id_index) <= MOST_LINEAR_ITEMS:
        for regularization in LINEAR_REGULARIZATIONS:
            name = f"linear {regularization:g}"
            companions[name] = partial(linear_neighbours, consumed, width, regularization)
    return {"followers": {"counted": lambda: follower_neighbours(train, items, width)}, "companions": companions}
