"""What validation chooses: weights that help are found, weights that do not are left alone."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf.evaluation import retrieval_calibration
from mmrec_tf.evaluation.evaluation_set import EvaluationSet
from mmrec_tf.evaluation.judged_users import judged_users
from mmrec_tf.evaluation.ranking_metrics import user_metrics
from mmrec_tf.evaluation.retrieval_calibration import _Judge, _new_item_bonus, _newcomer_scale, calibrate, choose
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.remembered_pairs import remembered_pairs
from tests import tiny_world

KS = [5, 10]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    split = {"method": "temporal", "validation": 0.2, "test": 0.2}
    return tiny_world.prepared(tmp_path_factory.mktemp("world"), split=split)


def untrained(world):
    return build_two_tower(world.config, world.users, world.items, world.sequences().item_index, world.trends())


def ndcg(world, model) -> float:
    return ndcg_of(model, *judged_users(world, "validation"))


def test_gain_is_what_the_lists_show(world):
    model = untrained(world)
    before = ndcg(world, model)
    users, lists = judged_users(world, "validation")
    chosen = calibrate(model, users, lists, ks=KS, pairs=remembered_pairs(world, model))
    # Untrained towers say nothing, and what was consumed together does.
    assert chosen["companions_weight"] + chosen["followers_weight"] > 0.0 and model.remembers
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
        chosen = calibrate(model, users, lists, ks=[10], pairs=remembered_pairs(world, model))
    finally:
        type(model).dim = dim
    assert (chosen["trend_scale"], chosen["followers_weight"], chosen["companions_weight"]) == (1.0, 0.0, 0.0)
    assert chosen["gain"] == 0.0 and chosen["companions_pairs"] == "none"
    assert not model.remembers


def test_a_memory_holds_the_pairs_that_helped_most(world):
    model = untrained(world)
    users, lists = judged_users(world, "validation")
    # Every item has all of the items that somebody wants as neighbours, or all of those that nobody does.
    is_wanted = np.asarray(users.relevant.sum(axis=0))[0] > 0
    good, bad = (np.tile(np.flatnonzero(which), [tiny_world.ITEMS, 1]) for which in (is_wanted, ~is_wanted))
    pairs = {name: (rows, np.ones(rows.shape, np.float32)) for name, rows in (("good", good), ("bad", bad))}
    # The towers alone: no trends, which know a little.
    model.trend_blend.assign(0.0 * model.trend_blend)
    contents = {name: (lambda found=found: found) for name, found in pairs.items()}
    chosen = calibrate(model, users, lists, ks=[10], pairs={"followers": contents})
    assert chosen["followers_pairs"] == "good" and chosen["followers_weight"] > 0.0
    neighbours = model.memories["followers"].neighbours.numpy()[1:, : good.shape[1]]
    np.testing.assert_array_equal(neighbours, good + 1)
    assert float(model.memories["companions"].weight) == 0.0


def test_the_memory_that_helps_the_most_comes_first(tmp_path):
    world = tiny_world.prepared(tmp_path, split={"method": "leave_one_out"})
    model = untrained(world)
    users, lists = judged_users(world, "validation")
    latest, asked = lists.asked["history"][:, -1], []
    assert latest.all()

    def holding(name, rows):
        """Beside the latest item of some of the users stands what they want."""

        def find():
            asked.append(name)
            neighbours = np.full([tiny_world.ITEMS, tiny_world.ITEMS], -1)
            for row in rows:
                neighbours[latest[row] - 1, 0] = users.relevant[row].indices[0]
            return neighbours, (neighbours >= 0).astype(np.float32)

        return {"counted": find}

    # One user for each latest item.
    known = list({item: row for row, item in enumerate(latest)}.values())
    pairs = {"followers": holding("followers", known[::2]), "companions": holding("companions", known)}
    chosen = calibrate(model, users, lists, ks=[10], pairs=pairs)
    assert chosen["companions_pairs"] == "counted" and chosen["companions_weight"] > 0.0
    # What it knows is known by then.
    assert chosen["followers_pairs"] == "none" and chosen["followers_weight"] == 0.0
    assert float(model.memories["followers"].weight) == 0.0
    assert float(model.memories["companions"].weight) == pytest.approx(chosen["companions_weight"])
    assert sorted(asked) == ["companions", "followers"]


def test_memories_are_asked_for_the_judged_users_alone(world, monkeypatch):
    # What all users' memories add to all items is of no size to be held where users are many.
    model = untrained(world)
    users, lists = judged_users(world, "validation")
    monkeypatch.setattr(retrieval_calibration, "_MOST_SCORES", 1)
    monkeypatch.setattr(retrieval_calibration, "_LEAST_USERS", 3)
    assert len(users) > 3
    asked, memory = [], lists.memory
    monkeypatch.setattr(lists, "memory", lambda model, rows: asked.append(len(rows)) or memory(model, rows))
    calibrate(model, users, lists, ks=[10], pairs=remembered_pairs(world, model))
    assert set(asked) == {3}


def test_a_gain_within_half_its_standard_error_is_none():
    best = np.zeros(100)
    noise = np.tile([0.5, -0.5], 50)
    # The standard error is 0.5 / 10: a mean of 0.02 is below half of it, one of 0.03 above.
    found = {"small": noise + 0.02, "large": noise + 0.03, "larger": noise + 0.04}
    assert choose(best, ["small"], found.get)[0] is None
    chosen, figures = choose(best, ["small", "large", "larger"], found.get)
    assert chosen == "larger"
    np.testing.assert_array_equal(figures, found["larger"])


def four_items(relevant, ks) -> _Judge:
    """Users who have seen nothing, and four items, the last of which is new."""
    relevant = csr_matrix(np.array(relevant, np.float32))
    users = len(relevant.indptr) - 1
    nothing = csr_matrix((users, 4), dtype=np.float32)
    users_asked = EvaluationSet(np.arange(users), nothing, relevant, np.arange(4) == 3, np.ones(users, bool))
    return _Judge(users_asked, np.arange(users), ks)


IS_NEW = np.array([False, False, False, True])


def test_trends_count_as_much_for_newcomers_as_is_no_worse_than_the_best():
    # Gains of four users, by the trends' scale. The best is 1.5. At 2 they lose 0.02, 0.0, 0.02 and 0.0, 0.01 in the
    # mean with a standard error of 0.005; at 3 0.04, -0.04, 0.04 and -0.03, 0.0025 with one of 0.019; at 5 0.1 each.
    figures = {
        1.0: [0.4] * 4,
        1.5: [0.5] * 4,
        2.0: [0.48, 0.5, 0.48, 0.5],
        3.0: [0.46, 0.54, 0.46, 0.53],
        5.0: [0.4] * 4,
    }

    def judge(scores):
        return np.array(figures.get(float(scores[0, 0]), [0.1] * 4))

    scale, found = _newcomer_scale(judge, np.zeros([4, 2]), np.ones([4, 2]))
    assert scale == 3.0 and found.tolist() == figures[3.0]
    del figures[3.0]
    assert _newcomer_scale(judge, np.zeros([4, 2]), np.ones([4, 2]))[0] == 1.5


@pytest.mark.parametrize(("least", "expected"), [(1, 3.0), (10**6, 1.0)])
def test_newcomers_have_a_weight_of_their_own_where_there_are_some(world, monkeypatch, least, expected):
    monkeypatch.setattr(retrieval_calibration, "_LEAST_NEWCOMERS", least)
    monkeypatch.setattr(
        retrieval_calibration, "_newcomer_scale", lambda judge, towers, trend: (3.0, judge(towers + 3.0 * trend))
    )
    model = untrained(world)
    users, lists = judged_users(world, "validation")
    # Every other user has no history.
    lists.asked["history"][::2] = 0
    lists.asked["history"][1::2, -1] = 3
    gains, before = [lists.embeddings(model)[0][:, model.dim + 1 :]], ndcg_of(model, users, lists)
    chosen = calibrate(model, users, lists, ks=KS)
    gains.append(lists.embeddings(model)[0][:, model.dim + 1 :])
    assert chosen.get("newcomer_trend_scale", 1.0) == expected
    np.testing.assert_allclose(gains[1][::2], expected * gains[0][::2])
    np.testing.assert_array_equal(gains[1][1::2], gains[0][1::2])
    assert chosen["gain"] == pytest.approx(ndcg_of(model, users, lists) - before, abs=1e-6)


def ndcg_of(model, users, lists) -> float:
    return float(np.mean([user_metrics(lists.retrieval(model, k), users.relevant, [k])[f"ndcg@{k}"] for k in KS]))


def test_what_was_met_is_not_new(world):
    model = untrained(world)
    without_id = model.items.lookup.id_index.numpy() == 0
    assert without_id[1:].any()
    users, lists = judged_users(world, "validation")
    assert "new_item_bonus" in calibrate(model, users, lists, ks=KS)
    model.items.lookup.is_met.assign(np.ones_like(without_id))
    assert "new_item_bonus" not in calibrate(model, users, lists, ks=KS)


def test_without_evidence_new_items_get_their_share_of_the_places():
    # Each list has one place, and the new item is behind by 0.03, 0.12, and so on. A tenth of the places is one of ten.
    judge = four_items(np.tile([1, 0, 0, 0], [10, 1]), ks=[1])
    scores = np.tile([1.0, 0.5, 0.5, 0.0], [10, 1])
    scores[:, 3] = 1.0 - np.array([0.12, 0.13, 0.14, 0.16, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    best = judge(scores)
    bonus, figures = _new_item_bonus(best, scores, IS_NEW, judge)
    # With 0.1 it is first for nobody, with 0.15 for three of ten.
    assert bonus == 0.15
    assert best.mean() == 1.0 and figures.mean() == pytest.approx(0.7)


def test_the_share_of_the_places_is_that_of_the_lists_that_are_shown():
    # Of two places the new item has the second everywhere from the start, and that is not one that is shown.
    judge = four_items(np.tile([1, 0, 0, 0], [10, 1]), ks=[1, 2])
    scores = np.tile([1.0, 0.5, 0.5, 0.88], [10, 1])
    assert _new_item_bonus(judge(scores), scores, IS_NEW, judge)[0] == 0.15


def test_with_evidence_new_items_are_shown_as_long_as_it_costs_nothing():
    # One of three users wants the new item, which is behind by 0.25 for this one and by 0.5 for the others.
    judge = four_items([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]] * 5, ks=[1])
    scores = np.tile([[1.0, 0.0, 0.0, 0.5], [1.0, 0.0, 0.0, 0.5], [1.0, 0.0, 0.0, 0.75]], [5, 1])
    best = judge(scores)
    bonus, figures = _new_item_bonus(best, scores, IS_NEW, judge)
    # From 0.3 on the third finds it; with 0.6 the others would be shown it instead of what they want.
    assert bonus == 0.4
    assert best.mean() == pytest.approx(2 / 3) and figures.mean() == 1.0


def test_where_nobody_finds_anything_new_items_get_no_more_than_their_share():
    # One user of ten wants the new item, which is far behind, the others what their lists do not show either.
    judge = four_items([[0, 0, 0, 1], *[[0, 1, 0, 0]] * 9], ks=[1])
    scores = np.tile([1.0, 0.5, 0.5, 0.0], [10, 1])
    scores[1:, 3] = 1.0 - np.array([0.12, 0.16, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    best = judge(scores)
    assert best.mean() == 0.0
    bonus, figures = _new_item_bonus(best, scores, IS_NEW, judge)
    # It is first for one of ten, and for nobody who wants it.
    assert bonus == 0.15 and figures.mean() == 0.0
