"""A world of 20 users and 30 items for tests: feature tables built directly, so that no file and no encoder is needed.

Users like the items of their own group (row modulo 4). The last two users and the last three items have no
interactions. Item 17 has neither text nor picture.
"""

import numpy as np
import pandas as pd

from mmrec_tf.config import Config
from mmrec_tf.data.sequences import Sequences
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.build import build_deepfm, build_two_tower
from mmrec_tf.models.deepfm import DeepFM
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.recommend.engine import RecommendationEngine
from mmrec_tf.schema import Schema

USERS, ITEMS, GROUPS = 20, 30, 4
ACTIVE_USERS, TRAINED_ITEMS = 18, 27
HISTORY = 5

SCHEMA = Schema(
    user={"user_id": "id", "country": "categorical", "age": "number"},
    item={
        "item_id": "id",
        "category": "categorical",
        "tags": "multi_categorical",
        "price": "number",
        "text": "vector",
        "image": "vector",
    },
    context={"timestamp": "timestamp"},
)


def interactions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User rows, item rows and times: six items for each active user, five of them of the user's group."""
    random = np.random.default_rng(7)
    users, items = [], []
    for user in range(ACTIVE_USERS):
        group = np.arange(TRAINED_ITEMS) % GROUPS == user % GROUPS
        own = random.permutation(np.flatnonzero(group))[:5]
        users += [user] * 6
        items += [*own[:3], random.choice(np.flatnonzero(~group)), *own[3:]]
    return np.array(users), np.array(items), np.arange(len(users), dtype=float)


def sequences(length: int = HISTORY) -> Sequences:
    """All interactions in order."""
    return Sequences(*interactions(), users=USERS, length=length)


def user_table() -> FeatureTable:
    rows = np.arange(USERS)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{row}" for row in rows],
            "country": np.array(["fr", "de", ""], dtype=object)[rows % 3],
            "age": np.where(rows % 5 == 4, np.nan, 20.0 + rows),
        }
    )
    return FeatureTable.build(frame, SCHEMA.user, np.arange(ACTIVE_USERS))


def item_table() -> FeatureTable:
    rows = np.arange(ITEMS)
    frame = pd.DataFrame(
        {
            "item_id": [f"i{row}" for row in rows],
            "category": [f"c{row % GROUPS}" for row in rows],
            "tags": [[f"t{tag}" for tag in range(row % 3)] for row in rows],
            "price": np.where(rows % 6 == 5, np.nan, 1.0 + rows),
        }
    )
    return FeatureTable.build(frame, SCHEMA.item, np.unique(interactions()[1]), modalities())


def modalities() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Vectors and masks: the text says the group, the picture a little about it."""
    random = np.random.default_rng(8)
    rows = np.arange(ITEMS)
    text = np.concatenate([np.eye(GROUPS)[rows % GROUPS], random.normal(size=[ITEMS, 2])], axis=1)
    image = np.eye(GROUPS)[rows % GROUPS] + random.normal(size=[ITEMS, GROUPS])
    masks = {"text": rows % 7 != 3, "image": rows % 5 != 2}
    vectors = {"text": text, "image": image}
    return {name: ((vectors[name] * mask[:, None]).astype(np.float32), mask) for name, mask in masks.items()}


def config(**sections) -> Config:
    """A small configuration; `retrieval`, `ranking`, `fusion` and `train` update those sections."""
    small = {
        "retrieval": {"dim": 8, "hidden": [12], "history_length": HISTORY, **sections.pop("retrieval", {})},
        "ranking": {"dim": 4, "hidden": [12], **sections.pop("ranking", {})},
    }
    content = {
        "data": {"interactions": "interactions.csv", "items": "items.csv", **sections.pop("data", {})},
        "schema": sections.pop("schema", SCHEMA.model_dump()),
        "models": small,
        **sections,
    }
    return Config.model_validate(content)


def two_tower(users: FeatureTable | None = None, items: FeatureTable | None = None, **retrieval) -> TwoTower:
    """An untrained retrieval model."""
    tables = users or user_table(), items or item_table()
    return build_two_tower(config(retrieval=retrieval), *tables, sequences().item_index)


def quiet_two_tower(**retrieval) -> TwoTower:
    """A retrieval model whose training step has no randomness."""
    quiet = {"id_dropout": 0.0, "user_dropout": 0.0, "dropout": 0.0}
    settings = config(retrieval={**quiet, **retrieval}, fusion={"modality_dropout": 0.0})
    return build_two_tower(settings, user_table(), item_table(), sequences().item_index)


def deepfm(users: FeatureTable | None = None, items: FeatureTable | None = None, **ranking) -> DeepFM:
    """An untrained ranking model."""
    settings = config(ranking=ranking, data={"label": "stars"} if ranking.get("target") == "rating" else {})
    return build_deepfm(settings, users or user_table(), items or item_table())


def engine(ranking: bool = True, candidates: int = 10) -> RecommendationEngine:
    """An untrained chain that knows all interactions."""
    users, items = user_table(), item_table()
    return RecommendationEngine(
        two_tower(users, items),
        deepfm(users, items) if ranking else None,
        users,
        items,
        sequences(),
        candidates,
    )


def examples() -> dict[str, np.ndarray]:
    """All interactions as the ranker takes them."""
    known = sequences()
    return {
        "user_index": known.user_index,
        "item_index": known.item_index,
        "history": known.before(np.arange(len(known))),
        "label": np.ones(len(known), np.float32),
    }
