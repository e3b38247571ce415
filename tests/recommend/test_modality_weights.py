"""A request's modality weights: what is allowed, in Python and in a graph."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.errors import MmrecError
from mmrec_tf.recommend.modality_weights import checked_weights, weight_rows


def test_weights_become_floats():
    assert checked_weights({"text": 2, "image": np.float32(0.5)}, ["image", "text"]) == {"text": 2.0, "image": 0.5}
    assert checked_weights({}, []) == {}
    assert checked_weights({"text": 0, "image": 1000}, ["image", "text"]) == {"text": 0.0, "image": 1000.0}


@pytest.mark.parametrize(
    "weights, modalities, message",
    [
        ({"photo": 2.0}, ["image", "text"], "no modality 'photo'. Its modalities: image, text"),
        ({3: 2.0, "id": 1.0}, ["image"], "no modality 3, 'id'. Its modalities: image"),
        ({"text": 1.0}, [], "no modality 'text'. Its modalities: none, for its items have no modality"),
        ({"text": -0.1}, ["text"], "text must be a number from 0 .* to 1000, got -0.1"),
        ({"text": 1000.5}, ["text"], "got 1000.5"),
        ({"text": float("nan")}, ["text"], "got nan"),
        ({"text": float("inf")}, ["text"], "got inf"),
        ({"text": "2"}, ["text"], "got '2'"),
        ({"text": True}, ["text"], "got True"),
        ({"text": None}, ["text"], "got None"),
        ([("text", 2.0)], ["text"], "modality weights are a dict"),
    ],
)
def test_mistakes_are_named(weights, modalities, message):
    with pytest.raises(MmrecError, match=message):
        checked_weights(weights, modalities)


@pytest.fixture(scope="module")
def graph():
    signature = [tf.TensorSpec([None, None], tf.string), tf.TensorSpec([None, None], tf.float32)]
    return tf.function(lambda names, weights: weight_rows(names, weights, ("image", "text")), signature)


def test_each_row_has_its_own_weights_and_1_where_it_names_none(graph):
    def in_both_ways(modality, weight):
        given = tf.constant(modality, tf.string), tf.constant(weight, tf.float32)
        eager = weight_rows(*given, ("image", "text")).numpy()
        np.testing.assert_array_equal(graph(*given).numpy(), eager)
        return eager.tolist()

    rows = in_both_ways([["text", "image"], ["image", ""], ["", ""]], [[0.0, 2.5], [3.0, 7.0], [0.0, 0.0]])
    assert rows == [[2.5, 0.0], [3.0, 1.0], [1.0, 1.0]]
    assert in_both_ways(np.zeros([2, 0], object), np.zeros([2, 0])) == [[1.0, 1.0]] * 2
    assert in_both_ways(np.zeros([0, 3], object), np.zeros([0, 3])) == []


def test_a_model_without_modalities():
    rows = weight_rows(tf.zeros([2, 1], tf.string), tf.ones([2, 1]), ())
    assert rows.shape == (2, 0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="weights are given for: nothing"):
        weight_rows(tf.constant([["text"]]), tf.constant([[1.0]]), ())


@pytest.mark.parametrize(
    "modality, weight, message",
    [
        ([["text"], ["smell"]], [[1.0], [1.0]], "unknown modality: smell; weights are given for: image, text"),
        # Not UTF-8, which an error's text must be.
        ([[b"\xff"]], [[1.0]], "unknown modality: \ufffd;"),
        ([["é" * 70]], [[1.0]], f"unknown modality: {'é' * 60};"),
        ([["text"]], [[-0.5]], "a weight must be from 0 to 1000, got -0.5; weights are given for: image, text"),
        ([["text"]], [[1001.0]], "got 1001;"),
        ([["text"]], [[np.nan]], "got nan;"),
        ([["text"]], [[np.inf]], "got inf;"),
        ([["text", "text"]], [[1.0, 1.0]], "names a modality twice; weights are given for: image, text"),
        ([["text", "image"]], [[1.0]], "must have the same shape"),
        ([["text"]], [[1.0, 2.0]], "must have the same shape"),
    ],
)
def test_a_graph_refuses_mistakes(graph, modality, weight, message):
    given = tf.constant(modality, tf.string), tf.constant(weight, tf.float32)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        graph(*given)
    assert message in caught.value.message
    with pytest.raises(tf.errors.InvalidArgumentError):
        weight_rows(*given, ("image", "text"))
