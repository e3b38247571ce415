"""A model's method over any number of rows: the same numbers, few traces, and nothing kept alive."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from mmrec_tf.models.batched_calls import call_in_batches
from tests import tiny_world

TRACED = []


class Scale(tf_keras.Model):
    """`weight * x + y`, and a note of every trace."""

    def __init__(self):
        super().__init__()
        self.weight = self.add_weight(name="weight", shape=[], initializer="ones")

    def call(self, inputs):
        TRACED.append(inputs["x"].shape[0])
        return self.weight * inputs["x"] + inputs["y"][:, None]

    def doubled(self, x, y):
        return 2.0 * x + y[:, None]

    def named(self, x, y):
        return {"sum": x + y[:, None], "y": y}


@pytest.fixture
def traced():
    TRACED.clear()
    return TRACED


def rows(count: int) -> dict[str, np.ndarray]:
    x = np.arange(2.0 * count, dtype=np.float32).reshape(count, 2)
    return {"x": x, "y": np.arange(count, dtype=np.float32)}


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 40])
def test_every_row_gets_its_own_result(count):
    given = rows(count)
    np.testing.assert_array_equal(call_in_batches(Scale().call, given, batch_size=16), given["x"] + given["y"][:, None])
    assert call_in_batches(Scale().doubled, given["x"], given["y"], batch_size=16).shape == (count, 2)
    both = call_in_batches(Scale().named, given["x"], given["y"], batch_size=16)
    np.testing.assert_array_equal(both["sum"], given["x"] + given["y"][:, None])
    np.testing.assert_array_equal(both["y"], given["y"])


def test_eight_traces_serve_any_number_of_rows(traced):
    model = Scale()
    for count in range(80):
        call_in_batches(model.call, rows(count), batch_size=16)
    # Batches are filled up to an eighth of 16, which is 2 rows.
    assert sorted(traced) == [2, 4, 6, 8, 10, 12, 14, 16]


def test_a_batch_of_fewer_rows_than_shapes(traced):
    model = Scale()
    for count in range(1, 9):
        assert len(call_in_batches(model.call, rows(count), batch_size=3)) == count
    assert sorted(traced) == [1, 2, 3]


def test_what_has_been_learned_since_counts_and_models_are_kept_apart(traced):
    model, other = Scale(), Scale()
    first = call_in_batches(model.call, rows(3), batch_size=4)
    model.weight.assign(3.0)
    learned = call_in_batches(model.call, rows(3), batch_size=4)
    np.testing.assert_array_equal(learned - first, 2.0 * rows(3)["x"])
    np.testing.assert_array_equal(call_in_batches(other.call, rows(3), batch_size=4), first)
    assert traced == [3, 3]


def test_a_model_goes_with_its_traces():
    for make, call in (
        (Scale, lambda model: call_in_batches(model.call, rows(3), batch_size=4)),
        (tiny_world.two_tower, lambda model: model.query_embeddings(np.arange(3), np.zeros((3, tiny_world.HISTORY)))),
    ):
        model = make()
        assert len(call(model)) == 3
        gone = weakref.ref(model)
        del model
        gc.collect()
        assert gone() is None


def test_traces_are_no_part_of_what_is_exported(tmp_path):
    module = tf.Module()
    module.model = model = tiny_world.two_tower()
    module.embed = tf.function(
        lambda index: model.embed_candidate(index), input_signature=[tf.TensorSpec([None], tf.int32)]
    )

    def exported(name):
        tf.saved_model.save(module, str(tmp_path / name))
        saved = SavedModel.FromString((tmp_path / name / "saved_model.pb").read_bytes())
        graph = saved.meta_graphs[0].object_graph_def
        return len(graph.nodes), len(graph.concrete_functions)

    before = exported("before")
    model.query_embeddings(np.arange(3), np.zeros((3, tiny_world.HISTORY)))
    assert exported("after") == before
