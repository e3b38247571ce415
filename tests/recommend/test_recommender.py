"""Recommendations for Python callers."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mmrec_tf.errors import MmrecError, RunError
from mmrec_tf.recommend.engine import NOTHING
from mmrec_tf.recommend.explanation import Explanation
from mmrec_tf.recommend.integrated_gradients import integrated_gradients
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
    ranking = tiny_world.ranker()
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
    assert in_memory.modalities == loaded.modalities == ("image", "text")
    weights = {"text": 3.0, "image": 0.0}
    weighted = [it.recommend_all(users[:5], 7, 2, modality_weights=weights) for it in (in_memory, loaded)]
    pd.testing.assert_frame_equal(*weighted, rtol=1e-4)
    assert not weighted[0].equals(in_memory.recommend_all(users[:5], 7))
    for user, item in (("u3", "i5"), ("nobody", "i17")):
        here, there = (recommender.explain(user, item) for recommender in (in_memory, loaded))
        assert (here.user_id, here.item_id) == (there.user_id, there.item_id) == (user, item)
        assert list(here.contributions) == list(there.contributions) == ["image", "text", "id"]
        assert here.score == pytest.approx(there.score, rel=1e-4)
        assert here.contributions == pytest.approx(there.contributions, rel=1e-4, abs=1e-5)
    assert there.contributions["image"] == there.contributions["text"] == 0.0
    with pytest.raises(MmrecError, match="no modality 'photo'. Its modalities: image, text"):
        loaded.recommend("u3", modality_weights={"photo": 2.0})
    with pytest.raises(MmrecError, match="item 'nothing' is not in the catalogue"):
        loaded.explain("u3", "nothing")
    with pytest.raises(MmrecError, match="needs the models in memory"):
        loaded.explain("u3", "i5", method="integrated_gradients")
    # 24 of the 30 items are left to those who saw six, and all to the others and to the stranger.
    assert one.groupby("user_id", sort=False).size().tolist() == [24] * 18 + [30] * 3
    assert loaded.is_known("u19") and not loaded.is_known("nobody")


def weighing(asked) -> Recommender:
    """Knows the modalities `photo` and `text`; keeps the arguments it is asked with, and answers from `LISTS`."""

    def recommend_weighted(user_id, k, modality, weight):
        asked.append((modality.numpy().tolist(), weight.numpy().tolist()))
        return by_hand()._recommend(user_id, k)

    def explain(user_id, item_id):
        known = item_id.numpy()[0] == b"tea"
        score, parts = tf.constant([0.9 if known else NOTHING]), tf.constant([["photo", "text", "id"]])
        return score, tf.constant([[0.5, 0.0, -0.25]]), parts

    return Recommender(by_hand()._recommend, ["ann"], recommend_weighted, explain)


def test_weights_are_sent_for_each_user_of_a_batch():
    asked = []
    recommender = weighing(asked)
    assert recommender.modalities == ("photo", "text")
    table = recommender.recommend_all(
        ["ann", "bob", "eve"], k=1, batch_size=2, modality_weights={"text": 2, "photo": 0.5}
    )
    assert table["item_id"].tolist() == ["tea", "milk"]
    assert asked == [([[b"text", b"photo"]] * rows, [[2.0, 0.5]] * rows) for rows in (2, 1)]
    assert recommender.recommend("bob", 1, modality_weights={"text": 0}) == [Recommendation("milk", 0.75)]
    assert asked[-1] == ([[b"text"]], [[0.0]])


def test_without_weights_the_plain_function_is_asked():
    asked = []
    for weights in (None, {}):
        assert weighing(asked).recommend("bob", 1, modality_weights=weights) == [Recommendation("milk", 0.75)]
    assert asked == []


@pytest.mark.parametrize("weights", [{"smell": 1.0}, {"id": 1.0}, {"text": -1.0}, {"text": float("nan")}])
def test_weights_that_are_not_allowed_are_refused_before_anything_is_asked(weights):
    asked = []
    with pytest.raises(MmrecError, match="photo, text|text must be a number"):
        weighing(asked).recommend_all(["ann"], modality_weights=weights)
    assert asked == []


def test_an_explanation():
    recommender = weighing([])
    explanation = recommender.explain("ann", "tea")
    assert explanation == Explanation("ann", "tea", pytest.approx(0.9), {"photo": 0.5, "text": 0.0, "id": -0.25})
    with pytest.raises(MmrecError, match="item 'coffee' is not in the catalogue that this model was built with"):
        recommender.explain("ann", "coffee")
    with pytest.raises(MmrecError, match="knows the methods leave_one_out, integrated_gradients; got 'shapley'"):
        recommender.explain("ann", "tea", method="shapley")
    with pytest.raises(MmrecError, match="needs the models in memory.*from_engine"):
        recommender.explain("ann", "tea", method="integrated_gradients")


def test_integrated_gradients_of_models_in_memory():
    engine = tiny_world.engine()
    recommender = Recommender.from_engine(engine)
    left_out = recommender.explain("u3", "i5")
    integrated = recommender.explain("u3", "i5", method="integrated_gradients")
    assert integrated.score == left_out.score
    assert integrated.contributions == integrated_gradients(engine, "u3", "i5")
    assert list(integrated.contributions) == ["image", "text"]
    with pytest.raises(MmrecError, match="item 'nothing'"):
        recommender.explain("u3", "nothing", method="integrated_gradients")


def test_a_function_alone_neither_weighs_nor_explains():
    with pytest.raises(MmrecError, match="made without a function for explain"):
        by_hand().explain("ann", "tea")
    with pytest.raises(MmrecError, match="made without a function for recommend_weighted"):
        by_hand().recommend("ann", modality_weights={"text": 1.0})


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
    recommender = Recommender.load(tmp_path)
    assert recommender.recommend("u", k=1) == [Recommendation("of version 10", 1.0)]
    # An export from before there were weights and explanations still recommends, and says what it lacks.
    with pytest.raises(RunError, match=f"no signature 'explain'.*Write the next version with: mmrec export {tmp_path}"):
        recommender.explain("u", "i")
    with pytest.raises(RunError, match="no signature 'recommend_weighted'.*mmrec export"):
        recommender.recommend("u", modality_weights={"text": 2.0})


def test_inputs_that_a_request_says_nothing_of_are_left_empty(tmp_path):
    module = tf.Module()
    specs = {
        "user_id": ([None], tf.string),
        "k": ([None], tf.int32),
        "device": ([None], tf.string),
        "exclude_ids": ([None, None], tf.string),
        "age": ([None, None], tf.float32),
    }

    @tf.function(input_signature=[tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in specs.items()])
    def recommend(user_id, k, device, exclude_ids, age):
        sizes = tf.strings.as_string(tf.stack([tf.shape(exclude_ids)[1], tf.shape(age)[1]]))
        said = tf.strings.join([user_id, "|", device, "|", tf.strings.reduce_join(sizes)])
        return {"item_id": said[:, None], "score": tf.ones([tf.size(user_id), k[0]])}

    module.recommend = recommend
    tf.saved_model.save(module, str(tmp_path / "export" / "recommend" / "1"), signatures={"recommend": recommend})
    assert Recommender.load(tmp_path).recommend("ann", k=1) == [Recommendation("ann||00", 1.0)]


def test_nothing_exported_says_so(tmp_path):
    with pytest.raises(RunError, match="holds no exported model. Export one with: mmrec export"):
        Recommender.load(tmp_path)
