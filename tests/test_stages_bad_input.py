"""Retrieval is trained and judged on data that nobody would choose."""

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.data.rec_data import RecData
from mmrec_tf.errors import MmrecError
from mmrec_tf.evaluation.judged_users import judged_users
from mmrec_tf.evaluation.training_data import asking_times
from mmrec_tf.features.prepared import prepare
from mmrec_tf.schema import Schema
from mmrec_tf.stages import evaluate_models, train_retrieval
from tests import tiny_world

SCHEMA = Schema(user={"user_id": "id"}, item={"item_id": "id"}, context={"timestamp": "timestamp"})


def prepared(users, items, times, catalogue=None, **sections):
    """Interactions of users and items by number, split and turned into numbers."""
    users, items = np.asarray(users), np.asarray(items)
    catalogue = int(items.max()) + 1 if catalogue is None else catalogue
    frame = pd.DataFrame(
        {
            "user_id": [f"u{row}" for row in users],
            "item_id": [f"i{row}" for row in items],
            "timestamp": np.asarray(times, float),
        }
    )
    data = RecData(
        SCHEMA,
        frame,
        pd.DataFrame({"item_id": [f"i{row}" for row in range(catalogue)]}),
        pd.DataFrame({"user_id": [f"u{row}" for row in range(int(users.max()) + 1)]}),
        None,
        None,
    )
    sections = {"split": {"method": "leave_one_out"}, **sections}
    return prepare(data, tiny_world.config(schema=SCHEMA.model_dump(), **sections))


def trained(
    folder, users, items, times, catalogue=None, train=None, split=None, retrieval=None, baselines=("popularity",)
):
    """A two-tower model, and the comparison that a run would make of it."""
    known = prepared(
        users,
        items,
        times,
        catalogue,
        retrieval=retrieval or {},
        split=split or {"method": "leave_one_out"},
        train={"epochs": 2, "batch_size": 16, **(train or {})},
        evaluation={"k": [10], "baselines": list(baselines)},
        store=folder,
    )
    model, history = train_retrieval(known)
    assert np.isfinite(history["loss"]).all()
    return model, evaluate_models(known, model, None)["comparison"]


def figures(comparison):
    return comparison["groups"]["all"]["two-tower"]


def world(count=12, each=5, items=25, seed=0):
    random = np.random.default_rng(seed)
    users = np.repeat(np.arange(count), each)
    return users, np.concatenate([random.permutation(items)[:each] for _ in range(count)]), np.arange(len(users))


def test_users_with_one_interaction_train_and_are_not_judged(tmp_path):
    users, items, times = world()
    singles = np.arange(12, 30)
    users, items = np.concatenate([users, singles]), np.concatenate([items, singles % 25])
    _, comparison = trained(tmp_path, users, items, np.arange(len(users)))
    assert figures(comparison)["users"] == 12


def test_items_that_nobody_touched_can_be_ranked(tmp_path):
    model, _ = trained(tmp_path, *world(), catalogue=40)
    assert np.isfinite(model.candidate_embeddings()).all() and model.items.lookup.size == 41


def test_histories_longer_than_the_window(tmp_path):
    trained(tmp_path, *world(count=6, each=20), retrieval={"history_length": 3})


def test_the_same_interaction_over_and_over(tmp_path):
    # Every user's items but the last come three times.
    users, items, _ = world()
    often = np.repeat(np.arange(len(users)), np.where(np.arange(len(users)) % 5 == 4, 1, 3))
    _, comparison = trained(tmp_path, users[often], items[often], np.arange(len(often)))
    assert figures(comparison)["users"] == 12


def test_a_test_split_with_nothing_new_is_said_to_be_one(tmp_path):
    users, items, _ = world()
    with pytest.raises(MmrecError, match="holds no user"):
        trained(tmp_path, np.repeat(users, 2), np.repeat(items, 2), np.arange(2 * len(users)))


def test_a_baseline_that_the_data_cannot_feed_costs_the_run_nothing_but_its_row(tmp_path):
    # No label says how much was liked.
    with pytest.warns(UserWarning, match="the baseline explicit_als is left out of the comparison.*set data.label"):
        _, comparison = trained(tmp_path, *world(), baselines=["popularity", "explicit_als"])
    assert list(comparison["groups"]["all"]) == ["popularity", "two-tower"]


def test_a_catalogue_smaller_than_k(tmp_path):
    users = np.repeat(np.arange(10), 3)
    items = np.concatenate([np.random.default_rng(row).permutation(4)[:3] for row in range(10)])
    _, comparison = trained(tmp_path, users, items, np.arange(30))
    assert 0.0 < figures(comparison)["recall@10"] <= 1.0


def test_batches_of_two_and_a_batch_larger_than_the_data(tmp_path):
    for size in (2, 4096):
        trained(tmp_path / str(size), *world(), train={"batch_size": size, "epochs": 1})


def test_a_single_training_interaction(tmp_path):
    # Leave-one-out leaves one interaction of one user to train on: a batch of one.
    trained(tmp_path, [0, 0, 0], [0, 1, 2], [0, 1, 2])


def test_one_moment_for_everything(tmp_path):
    # A favourite that everybody begins with, and what they were shown in turn.
    users, items, _ = world(items=24)
    items = np.where(np.arange(len(users)) % 5 == 0, 24, items)
    with pytest.warns(UserWarning, match="all 60 interactions have one and the same timestamp"):
        model, comparison = trained(tmp_path, users, items, np.full(len(users), 7.0))
    # What is popular counts, as it does without a timestamp, and is the same in training and for who asks later.
    assert model.half_lives == 0 and figures(comparison)["users"] == 12
    id_index = model.items.lookup.id_index.numpy()
    # What stands in its place for new items is another matter: as often shown as validation allows.
    popularity = np.where(id_index > 0, model.popularity.embeddings.numpy()[id_index, 0], -np.inf)
    assert popularity.argmax() == 25 and popularity[25] > 0.05


def test_one_moment_for_everything_leaves_the_tables_order():
    users, items, _ = world()
    known = prepared(users, items, np.full(len(users), 7.0))
    train = known.split.train
    examples = known.ranking_examples(train, known.sequences())
    rows, columns = known.rows(train)
    for place, (user, row) in enumerate(zip(rows, train.index)):
        before = columns[(rows == user) & (train.index < row)] + 1
        history = examples["history"][place]
        np.testing.assert_array_equal(history[history > 0], before)
    assert known.trends() is None and known.config.models.retrieval.trends.half_lives == []
    validation, lists = judged_users(known, "validation")
    assert len(validation) == 12 and asking_times(known, validation, known.split.validation) is None


def test_an_exploding_loss_ends_with_advice(tmp_path):
    with pytest.raises(MmrecError, match="ower the learning rate"):
        trained(tmp_path, *world(), train={"learning_rate": 1e30, "epochs": 30, "average": 0.0})
