"""Which items that retrieval ranks high are held against whom."""

import numpy as np

from mmrec_tf import stages
from mmrec_tf.models.build import build_two_tower
from tests import tiny_world


def test_they_are_new_to_their_users_known_to_training_and_looked_up_for_those_who_train(tmp_path, monkeypatch):
    world = tiny_world.prepared(tmp_path, export={"candidates": 6})
    model = build_two_tower(world.config, world.users, world.items, world.sequences().item_index, world.trends())
    asked, lists = [], stages.StageLists
    monkeypatch.setattr(
        stages, "StageLists", lambda train, users, seen: asked.append(users) or lists(train, users, seen)
    )
    found = stages.hard_negatives(world, model)
    assert found.shape == (tiny_world.USERS + 1, 6) and found.dtype == np.int32
    users, items = world.rows(world.data.positives(world.split.train))
    trained = np.unique(users)
    assert 0 < len(trained) < tiny_world.USERS
    np.testing.assert_array_equal(asked[0], trained)
    without = np.setdiff1d(np.arange(tiny_world.USERS + 1), trained + 1)
    assert (found[without] == 0).all() and (found[trained + 1] > 0).any(axis=1).all()
    queries = model.query_embeddings(**world.sequences().asked_now(trained))
    scores = queries @ model.candidate_embeddings()[1:].T
    scores[np.searchsorted(trained, users), items] = -np.inf
    # As far as they are known, the six items that score highest.
    for row, user in enumerate(trained):
        best = set(np.argsort(-scores[row])[:6] + 1)
        assert set(found[user + 1]) - {0} == {item for item in best if world.items.id_index[item] > 0}


def test_a_ranker_that_draws_none_does_not_ask_for_them(tmp_path, monkeypatch):
    world = tiny_world.prepared(tmp_path, ranking={"hard_negatives": 0}, train={"ranking": {"epochs": 1}})
    model = build_two_tower(world.config, world.users, world.items, world.sequences().item_index, world.trends())
    monkeypatch.setattr(stages, "hard_negatives", lambda *given: 1 / 0)
    monkeypatch.setattr(stages, "fit_ranker", lambda *given: {"loss": [0.0]})
    stages.train_ranking(world, model)
