import numpy as np
import pandas as pd
import pytest

from mmrec_tf import stages
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.evaluation.evaluation_set import build_evaluation_set
from mmrec_tf.evaluation.training_data import asking_context, asking_times, known_interactions, training_data
from mmrec_tf.features.prepared import prepare
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.recent_popularity import RecentPopularity
from mmrec_tf.models.recommender_model import Asked
from mmrec_tf.schema import Schema
from tests import tiny_world


def test_everything_that_the_models_may_ask_for_is_of_the_training_part(tmp_path):
    # Every second interaction gets three stars and is liked, the others get one.
    stars = np.where(np.arange(108) % 2, 3.0, 1.0)
    prepared = tiny_world.prepared(tmp_path, stars, 2.0)
    training = training_data(prepared)
    train = prepared.split.train
    assert len(training.labels) == len(training.times) == len(training.user_rows) == len(train)
    np.testing.assert_array_equal(training.is_positive, train["stars"] > 2.0)
    np.testing.assert_array_equal(training.times, train["timestamp"])
    counts = np.zeros((tiny_world.USERS, tiny_world.ITEMS))
    liked = train[train["stars"] > 2.0]
    for user, item in zip(liked["user_id"], liked["item_id"]):
        counts[int(user[1:]), int(item[1:])] += 1
    np.testing.assert_array_equal(training.positives.toarray(), counts)
    # Countries by row are fr, de, none, and 0 is the one that is not known.
    country = training.user_segments["country"]
    assert len(country) == tiny_world.USERS and country[2] == 0 and country[0] == country[3] > 0 != country[1]
    assert training.items is prepared.items


def test_what_is_known_when_the_test_users_ask_holds_validation_too(tmp_path, monkeypatch):
    prepared = tiny_world.prepared(tmp_path, evaluation={"k": [10], "baselines": ["popularity", "recent_popularity"]})
    split = prepared.split
    known = known_interactions(prepared, split.train, split.validation)
    assert len(known.times) == len(split.train) + len(split.validation) > len(split.train) and known.held_out is None
    compared = {}

    def compare(models, users, *given, **options):
        compared.update({name: scorer(np.arange(len(users))) for name, scorer in models.items() if callable(scorer)})
        compared["users"] = users
        raise InterruptedError

    monkeypatch.setattr(stages, "compare", compare)
    train, trends = prepared.sequences().item_index, prepared.trends()
    model = build_two_tower(prepared.config, prepared.users, prepared.items, train, trends)
    with pytest.raises(InterruptedError):
        stages.evaluate_models(prepared, model, None)
    counts = np.zeros(tiny_world.ITEMS)
    for item in pd.concat([split.train, split.validation])["item_id"]:
        counts[int(item[1:])] += 1
    np.testing.assert_array_equal(compared["popularity"][0], counts)
    asked = Asked(compared["users"].profiles, times=asking_times(prepared, compared["users"], split.test))
    expected = RecentPopularity(90.0).fit(known).score(asked)
    np.testing.assert_allclose(compared["recent_popularity"], expected, rtol=1e-6)


def test_validation_users_are_judged_by_the_packages_metric(tmp_path):
    prepared = tiny_world.prepared(tmp_path)
    held_out = training_data(prepared).held_out
    target = prepared.split.validation.set_index("user_id")["item_id"]
    assert len(held_out.asked) == len(target) == tiny_world.ACTIVE_USERS and held_out.k == 10
    wanted = np.array([int(target[f"u{row}"][1:]) for row in held_out.asked.user_rows])
    lists = np.full((18, 10), -1)
    lists[:9, 0], lists[9:, 1] = wanted[:9], wanted[9:]
    # Half find their item first, half second: (1 + 1 / log2(3)) / 2.
    np.testing.assert_allclose(held_out.judge(lists), (1 + 1 / np.log2(3)) / 2)
    # Profiles are the training part's, and nobody is asked after the held-out interaction itself.
    profile_sizes = np.diff(held_out.asked.profiles.indptr)
    np.testing.assert_array_equal(profile_sizes, 4)
    times = prepared.split.validation.set_index("user_id")["timestamp"]
    np.testing.assert_array_equal(held_out.asked.times, [times[f"u{row}"] for row in held_out.asked.user_rows])


