"""Validated data as numbers: what is a positive, what is history, and that training alone is learnt from."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mmrec_tf.config_training import TrainConfig
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.errors import DataError, EncoderError
from mmrec_tf.features.prepared import prepare
from mmrec_tf.schema import Schema
from tests import tiny_world

# user, item, time, stars, part. Positives have 4 stars or more.
ROWS = [
    ("a", "x", 1, 5, "train"),
    ("a", "y", 2, 2, "train"),  # disliked
    ("a", "z", 3, 4, "train"),
    ("b", "x", 4, 4, "train"),
    ("a", "w", 5, 5, "validation"),
    ("b", "v", 6, 5, "test"),
    ("b", "y", 7, 1, "test"),
]
SCHEMA = Schema(
    user={"user": "id"},
    item={"item": "id", "color": "categorical", "text": "text", "vector": "vector"},
    context={"time": "timestamp"},
)


def rec_data(rows=ROWS) -> RecData:
    frame = pd.DataFrame(rows, columns=["user", "item", "time", "stars", "split"])
    frame = frame.astype({"time": float, "stars": np.float32})
    items = pd.DataFrame(
        {
            "item": ["v", "w", "x", "y", "z"],
            "color": ["violet", "white", "xanthic", "yellow", "zaffre"],
            "text": ["violet ball", "white ball", "", "yellow hat", "zaffre hat"],
            "vector": [np.ones(3, np.float32), None, np.full(3, 2, np.float32), None, np.zeros(3, np.float32)],
        }
    )
    return RecData(SCHEMA, frame, items, pd.DataFrame({"user": ["a", "b", "c"]}), "stars", 4.0)


def prepared(folder, data=None, target="click", **sections):
    config = tiny_world.config(
        schema=SCHEMA.model_dump(),
        data={"label": "stars", "positive_from": 4.0},
        split={"method": "column"},
        ranking={"target": target},
        store=folder / "store",
        **sections,
    )
    return prepare(rec_data() if data is None else data, config)


def test_tables_are_fitted_on_the_positives_of_training(tmp_path):
    known = prepared(tmp_path)
    # Training's positives are x, z, x: rows 2 and 4, so indices 3 and 5. y was only disliked, w and v come later.
    assert known.items.id_index.tolist() == [0, 0, 0, 1, 0, 2]
    assert known.items.vocabularies["color"].values == ["xanthic", "zaffre"]
    assert known.users.id_index.tolist() == [0, 1, 2, 0]


def test_later_interactions_change_no_table(tmp_path):
    later = [row if row[4] == "train" else (row[0], "y", row[2], 5, row[4]) for row in ROWS]
    one, other = prepared(tmp_path), prepared(tmp_path, rec_data(later))
    np.testing.assert_array_equal(one.items.id_index, other.items.id_index)
    assert one.items.vocabularies["color"].values == other.items.vocabularies["color"].values


def test_modalities_come_from_the_store_and_from_vector_columns(tmp_path):
    known = prepared(tmp_path, encoders={"text": {"type": "hashed_text", "dim": 16}})
    assert known.items.widths == {"text": 16, "vector": 3}
    # Item x has no text, w and y no vector.
    assert known.items.masks["text"].tolist() == [False, True, True, False, True, True]
    assert known.items.masks["vector"].tolist() == [False, True, False, True, False, True]
    # Of training are x (2, 2, 2) and z (0, 0, 0): centre (1, 1, 1), a squared distance of 3 to both. v is the centre.
    expected = np.array([0, 0, 0, 1, 0, -1])[:, None] / np.sqrt(3) * np.ones(3)
    np.testing.assert_allclose(known.items.vectors["vector"], expected, rtol=1e-6)
    summary = known.summaries["text"]
    assert (summary.total, summary.computed, summary.absent) == (5, 4, 1)
    assert prepared(tmp_path, encoders={"text": {"type": "hashed_text", "dim": 16}}).summaries["text"].computed == 0


def test_sequences_hold_positives_and_touched_holds_everything(tmp_path):
    known = prepared(tmp_path)
    # Indices: v 1, w 2, x 3, y 4, z 5.
    assert known.sequences().items_by_user()[0].tolist() == [3, 5, 3]
    everything = known.data.interactions
    values, splits = known.sequences(everything).items_by_user()
    assert (values.tolist(), splits.tolist()) == ([3, 5, 2, 3, 1], [0, 3, 5, 5])
    values, splits = known.touched(everything).items_by_user()
    assert (values.tolist(), splits.tolist()) == ([3, 4, 5, 2, 3, 1, 4], [0, 4, 7, 7])
    both = known.sequences(known.split.train, known.split.validation)
    assert both.items_by_user()[0].tolist() == [3, 5, 2, 3]


def test_ranking_examples_know_what_came_before(tmp_path):
    known = prepared(tmp_path)
    examples = known.ranking_examples(known.split.train, known.sequences())
    assert examples["user_index"].tolist() == [1, 1, 1, 2]
    assert examples["item_index"].tolist() == [3, 4, 5, 3]
    assert examples["label"].tolist() == [1, 0, 1, 1]
    # The disliked y is no history of z.
    assert examples["history"][:, -2:].tolist() == [[0, 0], [0, 3], [0, 3], [0, 0]]


def test_ratings_are_learnt_as_they_are(tmp_path):
    known = prepared(tmp_path, target="rating")
    assert known.labels(known.split.train).tolist() == [5, 2, 4, 4]
    # No negatives are drawn beside ratings.
    assert known.ranking_dataset(4).element_spec["item_index"].shape == (4, 1)


def test_rated_examples_are_all_labels_of_training_with_what_was_liked_before(tmp_path):
    known = prepared(tmp_path)
    known.split.train.loc[0, "stars"] = np.nan
    examples = known.rated_examples()
    # The first row has lost its label; the disliked y is an example, but no history.
    assert examples["rated_user_index"].tolist() == [1, 1, 2]
    assert examples["rated_item_index"].tolist() == [4, 5, 3]
    assert examples["label"].tolist() == [2, 4, 4]
    known = prepared(tmp_path)
    assert known.rated_examples()["rated_history"][:, -2:].tolist() == [[0, 0], [0, 3], [0, 3], [0, 0]]


def test_multi_task_batches_have_as_many_labelled_interactions_beside_them(tmp_path):
    stars = np.where(np.arange(108) % 3 == 0, 1.0, 5.0)
    known = tiny_world.prepared(tmp_path, stars, 4.0, tasks={"heads": ["rating"]}, train={"batch_size": 16})
    dataset = known.multi_task_dataset()
    spec = {name: (value.shape.as_list(), value.dtype.name) for name, value in dataset.element_spec.items()}
    assert spec == {
        "user_index": ([16], "int32"),
        "history": ([16, tiny_world.HISTORY], "int32"),
        "gaps": ([16, tiny_world.HISTORY], "int32"),
        "since": ([16], "int32"),
        "moment": ([16], "int32"),
        "item_index": ([16], "int32"),
        "weight": ([16], "float32"),
        "rated_user_index": ([16], "int32"),
        "rated_history": ([16, tiny_world.HISTORY], "int32"),
        "rated_item_index": ([16], "int32"),
        "label": ([16], "float32"),
    }
    # 36 of the 72 training interactions are positives: two batches an epoch, as without heads.
    assert dataset.cardinality().numpy() == 2 == known.retrieval_dataset().cardinality().numpy()
    first, second = ([batch["rated_item_index"].tolist() for batch in dataset.as_numpy_iterator()] for _ in range(2))
    assert first != second
    again = [batch["rated_item_index"].tolist() for batch in known.multi_task_dataset().as_numpy_iterator()]
    assert again == first
    # Of one epoch no example comes twice, and the low ones come too.
    triples = [
        row
        for batch in dataset.as_numpy_iterator()
        for row in zip(batch["rated_user_index"].tolist(), batch["rated_item_index"].tolist(), batch["label"].tolist())
    ]
    assert len(set(triples)) == 32 and {label for _, _, label in triples} == {1.0, 5.0}


def test_without_a_head_for_labels_the_batches_are_those_of_retrieval(tmp_path):
    head = {"task": "category", "feature": "category"}
    known = tiny_world.prepared(tmp_path, tasks={"heads": [head]}, train={"batch_size": 16})
    assert known.multi_task_dataset().element_spec == known.retrieval_dataset().element_spec
    assert known.multi_task_dataset(8).element_spec["item_index"].shape == (8,)


def test_datasets_take_their_sizes_from_the_configuration(tmp_path):
    known = tiny_world.prepared(tmp_path, train={"batch_size": 16, "ranking": {"batch_size": 28}})
    assert known.retrieval_dataset().element_spec["history"].shape == (16, tiny_world.HISTORY)
    # 28 pairs are 4 groups of 7: the item, 4 random and 2 hard negatives.
    hard = np.ones((tiny_world.USERS + 1, 3), np.int32)
    assert known.ranking_dataset(hard_negatives=hard).element_spec["item_index"].shape == (4, 7)
    # Without hard negatives 5 groups of 5.
    assert known.ranking_dataset().element_spec["item_index"].shape == (5, 5)


def test_old_interactions_count_less_where_tastes_drift(tmp_path):
    prepared = tiny_world.prepared(tmp_path, train={"half_life": 10 / 86_400})
    batches = list(prepared.retrieval_dataset(6).as_numpy_iterator())
    times = dict(
        zip(prepared.sequences().item_index + 100 * prepared.sequences().user_index, prepared.sequences().times)
    )
    last = max(times.values())
    for batch in batches:
        at = np.array([times[key] for key in batch["item_index"] + 100 * batch["user_index"]])
        np.testing.assert_allclose(batch["weight"], 0.5 ** ((last - at) / 10), rtol=1e-5)


def test_items_that_many_take_count_less_where_that_is_asked_for(tmp_path):
    prepared = tiny_world.prepared(tmp_path, train={"item_weights": "inverse_popularity", "half_life": 10 / 86_400})
    train = prepared.sequences()
    popularity = np.bincount(train.item_index)[train.item_index] ** -0.5
    expected = popularity / popularity.mean() * 0.5 ** ((train.times.max() - train.times) / 10.0)
    for batch in prepared.retrieval_dataset(batch_size=16).take(2):
        rows = [
            np.flatnonzero((train.user_index == user) & (train.item_index == item))[0]
            for user, item in zip(batch["user_index"].numpy(), batch["item_index"].numpy())
        ]
        np.testing.assert_allclose(batch["weight"].numpy(), expected[rows], rtol=1e-5)


def test_a_step_takes_what_suits_the_data_unless_it_is_told(tmp_path):
    known = tiny_world.prepared(tmp_path, split={"method": "temporal", "validation": 0.1, "test": 0.1})
    assert len(known.sequences().item_index) > 64
    for given, size in (({}, 64), ({"batch_size": 20}, 20)):
        told = replace(known, config=known.config.model_copy(update={"train": TrainConfig(**given)}))
        for dataset in (told.retrieval_dataset(), told.multi_task_dataset()):
            assert len(next(iter(dataset))["item_index"]) == size


def test_trends_bring_in_what_came_later_and_nothing_without_time(tmp_path):
    prepared = tiny_world.prepared(tmp_path, split={"method": "temporal", "validation": 0.2, "test": 0.2})
    before, after = prepared.trends(), prepared.trends(prepared.split.validation)
    assert before.table.shape == after.table.shape == (31, 64, 5)
    # Periods of training say the same, and only the present has changed.
    np.testing.assert_array_equal(before.table[:, : len(before.starts) - 1], after.table[:, : len(before.starts) - 1])
    assert after.starts[-1] > before.starts[-1] and np.abs(after.table[:, -1] - before.table[:, -1]).max() > 0.1
    none = {"trends": {"half_lives": []}}
    assert tiny_world.prepared(tmp_path / "none", retrieval=none).trends() is None


def test_random_negatives_are_items_of_training(tmp_path):
    known = prepared(tmp_path)
    drawn = [batch["item_index"][:, 1:] for batch in known.ranking_dataset(20).repeat(20).as_numpy_iterator()]
    assert set(np.concatenate(drawn).ravel().tolist()) == {3, 5}


def test_without_time_the_tables_order_counts(tmp_path):
    schema = Schema(user={"user": "id"}, item={"item": "id"})
    data = rec_data()
    frame = data.interactions.drop(columns="time").iloc[::-1].reset_index(drop=True)
    data = RecData(schema, frame, data.items[["item"]], data.users, "stars", 4.0)
    config = tiny_world.config(schema=schema.model_dump(), split={"method": "column"}, store=tmp_path)
    known = prepare(data, config)
    # Turned around, user a has z before x.
    assert known.sequences().items_by_user()[0].tolist() == [5, 3, 3]


def test_no_positive_to_train_on_says_so(tmp_path):
    dull = [row[:3] + (1, row[4]) for row in ROWS]
    with pytest.raises(DataError, match="none of the 4 training.*no stars among them is 4.0 or more"):
        prepared(tmp_path, rec_data(dull))


def test_a_vector_column_without_vectors_says_so(tmp_path):
    data = rec_data()
    data.items["vector"] = [None] * 5
    with pytest.raises(DataError, match="no item has a vector in 'vector'"):
        prepared(tmp_path, data)


class NaNForHats(HashedTextEncoder):
    """Gives no numbers for whatever ends in "hat"."""

    def call(self, batch, training=False):
        vectors = super().call(batch, training=training)
        return tf.where(tf.strings.regex_full_match(batch, ".*hat")[:, None], np.nan, vectors)


def test_an_encoder_that_fails_for_an_item_names_its_id(tmp_path):
    # Row 3, "yellow hat", is y.
    config = tiny_world.config(
        schema=SCHEMA.model_dump(), data={"label": "stars", "positive_from": 4.0}, store=tmp_path / "store"
    )
    with pytest.raises(EncoderError, match="NaNForHats gave a vector that is not finite for item 'y'"):
        prepare(rec_data(), config, encoders={"text": NaNForHats(dim=8)})


def test_a_vector_that_is_not_finite_names_its_id(tmp_path):
    data = rec_data()
    data.items.at[2, "vector"] = np.array([1.0, np.inf, 0.0], np.float32)
    with pytest.raises(DataError, match="1 of 5 vectors in 'vector' are not finite, the first that of 'x'"):
        prepared(tmp_path, data)
