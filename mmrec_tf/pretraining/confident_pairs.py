"""Pairs of a user and an item that a fitted model is sure of, although nobody has told it."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from mmrec_tf.config_pretraining import PseudoLabelsConfig
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.two_tower import TwoTower

_USERS_AT_A_TIME = 256


@dataclass(frozen=True)
class ConfidentPairs:
    """Pseudo-labels.

    Attributes:
        user_index, item_index: `[n]` int32.
        confidence: `[n]` float32, the share of the views that have the item in the user's list.
    """

    user_index: np.ndarray
    item_index: np.ndarray
    confidence: np.ndarray

    def __len__(self) -> int:
        return len(self.user_index)


def find_confident_pairs(model: TwoTower, prepared: Prepared, options: PseudoLabelsConfig, seed: int) -> ConfidentPairs:
    """Pairs that stay in the user's list whatever is dropped out, for users or items with few interactions.

    A softmax over a catalogue is no probability that can be compared with a threshold. How often an item is among a
    user's first `k` is one: the user and all items are embedded `views` times as in training, each time with other
    ids, modalities and units dropped out. What depends on one modality or on an id nobody has learned much about
    falls out of the list in some of the views.

    What a user has touched in training is no pair, nor is a user without any training interaction, of whom the model
    knows nothing of their own.

    Args:
        model: a fitted `TwoTower`.
        prepared: its data.
        options: `few`, `k`, `views`, `confidence` and `pairs_per_user` are read.
        seed: int. Of what is dropped out.

    Reference: Gal and Ghahramani, Dropout as a Bayesian approximation (ICML 2016), for the views; Lee, Pseudo-label
    (2013).
    """
    tf.random.set_seed(seed)
    train = prepared.sequences()
    items = len(prepared.data.items)
    touched = prepared.touched(prepared.split.train).profiles(items)
    of_user = np.diff(train.starts)
    few_of_item = np.bincount(train.item_index, minlength=items + 1)[1:] < options.few
    index = tf.range(1, items + 1)
    catalogues = [model.embed_candidate(index, training=True) for _ in range(options.views)]
    # Where no item has few interactions, only users with few can be part of a pair.
    asked = np.flatnonzero((of_user > 0) & ((of_user < options.few) | few_of_item.any()))
    found = []
    for start in range(0, len(asked), _USERS_AT_A_TIME):
        rows = asked[start : start + _USERS_AT_A_TIME]
        shares = _shares(model, catalogues, rows, train.latest(rows), touched[rows], options.k)
        shares[np.ix_(of_user[rows] >= options.few, ~few_of_item)] = 0.0
        found.append(_most_confident(rows, shares, options))
    if not found:
        found.append((np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)))
    users, chosen, confidence = (np.concatenate(parts) for parts in zip(*found))
    return ConfidentPairs((users + 1).astype(np.int32), (chosen + 1).astype(np.int32), confidence)


def _shares(model, catalogues, rows, history, touched, k):
    """`[users, items]` float32: the share of the views that have the item among the user's first k."""
    untouchable = tf.constant(touched.toarray() > 0)
    user_index, history = tf.constant(rows + 1, tf.int32), tf.constant(history, tf.int32)
    counts = np.zeros(untouchable.shape, np.float32)
    for catalogue in catalogues:
        queries = model.embed_query(user_index, history, training=True)
        scores = tf.where(untouchable, -np.inf, tf.matmul(queries, catalogue, transpose_b=True))
        best = tf.math.top_k(scores, min(k, scores.shape[1]))
        # A user who has touched nearly everything has fewer than k left.
        np.add.at(counts, (np.arange(len(rows))[:, None], best.indices), np.isfinite(best.values))
    return counts / len(catalogues)


def _most_confident(rows, shares, options):
    order = np.argsort(-shares, axis=1, kind="stable")[:, : options.pairs_per_user]
    confidence = np.take_along_axis(shares, order, axis=1)
    # Counts divided and multiplied again may miss the threshold by the last bit.
    sure = confidence >= options.confidence - 1e-6
    users = np.broadcast_to(rows[:, None], order.shape)
    return users[sure], order[sure], confidence[sure]