def test_of_many_validation_users_some_are_drawn_by_the_seed(tmp_path):
    prepared = tiny_world.prepared(tmp_path)
    few, again = (training_data(prepared, most_held_out=5).held_out for _ in range(2))
    assert len(few.asked) == 5 and len(set(few.asked.user_rows)) == 5
    np.testing.assert_array_equal(few.asked.user_rows, again.asked.user_rows)
    whole = training_data(prepared).held_out.asked
    places = np.searchsorted(whole.user_rows, few.asked.user_rows)
    np.testing.assert_array_equal(few.asked.profiles.toarray(), whole.profiles[places].toarray())
    np.testing.assert_array_equal(few.asked.times, whole.times[places])


def test_who_asks_several_times_asks_at_the_first(tmp_path):
    prepared = tiny_world.prepared(tmp_path, split={"method": "temporal", "test": 0.4, "validation": 0.0})
    test = prepared.split.test
    users = build_evaluation_set(prepared.data, prepared.split.train, test, prepared.split.train)
    first = test.groupby("user_id")["timestamp"].min()
    expected = [first[f"u{row}"] for row in users.user_rows]
    np.testing.assert_array_equal(asking_times(prepared, users, test), expected)
    assert training_data(prepared).held_out is None


def test_who_comes_back_to_something_seen_is_asked_when_something_new_comes(tmp_path):
    # User 0 takes up an item of training once more on a phone, and an item that is new on a tablet.
    world = tiny_world.rec_data()
    frame = world.interactions.assign(device=np.where(np.arange(108) % 2, "phone", "tablet"))
    mine = set(frame["item_id"][frame["user_id"] == "u0"])
    again, new = sorted(mine)[0], sorted(set(frame["item_id"]) - mine)[0]
    later = pd.DataFrame({"user_id": "u0", "item_id": [new, again], "timestamp": [220.0, 210.0]})
    frame = pd.concat([frame, later.assign(device=["tablet", "phone"])], ignore_index=True)
    schema = tiny_world.SCHEMA.model_dump()
    schema = Schema(**{**schema, "context": {"timestamp": "timestamp", "device": "categorical"}})
    data = RecData(schema, frame, world.items, world.users)
    split = {"method": "temporal", "validation_from": 200.0, "test_from": 205.0}
    prepared = prepare(data, tiny_world.config(schema=schema.model_dump(), split=split, store=tmp_path / "store"))
    train, test = prepared.split.train, prepared.split.test
    users = build_evaluation_set(data, train, test, train)
    assert users.user_rows.tolist() == [0] and users.relevant.indices.tolist() == [int(new[1:])]
    assert asking_times(prepared, users, test).tolist() == [220.0]
    known = prepared.context.categorical["device"].lookup(["tablet"])
    assert asking_context(prepared, users, test)["categorical"]["device"].tolist() == known.tolist()


def test_data_without_time_have_no_times(tmp_path):
    world = tiny_world.rec_data()
    schema = world.schema.model_copy(update={"context": []})
    data = RecData(schema, world.interactions.drop(columns="timestamp"), world.items, world.users)
    config = tiny_world.config(schema=schema.model_dump(), split={"method": "random"}, store=tmp_path / "store")
    prepared = prepare(data, config)
    users = build_evaluation_set(data, prepared.split.train, prepared.split.test, prepared.split.train)
    training = training_data(prepared)
    assert (training.times, training.labels, training.held_out.asked.times) == (None, None, None)
    assert asking_times(prepared, users, prepared.split.test) is None
    assert isinstance(prepared.split.train, pd.DataFrame) and len(training.item_rows) == len(prepared.split.train)
