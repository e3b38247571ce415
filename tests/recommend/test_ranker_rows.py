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


def test_tables_that_are_too_large_are_not_kept(monkeypatch):
    model = tiny_world.ranker(members=2)
    # 30 items and none, float32 of two members: a weight of each field, the trend among them, what the fields come to,
    # 4 wide, their square, and the first layer's sums.
    size = 4 * 31 * (model.members[0].item_fields.count + 1 + 4 + 1 + model.members[0].hidden[0]) * 2
    monkeypatch.setattr(module, "MOST_BYTES", size)
    assert sum(4 * table.shape.num_elements() for table in tf.nest.flatten(ranker_rows(model))) == size
    monkeypatch.setattr(module, "MOST_BYTES", size - 1)
    assert ranker_rows(model) is None
    assert ranker_rows(None) is None
