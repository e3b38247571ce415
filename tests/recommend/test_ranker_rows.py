"""The items as the ranker sees them, looked up instead of worked out: the same scores."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_ranking import RANKERS
from mmrec_tf.models.rankers import DeepFM, ranker_names, register_ranker, registry
from mmrec_tf.recommend import ranker_rows as module
from mmrec_tf.recommend.ranker_rows import ranker_rows
from tests import tiny_world
from tests.models.rankers.worlds import pairs, randomized


@pytest.mark.parametrize(
    ("name", "members"), [*((name, 1) for name in ranker_names()), ("deepfm", 2), ("bst", 2), ("esmm", 2)]
)
def test_scores_are_those_of_the_features(name, members):
    targets = {"targets": {"bought": {}}} if name in ("esmm", "ple", "mmoe", "shared_bottom") else {}
    model = tiny_world.ranker(model=name, members=members, **targets)
    for member in model.members:
        randomized(member)
    rows, inputs = ranker_rows(model), pairs()
    found = model.target_scores(inputs, rows=rows)
    for target, scores in model.target_scores(inputs).items():
        np.testing.assert_allclose(found[target], scores, rtol=1e-4, atol=1e-5)
    # The rows are read: of other rows the scores are others.
    other = tf.nest.map_structure(lambda table: table + 1.0, rows)
    assert np.abs(model(inputs, rows=other) - model(inputs)).min() > 1e-3


def test_a_class_with_interactions_of_its_own_finds_the_vectors_that_its_parent_does_without(monkeypatch):
    class Lengths(DeepFM):
        def interactions(self, pairs, training):
            lengths = tf.reduce_sum(tf.square(pairs.item_vectors), axis=[1, 2])
            return super().interactions(pairs, training) + lengths

    monkeypatch.setattr(registry, "_RANKERS", dict(registry._RANKERS))
    monkeypatch.setitem(RANKERS, "lengths", ())
    register_ranker("lengths", Lengths)
    model, inputs = randomized(tiny_world.ranker(model="lengths")), pairs()
    assert not DeepFM.looks_up_vectors and "vectors" not in tiny_world.ranker().item_rows()
    np.testing.assert_allclose(model(inputs, rows=ranker_rows(model)), model(inputs), rtol=1e-4, atol=1e-5)


def test_the_engine_looks_them_up_unless_something_is_left_out():
    model = randomized(tiny_world.ranker())
    engine = tiny_world.engine(ranking=model)
    users, items = tf.constant(["u3"]), tf.constant(["i4"])
    before, explained = engine.rank_pairs(users, items), engine.explain(users, items)
    for kernel in (layer.kernel for layer in model.item_fields.projections.values()):
        kernel.assign(kernel + 1.0)
    # What is worked out knows of the change, and what is looked up does not.
    np.testing.assert_array_equal(engine.rank_pairs(users, items), before)
    assert np.abs(engine.explain(users, items)[1] - explained[1]).max() > 1e-3


def test_histories_and_users_are_looked_up_too():
    model = randomized(tiny_world.ranker(last_item=True))
    rows, inputs = ranker_rows(model), pairs()
    scores = model(inputs, rows=rows)
    # Nothing that made them is asked any more.
    for fields in (model.history_fields, model.user_fields):
        fields.ids.embeddings.assign(fields.ids.embeddings + 1.0)
    np.testing.assert_array_equal(model(inputs, rows=rows), scores)
    for missing in ("history", "user"):
        fewer = {name: table for name, table in rows.items() if name != missing}
        assert np.abs(model(inputs, rows=fewer) - scores).min() > 1e-3


def test_who_has_no_history_has_the_fields_of_nothing():
    model, inputs = randomized(tiny_world.ranker(last_item=True)), pairs()
    inputs["history"] = tf.concat([tf.zeros_like(inputs["history"][:3]), inputs["history"][3:]], axis=0)
    found = model(inputs, rows=ranker_rows(model))
    np.testing.assert_allclose(found, model(inputs), rtol=1e-4, atol=1e-5)


def test_tables_that_are_too_large_are_not_kept(monkeypatch):
    model = tiny_world.ranker(members=2)
    member = model.members[0]
    # Float32 of two members. Of 30 items and none: the weight of all fields, what these come to, 4 wide, their square,
    # and the first layer's sums.
    items = 4 * 31 * (1 + 4 + 1 + member.hidden[0]) * 2
    # Of the same, what the means add up: fields that are 4 wide and have a weight, and which modalities are there.
    histories = 4 * 31 * (member.item_fields.count * (4 + 1) + len(member.item_fields.projections)) * 2
    users = 4 * member.users.size * member.user_fields.count * (4 + 1) * 2
    assert users < histories

    def kept(room):
        monkeypatch.setattr(module, "MOST_BYTES", room)
        rows = ranker_rows(model)
        size = sum(4 * table.shape.num_elements() for table in tf.nest.flatten(rows))
        return size, {name for name in ("history", "user") if name in rows[0]}

    assert kept(items + histories + users) == (items + histories + users, {"history", "user"})
    assert kept(items + histories + users - 1) == (items + histories, {"history"})
    assert kept(items + histories - 1) == (items + users, {"user"})
    assert kept(items) == (items, set())
    monkeypatch.setattr(module, "MOST_BYTES", items - 1)
    assert ranker_rows(model) is None
    assert ranker_rows(None) is None
