"""A world where the device, and nothing else, decides what is wanted: do the models come to know it?"""

import numpy as np
import pandas as pd
import pytest
import tf_keras

from mmrec_tf.data.rec_data import RecData
from mmrec_tf.evaluation.judged_users import judged_users
from mmrec_tf.evaluation.stage_lists import StageLists
from mmrec_tf.features.prepared import prepare
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.schema import Schema
from mmrec_tf.training.fit import fit
from tests import tiny_world

USERS, ITEMS = 60, 20
SCHEMA = Schema(
    user={"user_id": "id"},
    item={"item_id": "id"},
    context={"device": "categorical", "timestamp": "timestamp"},
)


def prepared(folder, **retrieval):
    """Every user asks six times, in turn by phone, for an even item, and by tv, for an odd one."""
    random = np.random.default_rng(3)
    users = np.tile(np.arange(USERS), 6)
    times = np.repeat(np.arange(6), USERS)
    by_tv = (users + times) % 2
    items = 2 * random.integers(0, ITEMS // 2, len(users)) + by_tv
    frame = pd.DataFrame(
        {
            "user_id": [f"u{row}" for row in users],
            "item_id": [f"i{row}" for row in items],
            "device": np.array(["phone", "tv"], dtype=object)[by_tv],
            "timestamp": times.astype(float),
        }
    )
    data = RecData(
        SCHEMA,
        frame,
        pd.DataFrame({"item_id": [f"i{row}" for row in range(ITEMS)]}),
        pd.DataFrame({"user_id": [f"u{row}" for row in range(USERS)]}),
        None,
        None,
    )
    settings = {"id_dropout": 0.1, "trends": {"half_lives": []}, "neighbours": 0, **retrieval}
    config = tiny_world.config(
        schema=SCHEMA.model_dump(), retrieval=settings, split={"method": "leave_one_out"}, store=folder
    )
    return prepare(data, config)


def trained(world):
    tf_keras.utils.set_random_seed(1)
    sequences = world.sequences()
    model = build_two_tower(world.config, world.users, world.items, sequences.item_index, world.trends(), world.context)
    fit(model, world.retrieval_dataset(32), epochs=40, learning_rate=0.01, patience=40)
    return model


@pytest.mark.parametrize("history", [{}, {"encoder": "transformer", "all_positions": True}])
def test_retrieval_shows_what_the_device_is_for(tmp_path, history):
    world = prepared(tmp_path, history=history)
    model = trained(world)
    users, lists = judged_users(world, "test")
    wanted = users.relevant.toarray().argmax(axis=1) % 2
    places = lists.retrieval(model, 3)
    # Half of the items are right by chance.
    assert (places % 2 == wanted[:, None]).mean() > 0.9
    silent = StageLists(world.sequences(), users.user_rows, users.profiles)
    assert (silent.retrieval(model, 3) % 2 == wanted[:, None]).mean() < 0.8


def test_strangers_are_served_by_the_device(tmp_path):
    model = trained(prepared(tmp_path))
    asked = {"user_index": np.zeros(3, np.int32), "history": np.zeros((3, tiny_world.HISTORY), np.int32)}
    # phone and tv occur as often, so that they are in alphabetical order: 1 and 2.
    device = {"categorical": {"device": np.array([1, 2, 0], np.int32)}, "multi_categorical": {}, "numbers": {}}
    scores = model.query_embeddings(**asked, context=device) @ model.candidate_embeddings()[1:].T
    best = np.argsort(-scores, axis=1)[:, :5] % 2
    assert (best[0] == 0).all() and (best[1] == 1).all()
    # Of whom nothing is told nothing is thought.
    np.testing.assert_array_equal(model.query_embeddings(**asked, context=device)[2, : model.dim], 0.0)


def test_examples_carry_their_own_context(tmp_path):
    world = prepared(tmp_path)
    for batch in world.retrieval_dataset(32).take(3):
        # Items have index row + 1: even rows, by phone (1), are odd.
        device = batch["context"]["categorical"]["device"].numpy()
        np.testing.assert_array_equal(device, np.where(batch["item_index"].numpy() % 2 == 1, 1, 2))
    examples = world.ranking_examples(world.split.test, world.sequences())
    device = examples["context"]["categorical"]["device"]
    np.testing.assert_array_equal(device, np.where(examples["item_index"] % 2 == 1, 1, 2))
    for batch in world.ranking_dataset(64).take(2):
        own = batch["item_index"].numpy()[:, 0]
        np.testing.assert_array_equal(batch["context"]["categorical"]["device"].numpy(), np.where(own % 2 == 1, 1, 2))
