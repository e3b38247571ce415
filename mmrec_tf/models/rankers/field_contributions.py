"""What each feature adds to a ranker's scores: integrated gradients over the embeddings of the fields."""

import numpy as np
import tensorflow as tf

from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.ensemble import RankerEnsemble

STATISTICS = "target statistics"
TREND = "trend"
ITEMS = "items"

Feature = tuple[str, str]
"""`user`, `item`, `history` or `context`, and the feature's name: besides those of the schema `id`, `trend`, `target
statistics`, and of the history `items`."""


def field_contributions(model: Ranker | RankerEnsemble, inputs: dict, steps: int = 16) -> dict[Feature, np.ndarray]:
    """What each feature adds to the score of each pair on the way from the average pair to this one.

    The path is straight, from the mean x' of the pairs' fields (weights and embeddings) to the pair's own x:

        c_f = (x_f - x'_f) . integral from 0 to 1 of df/dx_f (x' + a (x - x')) da,   sum_f c_f = f(x) - f(x')

    A feature that is the same for all pairs adds nothing. The integral is a Gauss-Legendre quadrature, exact for a
    factorisation machine with one step. What a ranker reads beside its fields stays as it is and is not shared out: the
    crosses of Wide & Deep, and how many items a history has that is read item by item. Of an ensemble, whose members
    have fields of their own, it is the mean over the members.

    Args:
        model: the ranker, or an ensemble of them.
        inputs: its call arguments, with one item for each user: `item_index` is `[pairs]`. All pairs go through the
            model at once.
        steps: int. Points of the quadrature. Defaults to 16.

    Returns:
        Feature -> `[pairs]` float32, in the scores' unit. The fields of a history are one feature, and so are the
        target statistics of each side.

    Reference: Sundararajan et al., Axiomatic attribution for deep networks (ICML 2017).
    """
    found = [_of_member(member, inputs, steps) for member in model.members]
    return {feature: np.mean([of[feature] for of in found], axis=0) for feature in found[0]}


def _of_member(model, inputs, steps):
    # The ranker's own steps, in the order of `Ranker.call`, with a stop where the fields meet.
    pairs = model._pairs(inputs, False, None, None, None)
    own = {name: getattr(pairs, name) for name in _WATCHED if getattr(pairs, name) is not None}
    average = {name: tf.reduce_mean(values, axis=0, keepdims=True) for name, values in own.items()}
    away = {name: own[name] - average[name] for name in own}
    points, shares = np.polynomial.legendre.leggauss(steps)
    slopes = {name: tf.zeros_like(values) for name, values in own.items()}

    @tf.function
    def slopes_at(place):
        path = {name: average[name] + tf.cast(place, away[name].dtype) * away[name] for name in own}
        with tf.GradientTape() as tape:
            tape.watch(path)
            there = pairs._replace(**path)
            scores = model._expected(model._raw(inputs, there, model.interactions(there, False), False))
        return tape.gradient(scores, path, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    for point, share in zip(points, shares):
        # From [-1, 1] to the path's [0, 1].
        found = slopes_at(tf.constant((point + 1.0) / 2.0, tf.float32))
        slopes = {name: slopes[name] + tf.cast(share / 2.0, slopes[name].dtype) * found[name] for name in own}
    item, user = field_names(model, own["item_vectors"].shape[1], own["user_vectors"].shape[1])
    contributions: dict[Feature, np.ndarray] = {}
    for side, names in (("item", item), ("user", user)):
        weights, vectors = f"{side}_weights", f"{side}_vectors"
        added = away[weights] * slopes[weights]
        added += tf.reduce_sum(tf.cast(away[vectors] * slopes[vectors], tf.float32), axis=2)
        _add(contributions, names, added)
    if "target" in own:
        # The item as its history's are embedded is the sum of its features, so each has its share of the slope.
        parts = model.history_fields(pairs.item_index, pairs.item_ids)[:, 0]
        parts -= tf.reduce_mean(parts, axis=0, keepdims=True)
        added = tf.reduce_sum(tf.cast(parts * slopes["target"], tf.float32), axis=2)
        _add(contributions, [("item", name) for name in table_features(model.items)], added)
        added = tf.reduce_sum(tf.cast(away["steps"] * slopes["steps"], tf.float32), axis=[1, 2])
        _add(contributions, [("history", ITEMS)], added[:, None])
    return contributions


def table_features(lookup: FeatureLookup) -> list[str]:
    """Names of the fields of a table, in the order of `TableFields`."""
    groups = ("categorical", "multi_categorical", "numbers", "vectors")
    return ["id", *(name for group in groups for name in sorted(lookup.tables[group]))]


def field_names(model: Ranker, item_fields: int, user_fields: int) -> tuple[list[Feature], list[Feature]]:
    """The features behind a ranker's fields, of the item and of the user, in the order of `Pairs`.

    Args:
        model: the ranker.
        item_fields, user_fields: int. How many fields there are; those behind all others are target statistics.
    """
    of_item = table_features(model.items)
    item = [("item", name) for name in of_item]
    if model.trend_field is not None:
        item.append(("item", TREND))
    user = [("user", name) for name in table_features(model.users)]
    context = []
    if model.context_fields is not None:
        spec = model.context_fields.spec
        groups = ("categorical", "multi_categorical", "numbers")
        context = [("context", name) for group in groups for name in sorted(spec[group])]
    statistics = 0 if model.target_fields is None else model.target_fields.widths["user"]
    # Without a history, or with one that is read item by item, there are no fields of it.
    history = user_fields - len(user) - len(context) - statistics
    user += [("history", ITEMS)] * history + context + [("user", STATISTICS)] * statistics
    return item + [("item", STATISTICS)] * (item_fields - len(item)), user


def _add(contributions, names, added):
    """Adds `[pairs, fields]` to the features that the fields belong to."""
    for name, values in zip(names, added.numpy().T, strict=True):
        contributions[name] = contributions.get(name, 0.0) + values


_WATCHED = ("item_vectors", "item_weights", "user_vectors", "user_weights", "target", "steps")
