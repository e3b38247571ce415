"""The tiny world as a log: what was shown, clicked, bought after the click, and watched."""

from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_tf.data.rec_data import RecData
from mmrec_tf.features.prepared import Prepared, prepare
from tests import tiny_world

TARGETS = {"purchase": {"column": "bought", "after": "click"}, "minutes": {"kind": "rating", "weight": 0.5}}
SHOWN = 12


def log(seed: int = 3) -> pd.DataFrame:
    """Twelve items are shown to each active user; they click those of their group, mostly, and buy the even ones."""
    random = np.random.default_rng(seed)
    users = np.repeat(np.arange(tiny_world.ACTIVE_USERS), SHOWN)
    items = np.concatenate(
        [random.permutation(tiny_world.TRAINED_ITEMS)[:SHOWN] for _ in range(tiny_world.ACTIVE_USERS)]
    )
    clicked = random.random(len(users)) < np.where(users % tiny_world.GROUPS == items % tiny_world.GROUPS, 0.9, 0.3)
    bought = clicked & (random.random(len(users)) < np.where(items % 2 == 0, 0.8, 0.2))
    minutes = np.where(clicked, 1.0 + items % 5 + random.normal(size=len(users)), np.nan)
    return pd.DataFrame(
        {
            "user_id": [f"u{row}" for row in users],
            "item_id": [f"i{row}" for row in items],
            "timestamp": np.arange(len(users), dtype=float),
            "clicked": clicked.astype(np.float32),
            # What was not clicked has an empty cell.
            "bought": np.where(clicked, bought, np.nan).astype(float),
            "minutes": minutes,
        }
    )


def prepared(folder: Path, model: str = "mmoe", frame: pd.DataFrame | None = None, **ranking) -> Prepared:
    """The log split and turned into numbers."""
    frame = log() if frame is None else frame
    data = RecData(tiny_world.SCHEMA, frame, tiny_world.items_frame(), tiny_world.users_frame(), "clicked", None)
    config = tiny_world.config(
        ranking={"model": model, "targets": TARGETS, "negatives": 0, "hard_negatives": 0, **ranking},
        split={"method": "random", "validation": 0.2, "test": 0.2},
        data={"label": "clicked"},
        train={"epochs": 1, "batch_size": 32, "ranking": {"epochs": 2, "batch_size": 32, "learning_rate": 0.01}},
        evaluation={"k": [5], "baselines": ["popularity"]},
        store=folder / "store",
    )
    return prepare(data, config)
