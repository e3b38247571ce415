"""The tiny world with labels and heads, for tests of multi-task training."""

import numpy as np
import tensorflow as tf

from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.multi_task import build_multi_task
from tests import tiny_world

ALL_HEADS = [
    {"task": "category", "feature": "category", "weight": 0.5},
    {"task": "category", "feature": "tags", "weight": 0.25},
    {"task": "rating", "weight": 2.0},
    {"task": "sentiment", "weight": 4.0},
]
NAMES = ["category category", "tags category", "rating", "sentiment"]
CALM = {"id_dropout": 0.0, "user_dropout": 0.0, "dropout": 0.0}


def stars() -> np.ndarray:
    """Labels that are mostly bias: some users rate high, some items are rated low."""
    users, items, _ = tiny_world.interactions()
    noise = np.random.default_rng(5).normal(size=len(users))
    return 3.0 + 1.0 * (users % 2) - 1.5 * (items % 3 == 0) + 0.2 * noise


def world(folder, heads=ALL_HEADS, weighting="uncertainty", experts=0, calm=False, labels=None, **sections):
    """Prepared data, the retrieval model, and the model that trains it."""
    tasks = {"heads": list(heads), "weighting": weighting, "experts": experts}
    if calm:
        sections |= {"retrieval": CALM, "fusion": {"modality_dropout": 0.0}}
    prepared = tiny_world.prepared(
        folder, stars() if labels is None else labels, sections.pop("positive_from", 2.5), tasks=tasks, **sections
    )
    two_tower = build_two_tower(prepared.config, prepared.users, prepared.items, prepared.sequences().item_index)
    return prepared, two_tower, build_multi_task(prepared.config, prepared, two_tower)


def first_batch(prepared) -> dict[str, tf.Tensor]:
    return next(iter(prepared.multi_task_dataset(12)))
