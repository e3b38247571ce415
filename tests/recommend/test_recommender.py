"""Recommendations for Python callers."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mmrec_tf.errors import MmrecError, RunError
from mmrec_tf.recommend.engine import NOTHING
from mmrec_tf.recommend.recommender import Recommendation, Recommender
from mmrec_tf.serving.export import export_models
from tests import tiny_world

LISTS = {"ann": [("tea", 0.9), ("café", 0.5), ("milk", 0.25)], "bob": [("milk", 0.75)], "eve": []}


def by_hand(asked=None) -> Recommender:
    """Answers from `LISTS`, filled up with nothing as the engine does."""

    def recommend(user_id, k):
        rows = []
        for user in user_id.numpy():
            if asked is not None:
                asked.append(len(user_id))
            rows.append((LISTS[user.decode()] + [("", NOTHING)] * int(k))[: int(k)])
        names = [[name.encode() for name, _ in row] for row in rows]
        return tf.constant(names), tf.constant([[score for _, score in row] for row in rows], tf.float32)

    return Recommender(recommend, known_users=["ann", "bob"])


def test_one_users_list():
    assert by_hand().recommend("ann", k=2) == [Recommendation("tea", pytest.approx(0.9)), Recommendation("café", 0.5)]


def test_fewer_are_returned_when_fewer_are_left():
    assert by_hand().recommend("bob", k=5) == [Recommendation("milk", 0.75)]
    assert by_hand().recommend("eve", k=5) == []


def test_all_users_as_one_table():
    table = by_hand().recommend_all(["ann", "eve", "bob"], k=2)
    expected = pd.DataFrame(
        {
            "user_id": ["ann", "ann", "bob"],
            "item_id": ["tea", "café", "milk"],
            "rank": np.array([1, 2, 1], np.int32),
            "score": np.array([0.9, 0.5, 0.75], np.float32),
        }
    )
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)
    assert table["rank"].dtype == np.int32 and table["score"].dtype == np.float32


def test_batches_and_progress():
    asked, told = [], []
    table = by_hand(asked).recommend_all(
        ["ann", "bob", "ann"], k=1, batch_size=2, progress=lambda *call: told.append(call)
    )
    assert table["item_id"].tolist() == ["tea", "milk", "tea"]
    assert asked == [2, 2, 1]
    assert told == [("recommending", 2, 3), ("recommending", 3, 3)]


def test_nobody_asked_gives_an_empty_table():
    table = by_hand().recommend_all([], k=3)
    assert table.columns.tolist() == ["user_id", "item_id", "rank", "score"] and table.empty


@pytest.mark.parametrize("k", [0, -1])
def test_k_must_be_positive(k):
    with pytest.raises(MmrecError, match=f"must be at least 1, got {k}"):
        by_hand().recommend("ann", k=k)


def test_known_users():
    assert by_hand().is_known("ann") and not by_hand().is_known("eve")
    assert Recommender(lambda user_id, k: None).is_known("anybody")


def test_an_export_recommends_what_the_engine_does(tmp_path):
    ranking = tiny_world.deepfm()
    ranking.similarity_weight.assign(2.0)
    engine = tiny_world.engine(ranking=ranking, candidates=8)
    export_models(engine, tmp_path / "export", k=3)
    tiny_world.users_frame()[["user_id"]].to_parquet(tmp_path / "users.parquet")
    users = [f"u{row}" for row in range(tiny_world.USERS)]
    in_memory, loaded = Recommender.from_engine(engine, users), Recommender.load(tmp_path)
    for k in (1, 7, 40):
        one, other = (
            recommender.recommend_all([*users, "nobody"], k, batch_size=8) for recommender in (in_memory, loaded)
        )
        pd.testing.assert_frame_equal(one, other, rtol=1e-5)
    # 24 of the 30 items are left to those who saw six, and all to the others and to the stranger.
    assert one.groupby("user_id", sort=False).size().tolist() == [24] * 18 + [30] * 3
    assert loaded.is_known("u19") and not loaded.is_known("nobody")


def test_the_newest_version_is_loaded(tmp_path):
    folder = tmp_path / "export" / "recommend"
    for version in (2, 10):
        module = tf.Module()

        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.string, "user_id"), tf.TensorSpec([None], tf.int32, "k")]
        )
        def recommend(user_id, k, version=version):
            return {
                "item_id": tf.fill([tf.shape(user_id)[0], k[0]], f"of version {version}"),
                "score": tf.ones([tf.shape(user_id)[0], k[0]]),
            }

        module.recommend = recommend
        tf.saved_model.save(module, str(folder / str(version)), signatures={"recommend": recommend})
    (folder / ".unfinished-99").mkdir()
    assert Recommender.load(tmp_path).recommend("u", k=1) == [Recommendation("of version 10", 1.0)]


def test_nothing_exported_says_so(tmp_path):
    with pytest.raises(RunError, match="holds no exported model. Export one with: mmrec export"):
        Recommender.load(tmp_path)
