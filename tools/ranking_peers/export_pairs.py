"""Writes the package's split as labelled pairs, which every peer is trained on and judged by."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
from pair_arrays import PARTS

from mmrec_tf.config import Config
from mmrec_tf.data.sequences import Sequences
from mmrec_tf.evaluation.pairs import evaluation_pairs
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.features.prepared import Prepared

LIKE, CLICK = "like", "click"


def task_of(config: Config) -> str:
    """`like` where the split holds labels of both kinds for its test, else `click`.

    Leave-one-out keeps only what users liked for the test, so that a like can be told from nothing there.
    """
    return LIKE if config.data.positive_from is not None and config.split.method != "leave_one_out" else CLICK


def overrides(config: Config) -> list[str]:
    """What the configuration is set to for its task: likes are told from what was disliked, not from drawn items."""
    if task_of(config) == CLICK:
        return []
    return ["models.ranking.target=click", "models.ranking.negatives=0", "models.ranking.hard_negatives=0"]


def part_pairs(prepared: Prepared, part: str, seed: int) -> dict[str, np.ndarray]:
    """The pairs of a part with what our rankers take, and `time`; see `evaluation_pairs`.

    Everybody knows what came before the part, and nobody what came later in it.
    """
    split = prepared.split
    known = (split.train, split.validation) if part == "test" else (split.train,)
    return evaluation_pairs(_timed(prepared), getattr(split, part), prepared.sequences(*known), seed=seed)


def export_pairs(prepared: Prepared, path: Path) -> dict[str, np.ndarray]:
    """Writes what `pair_arrays.PairArrays` reads, and gives the test pairs.

    Args:
        prepared: the split and the features.
        path: the `.npz` file to write.
    """
    config = prepared.config
    pairs = {part: part_pairs(prepared, part, config.seed) for part in PARTS}
    arrays = {
        "widths/dim": config.models.ranking.dim,
        "widths/hidden": np.array(config.models.ranking.hidden, int),
        "widths/batch_size": config.train.ranking.batch_size,
    }
    if prepared.grades is not None:
        # What our own statistics are told; of the test nobody is told anything.
        for part, frame in (("train", prepared.split.train), ("validation", prepared.split.validation)):
            places = prepared.grades.places_of(frame[prepared.data.label].to_numpy(np.float32))
            arrays[f"{part}/grade"] = np.nan_to_num(places, nan=0.5)
    for part, found in pairs.items():
        arrays |= {
            f"{part}/user": found["user_index"] - 1,
            f"{part}/item": found["item_index"] - 1,
            f"{part}/time": found["time"],
            f"{part}/label": found["label"],
        }
        for kind, values in found.get("context", {}).items():
            kind = {"numbers": "number"}.get(kind, kind)
            # The clock is worked out of the time, for whom it helps.
            arrays |= {
                f"context/{part}/{kind}/{name}": of for name, of in values.items() if name not in config.models.clock
            }
    for side, table in (("user", prepared.users), ("item", prepared.items)):
        arrays |= _table(side, table, pairs["train"][f"{side}_index"])
    np.savez(path, **arrays)
    return pairs["test"]


def _table(side, table: FeatureTable, trained):
    known = np.zeros(table.size, bool)
    known[trained] = True
    arrays = {f"table/{side}/id/id": np.where(known, np.cumsum(known), 0)[1:].astype(np.int32)}
    kinds = {"categorical": table.categorical, "multi_categorical": table.multi_categorical, "number": table.numbers}
    for kind, features in kinds.items():
        arrays |= {f"table/{side}/{kind}/{name}": values[1:] for name, values in features.items()}
    return arrays


class _Timed(Prepared):
    """Pairs that carry their moment, drawn ones that of the pair they stand beside."""

    def ranking_examples(self, frame: pd.DataFrame, history: Sequences) -> dict[str, np.ndarray]:
        has_times = self.data.schema.timestamp is not None
        times = self.times(frame).astype(np.float64) if has_times else np.full(len(frame), np.nan)
        return {**super().ranking_examples(frame, history), "time": times}


def _timed(prepared):
    return _Timed(**{field.name: getattr(prepared, field.name) for field in fields(Prepared)})
