"""Writes the package's split as plain arrays, which every peer is trained on and asked from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from peer_split import PARTS, csr_arrays
from scipy.sparse import csr_matrix

from mmrec_tf.evaluation.evaluation_set import EvaluationSet
from mmrec_tf.evaluation.judged_users import judged_users
from mmrec_tf.evaluation.training_data import asking_times
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.features.prepared import Prepared


def export_split(prepared: Prepared, path: Path) -> EvaluationSet:
    """Writes what `peer_split.SplitArrays` reads, and gives the test users.

    Args:
        prepared: the split and the items' features.
        path: the `.npz` file to write.
    """
    split, data = prepared.split, prepared.data
    users, items = prepared.rows(split.train)
    times = _times(prepared, split.train)
    order = np.argsort(prepared.times(split.train), kind="stable")
    labels = np.full(len(users), np.nan) if data.label is None else split.train[data.label].to_numpy(float)
    features = item_features(prepared.items)
    vectors = [prepared.items.vectors[name][1:] for name in prepared.items.vectors]
    arrays = {
        "n_users": len(data.users),
        "n_items": len(data.items),
        "n_features": features.shape[1],
        "train_user": users[order].astype(np.int32),
        "train_item": items[order].astype(np.int32),
        "train_time": times[order],
        "train_label": labels[order],
        "train_positive": data.is_positive(split.train)[order],
        "item_vectors": np.concatenate(vectors, axis=1) if vectors else np.zeros((len(data.items), 0), np.float32),
        **csr_arrays("item_features", features),
    }
    later_users, later_items = prepared.rows(split.validation)
    arrays |= {
        "later_user": later_users.astype(np.int32),
        "later_item": later_items.astype(np.int32),
        "later_time": _times(prepared, split.validation),
        "later_positive": data.is_positive(split.validation),
    }
    judged = {}
    for part in PARTS:
        judged[part] = asked = judged_users(prepared, part)[0]
        known = [split.train] if part == "validation" else [split.train, split.validation]
        starts, history = _histories(prepared, asked.user_rows, known)
        arrays |= {
            f"{part}_users": asked.user_rows,
            f"{part}_times": _asking_times(prepared, asked, getattr(split, part)),
            f"{part}_history_starts": starts,
            f"{part}_history_items": history,
            **csr_arrays(f"{part}_seen", asked.profiles),
            **csr_arrays(f"{part}_relevant", asked.relevant),
        }
    np.savez(path, **arrays)
    return judged["test"]


def item_features(table: FeatureTable) -> csr_matrix:
    """`[n_items, values]` float32 of ones: each item's categories, those that training does not know left out."""
    rows, columns, width = [], [], 0
    for places in (*table.categorical.values(), *table.multi_categorical.values()):
        places = places[1:].reshape(len(table.ids), -1)
        row, column = np.nonzero(places)
        rows.append(row)
        columns.append(places[row, column] - 1 + width)
        width += int(places.max(initial=0))
    rows, columns = (np.concatenate([np.zeros(0, int), *parts]) for parts in (rows, columns))
    matrix = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(len(table.ids), width))
    # An item that names a category twice.
    matrix.data[:] = 1.0
    return matrix


def _times(prepared, frame: pd.DataFrame):
    if prepared.data.schema.timestamp is None:
        return np.full(len(frame), np.nan)
    return prepared.times(frame)


def _asking_times(prepared, asked, target):
    times = asking_times(prepared, asked, target)
    return np.full(len(asked), np.nan) if times is None else times


def _histories(prepared, user_rows, known):
    """`[n + 1]` starts and the item rows that each of the users liked, oldest first."""
    items, starts = prepared.sequences(*known).items_by_user()
    lengths = starts[user_rows + 1] - starts[user_rows]
    places = [np.arange(starts[row], starts[row + 1]) for row in user_rows]
    chosen = items[np.concatenate(places)] - 1 if places else np.zeros(0, int)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), chosen.astype(np.int32)
