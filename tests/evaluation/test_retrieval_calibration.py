"""What validation chooses: weights that help are found, weights that do not are left alone."""

import numpy as np
import pytest

from mmrec_tf.evaluation.ranking_metrics import user_metrics
from mmrec_tf.evaluation.retrieval_calibration import _choose, calibrate
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.item_graph import cooccurrence_neighbours
from mmrec_tf.stages import judged_users
from tests import tiny_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    split = {"method": "temporal", "validation": 0.2, "test": 0.2}
    return tiny_world.prepared(tmp_path_factory.mktemp("world"), split=split)


def untrained(world):
    train = world.sequences()
    model = build_two_tower(world.config, world.users, world.items, train.item_index, world.trends())
    model.memory.remember(*cooccurrence_neighbours(train.profiles(tiny_world.ITEMS), model.memory.width))
    return model


def ndcg(world, model) -> float:
    users, lists = judged_users(world, "validation")
    return float(user_metrics(lists.retrieval(model, 10), users.relevant, [10])["ndcg@10"].mean())


def test_gain_is_what_the_lists_show(world):
    model = untrained(world)
    before = ndcg(world, model)
    users, lists = judged_users(world, "validation")
    chosen = calibrate(model, users, lists, k=10)
    # Untrained towers say nothing, and what was consumed together does.
    assert chosen["memory_weight"] > 0.0 and model.remembers
    assert chosen["gain"] > 0.02
    assert ndcg(world, model) - before == pytest.approx(chosen["gain"], abs=1e-6)


def test_towers_that_know_are_left_alone(world):
    model = untrained(world)
    users, lists = judged_users(world, "validation")
    # Places by which every user is nearest to exactly what they will like.
    taste = np.zeros([len(users), tiny_world.ITEMS + 1], np.float32)
    taste[:, 1:] = users.relevant.toarray()
    queries = np.concatenate([taste, np.ones([len(users), 1]), np.zeros([len(users), 1])], axis=1)
    candidates = np.concatenate([np.eye(tiny_world.ITEMS + 1), np.zeros([tiny_world.ITEMS + 1, 2])], axis=1)
    lists.embeddings = lambda model: (queries.astype(np.float32), candidates.astype(np.float32))
    type(model).dim, dim = tiny_world.ITEMS + 1, type(model).dim
    try:
        chosen = calibrate(model, users, lists, k=10)
    finally:
        type(model).dim = dim
    assert (chosen["trend_scale"], chosen["memory_weight"], chosen["gain"]) == (1.0, 0.0, 0.0)
    assert not model.remembers


def test_a_gain_within_half_its_standard_error_is_none():
    best = np.zeros(100)
    noise = np.tile([0.5, -0.5], 50)
    # The standard error is 0.5 / 10: a mean of 0.02 is below half of it, one of 0.03 above.
    found = {"small": noise + 0.02, "large": noise + 0.03, "larger": noise + 0.04}
    assert _choose(best, ["small"], found.get)[0] is None
    chosen, figures = _choose(best, ["small", "large", "larger"], found.get)
    assert chosen == "larger"
    np.testing.assert_array_equal(figures, found["larger"])
