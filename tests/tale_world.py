"""A world whose items are short texts, one word of which decides who likes them: an encoder has something to learn.

60 users in 4 groups; a text is of the group of its tag word, `word0` to `word3`, one to a group; 4 other
words say nothing. Each user chose 20 of the 60 older tales of their group, at random, and none of the 60 new ones.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_tf.config import Config
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.schema import Schema

USERS, OLD, NEW, GROUPS, TAGS = 60, 240, 60, 4, 4
CHOSEN = 20

SCHEMA = Schema(user={"user_id": "id"}, item={"item_id": "id", "tale": "text"}, context={"timestamp": "timestamp"})


def groups_of_items() -> np.ndarray:
    return np.arange(OLD + NEW) % GROUPS


def tales() -> list[str]:
    random = np.random.default_rng(3)
    texts = []
    for item in range(OLD + NEW):
        tag = item % GROUPS + GROUPS * int(random.integers(TAGS // GROUPS))
        words = [f"word{number}" for number in random.choice(np.arange(TAGS, 40), 4, replace=False)]
        words.insert(int(random.integers(5)), f"word{tag}")
        texts.append(" ".join(words))
    return texts


def rec_data() -> RecData:
    random = np.random.default_rng(4)
    users, items = [], []
    for user in range(USERS):
        own = np.flatnonzero(groups_of_items()[:OLD] == user % GROUPS)
        users += [user] * CHOSEN
        items += random.permutation(own)[:CHOSEN].tolist()
    frame = pd.DataFrame(
        {
            "user_id": [f"u{user}" for user in users],
            "item_id": [f"i{item}" for item in items],
            "timestamp": np.arange(len(users), dtype=float),
        }
    )
    items_frame = pd.DataFrame({"item_id": [f"i{item}" for item in range(OLD + NEW)], "tale": tales()})
    users_frame = pd.DataFrame({"user_id": [f"u{user}" for user in range(USERS)]})
    return RecData(SCHEMA, frame, items_frame, users_frame)


def config(module: Path, folder: Path, tuning: dict | str = "frozen", **encoder) -> Config:
    return Config.model_validate(
        {
            "data": {"interactions": "interactions.csv", "items": "items.csv"},
            "schema": SCHEMA.model_dump(),
            "encoders": {"tale": {"type": "minilm", "path": module, "max_tokens": 8, "tuning": tuning, **encoder}},
            "models": {
                "retrieval": {
                    "dim": 8,
                    "hidden": [],
                    "history_length": 5,
                    "dropout": 0.0,
                    "id_dropout": 0.5,
                    "user_dropout": 0.0,
                },
                "ranking": {"enabled": False},
            },
            "fusion": {"modality_dropout": 0.0},
            "train": {"epochs": 20, "batch_size": 64, "learning_rate": 0.02},
            "store": folder / "store",
            "seed": 1,
        }
    )
