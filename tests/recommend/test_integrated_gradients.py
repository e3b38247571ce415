"""Integrated gradients: by hand, complete, and of one mind with leaving out where the truth is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.recommend.integrated_gradients import integrated_gradients
from mmrec_tf.recommend.recommender import Recommender
from tests import tiny_world
from tests.recommend import one_taste_world


def hand_made(score, **vectors):
    """An engine with one user and one item of these vectors, both at index 1, and this score of the vectors."""
    tables = {"vectors": {name: tf.constant([[0.0] * len(row), row]) for name, row in vectors.items()}}
    return SimpleNamespace(
        user_index=lambda ids: tf.ones_like(ids, tf.int32),
        item_index=lambda ids: tf.ones_like(ids, tf.int32),
        retrieval=SimpleNamespace(items=SimpleNamespace(lookup=SimpleNamespace(tables=tables))),
        score=lambda users, items, vectors: score(**vectors),
    )


def test_by_hand():
    # f = 3 + 2 x1 - x2 + x1 y. At the share a of the path the slopes are 2 + a y, -1 and a x1, whose means over a from
    # 0 to 1 are 2 + y/2, -1 and x1/2. With x = (4, 5) and y = 6, x gives 4 (2 + 3) - 5 = 15 and y gives 6 * 2 = 12;
    # together 27, which is f(x, y) - f(0, 0) = 8 - 5 + 24.
    engine = hand_made(lambda x, y: 3 + 2 * x[:, 0] - x[:, 1] + x[:, 0] * y[:, 0], x=[4.0, 5.0], y=[6.0])
    assert integrated_gradients(engine, "u", "i") == {"x": pytest.approx(15), "y": pytest.approx(12)}


@pytest.mark.parametrize("with_ranker", [False, True])
@pytest.mark.parametrize("user, item", [("u3", "i0"), ("u18", "i5"), ("u3", "i28")])
def test_they_sum_to_the_way_from_the_average_item(with_ranker, user, item):
    ranking = tiny_world.ranker() if with_ranker else None
    if with_ranker:
        ranking.similarity_weight.assign(2.0)
    engine = tiny_world.engine(ranking=ranking)
    users, items = engine.user_index(tf.constant([user])), engine.item_index(tf.constant([item]))
    average = {"text": tf.zeros([1, 6]), "image": tf.zeros([1, 4])}
    way = engine.score(users, items) - engine.score(users, items, vectors=average)
    assert abs(float(way[0])) > 1e-3
    found = integrated_gradients(engine, user, item, steps=64)
    assert sum(found.values()) == pytest.approx(float(way[0]), abs=0.02 * abs(float(way[0])) + 1e-3)


def test_what_is_absent_contributes_nothing():
    engine = tiny_world.engine(ranking=tiny_world.ranker())
    assert integrated_gradients(engine, "u3", f"i{tiny_world.WITHOUT_MODALITIES}") == {"image": 0.0, "text": 0.0}
    # Item 2 has no picture (2 modulo 5), and a text.
    found = integrated_gradients(engine, "u3", "i2")
    assert found["image"] == 0.0 and abs(found["text"]) > 1e-4
    # To a stranger all items are equally near, whatever their content.
    assert integrated_gradients(tiny_world.engine(), "nobody", "i2") == {"image": 0.0, "text": 0.0}


@pytest.fixture(scope="module")
def one_taste():
    return dict(zip(("retrieval", "with ranker"), one_taste_world.trained_engines()))


@pytest.mark.parametrize("chain", ["retrieval", "with ranker"])
def test_where_taste_follows_the_text_both_methods_say_so(one_taste, chain):
    recommender = Recommender.from_engine(one_taste[chain])
    new = one_taste_world.ITEMS - one_taste_world.NEW_ITEMS
    # For each user a new item of their group and one of the next group.
    pairs = [(user, new + 4 * user + group % 4) for user in range(6) for group in (user, user + 1)]
    found = {}
    for method in ("leave_one_out", "integrated_gradients"):
        explained = [recommender.explain(f"u{user}", f"i{item}", method).contributions for user, item in pairs]
        found[method] = np.array([[parts["text"], parts["image"]] for parts in explained])
    for contributions in found.values():
        own, other = contributions[::2], contributions[1::2]
        # The text speaks for every item of the user's group, and on the whole against the others.
        assert (own[:, 0] > 0).all() and other[:, 0].mean() < 0
        # The picture is noise: on the whole it says little.
        assert abs(own[:, 1].mean()) < 0.25 * own[:, 0].mean()
        assert abs(other[:, 1].mean()) < -0.5 * other[:, 0].mean()
    left_out, integrated = (contributions[:, 0] for contributions in found.values())
    assert np.corrcoef(left_out, integrated)[0, 1] > 0.8
