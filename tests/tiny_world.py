"""A world of 20 users and 30 items for tests: feature tables built directly, so that no file and no encoder is needed.

Users like the items of their own group (row modulo 4). The last two users and the last three items have no
interactions. Item 17 has neither text nor picture.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_tf.config import Config
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.data.sequences import Sequences
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.features.prepared import Prepared, prepare
from mmrec_tf.models.build import build_ranker, build_two_tower
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.recommend.engine import RecommendationEngine
from mmrec_tf.schema import Schema

USERS, ITEMS, GROUPS = 20, 30, 4
ACTIVE_USERS, TRAINED_ITEMS = 18, 27
HISTORY = 5
DIM = 8
WITHOUT_MODALITIES = 17

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
    """User rows, item rows and times: six different items for each active user, five of them of the user's group."""
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


def users_frame() -> pd.DataFrame:
    rows = np.arange(USERS)
    return pd.DataFrame(
        {
            "user_id": [f"u{row}" for row in rows],
            "country": np.array(["fr", "de", ""], dtype=object)[rows % 3],
            "age": np.where(rows % 5 == 4, np.nan, 20.0 + rows),
        }
    )


def items_frame() -> pd.DataFrame:
    rows = np.arange(ITEMS)
    vectors = {name: [vector if there else None for vector, there in zip(*pair)] for name, pair in modalities().items()}
    return pd.DataFrame(
        {
            "item_id": [f"i{row}" for row in rows],
            "category": [f"c{row % GROUPS}" for row in rows],
            "tags": [[f"t{tag}" for tag in range(row % 3)] for row in rows],
            "price": np.where(rows % 6 == 5, np.nan, 1.0 + rows),
            **vectors,
        }
    )


def modalities() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Vectors and masks: the text says the group, the picture a little about it."""
    random = np.random.default_rng(8)
    rows = np.arange(ITEMS)
    text = np.concatenate([np.eye(GROUPS)[rows % GROUPS], random.normal(size=[ITEMS, 2])], axis=1)
    image = np.eye(GROUPS)[rows % GROUPS] + random.normal(size=[ITEMS, GROUPS])
    masks = {"text": rows % 7 != 3, "image": rows % 5 != 2}
    vectors = {"text": text, "image": image}
    return {name: ((vectors[name] * mask[:, None]).astype(np.float32), mask) for name, mask in masks.items()}


def user_table() -> FeatureTable:
    return FeatureTable.build(users_frame(), SCHEMA.user, np.arange(ACTIVE_USERS))


def item_table() -> FeatureTable:
    return FeatureTable.build(items_frame(), SCHEMA.item, np.unique(interactions()[1]), modalities())


def config(**sections) -> Config:
    """A small configuration; `retrieval`, `ranking` and `data` update those sections, others replace theirs."""
    retrieval = {"dim": DIM, "hidden": [12], "history_length": HISTORY, **sections.pop("retrieval", {})}
    ranking = {"dim": 4, "hidden": [12], "members": 1, **sections.pop("ranking", {})}
    return Config.model_validate(
        {
            "data": {"interactions": "interactions.csv", "items": "items.csv", **sections.pop("data", {})},
            "schema": sections.pop("schema", SCHEMA.model_dump()),
            "models": {"retrieval": retrieval, "ranking": ranking},
            **sections,
        }
    )


def rec_data(stars: np.ndarray | None = None, positive_from: float | None = None) -> RecData:
    """The world as validated data; `stars` labels the interactions in the order of `interactions()`."""
    users, items, times = interactions()
    frame = pd.DataFrame(
        {"user_id": [f"u{row}" for row in users], "item_id": [f"i{row}" for row in items], "timestamp": times}
    )
    if stars is not None:
        frame["stars"] = np.asarray(stars, np.float32)
    label = None if stars is None else "stars"
    return RecData(SCHEMA, frame, items_frame(), users_frame(), label, positive_from)


def prepared(folder: Path, stars: np.ndarray | None = None, positive_from: float | None = None, **sections) -> Prepared:
    """The world split and turned into numbers."""
    data = {} if stars is None else {"label": "stars", "positive_from": positive_from}
    return prepare(rec_data(stars, positive_from), config(data=data, store=folder / "store", **sections))


def two_tower(**retrieval) -> TwoTower:
    """An untrained retrieval model."""
    return build_two_tower(config(retrieval=retrieval), user_table(), item_table(), sequences().item_index)


def remembering_two_tower(raised: int) -> TwoTower:
    """An untrained retrieval model with a memory that raises one item for everybody with a history."""
    model = two_tower(neighbours=1)
    memory = next(iter(model.memories.values()))
    memory.remember(np.full((ITEMS, 1), raised), np.full((ITEMS, 1), 0.5))
    memory.weight.assign(2.0)
    return model


def calm_two_tower(**retrieval) -> TwoTower:
    """An untrained retrieval model that hides nothing in training, so that its loss has no randomness."""
    calm = {"id_dropout": 0.0, "user_dropout": 0.0, "dropout": 0.0}
    settings = config(retrieval={**calm, **retrieval}, fusion={"modality_dropout": 0.0})
    return build_two_tower(settings, user_table(), item_table(), sequences().item_index)


def ranker(**ranking) -> Ranker:
    """An untrained ranking model, a DeepFM unless `model` says otherwise."""
    data = {"label": "stars"} if ranking.get("target") == "rating" else {}
    return build_ranker(config(ranking=ranking, data=data), user_table(), item_table())


def engine(retrieval: TwoTower | None = None, ranking: Ranker | None = None, **options) -> RecommendationEngine:
    """A chain that knows all interactions; an untrained retrieval model unless one is given."""
    retrieval = retrieval or two_tower()
    return RecommendationEngine(retrieval, ranking, user_table(), item_table(), sequences(), **options)


def retrieval_batch(rows=slice(None)) -> dict[str, np.ndarray]:
    """Interactions as the retrieval model takes them."""
    known = sequences()
    positions = np.arange(len(known))[rows]
    return {
        "user_index": known.user_index[positions],
        "history": known.before(positions),
        "item_index": known.item_index[positions],
    }


def ranking_examples(rows=slice(None)) -> dict[str, np.ndarray]:
    """Interactions as the ranker takes them, all clicked."""
    batch = retrieval_batch(rows)
    return {**batch, "label": np.ones(len(batch["item_index"]), np.float32)}
