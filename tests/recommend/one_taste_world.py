"""A world in which taste follows one modality alone: what an explanation must find out.

Every item has a text that says which of four groups it belongs to, and a picture that is noise. Users like the items of
one group. There are no categories, no item is more popular than another, and the last forty items are new, so that
their ids tell nothing.
"""

import numpy as np
import pandas as pd
import tf_keras

from mmrec_tf.data.pipelines import ranking_dataset, retrieval_dataset
from mmrec_tf.data.sequences import Sequences
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.build import build_ranker, build_two_tower
from mmrec_tf.recommend.engine import RecommendationEngine
from mmrec_tf.schema import Schema
from mmrec_tf.training.fit import fit
from tests import tiny_world

USERS, LIKES, ITEMS, NEW_ITEMS, GROUPS, HISTORY = 140, 12, 320, 40, 4, 4
SCHEMA = Schema(
    user={"user_id": "id"},
    item={"item_id": "id", "text": "vector", "image": "vector"},
    context={"timestamp": "timestamp"},
)


def trained_engines() -> tuple[RecommendationEngine, RecommendationEngine]:
    """Retrieval alone, and the same with a ranker behind it; trained in a few seconds."""
    tf_keras.utils.set_random_seed(0)
    random = np.random.default_rng(5)
    rows = np.arange(ITEMS)
    known = rows[: ITEMS - NEW_ITEMS]
    # Half of the known items lack one or the other, so that the models learn what absence means.
    masks = {"text": (rows % 16 >= 4) | (rows >= len(known)), "image": ((rows + 4) % 16 >= 4) | (rows >= len(known))}
    vectors = {
        "text": np.eye(GROUPS)[rows % GROUPS] + 0.1 * random.normal(size=[ITEMS, GROUPS]),
        "image": random.normal(size=[ITEMS, GROUPS]),
    }
    modalities = {name: ((vectors[name] * mask[:, None]).astype(np.float32), mask) for name, mask in masks.items()}
    # 35 users a group like 12 items each, 420 likes for its 70 items: every item has six, and none is popular.
    own = [random.permutation(known[known % GROUPS == group]) for group in range(GROUPS)]
    places = (np.arange(USERS)[:, None] // GROUPS * LIKES + np.arange(LIKES)) % len(own[0])
    liked = np.concatenate([own[user % GROUPS][places[user]] for user in range(USERS)])
    users = np.repeat(np.arange(USERS), LIKES)
    sequences = Sequences(users, liked, np.arange(len(users), dtype=float), users=USERS, length=HISTORY)

    config = tiny_world.config(
        schema=SCHEMA.model_dump(),
        retrieval={"history_length": HISTORY, "id_dropout": 0.5, "user_dropout": 0.0},
        fusion={"modality_dropout": 0.2},
    )
    user_frame = pd.DataFrame({"user_id": [f"u{row}" for row in range(USERS)]})
    item_frame = pd.DataFrame({"item_id": [f"i{row}" for row in rows], **{key: list(vectors[key]) for key in vectors}})
    tables = (
        FeatureTable.build(user_frame, SCHEMA.user, np.arange(USERS)),
        FeatureTable.build(item_frame, SCHEMA.item, known, modalities),
    )
    retrieval = build_two_tower(config, *tables, sequences.item_index)
    fit(retrieval, retrieval_dataset(sequences, batch_size=120, seed=1), epochs=12, learning_rate=0.02, patience=12)

    ranking = build_ranker(config, *tables)
    examples = {
        "user_index": sequences.user_index,
        "history": sequences.before(np.arange(len(sequences))),
        "item_index": sequences.item_index,
        "label": np.ones(len(sequences), np.float32),
    }
    pairs = ranking_dataset(examples, known + 1, batch_size=600, negatives=4, seed=1)
    fit(ranking, pairs, epochs=6, learning_rate=0.02, patience=6)
    ranking.similarity_weight.assign(1.0)
    alone = RecommendationEngine(retrieval, None, *tables, sequences)
    return alone, RecommendationEngine(retrieval, ranking, *tables, sequences)
