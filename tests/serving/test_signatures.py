"""Names and inputs of signatures that follow the schema."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.serving.signatures import context_names, model_signatures, signature
from tests import tiny_world
from tests.recommend import context_world


@pytest.mark.parametrize(
    ("feature", "name"),
    [
        ("device", "device"),
        ("kind of device", "kind_of_device"),
        ("k", "context_k"),
        ("exclude_ids", "context_exclude_ids"),
        ("history", "context_history"),
        ("_hidden", "context__hidden"),
        ("timestamp ", "timestamp_"),
    ],
)
def test_inputs_are_named_as_the_schema_names_features_where_that_can_be(feature, name):
    assert context_names(context_world.engine(feature)) == {feature: name, "timestamp": "timestamp"}


def test_features_whose_names_become_the_same_are_told_apart():
    engine = context_world.engine("a b")
    engine.context_inputs.specs = dict.fromkeys(["a b", "a_b", "a-b"], engine.context_inputs.specs["a b"])
    assert context_names(engine) == {"a b": "a_b", "a_b": "context_a_b", "a-b": "a-b"}


def test_without_a_context_there_are_no_inputs_for_it():
    assert context_names(tiny_world.engine()) == {}


def test_the_context_is_asked_for_and_reaches_the_engine():
    engine = context_world.engine("kind of device")
    recommend = model_signatures(engine, 3, False)["recommend"]["recommend"]
    inputs = {spec.name: (spec.shape.as_list(), spec.dtype) for spec in recommend.input_signature}
    assert inputs == {
        "user_id": ([None], tf.string),
        "k": ([None], tf.int32),
        "exclude_ids": ([None, None], tf.string),
        "history_item_ids": ([None, None], tf.string),
        "kind_of_device": ([None], tf.string),
        "timestamp": ([None, None], tf.int64),
    }
    user, nothing = tf.constant(["u3"]), tf.zeros([1, 0], tf.string)
    told = {"kind of device": tf.constant(["tv"]), "timestamp": tf.constant([[1078099200]], tf.int64)}
    answer = recommend(user, tf.constant([4]), nothing, nothing, *told.values())
    expected = engine.recommend(user, tf.constant(4), context=told)
    assert answer["item_id"].numpy().tolist() == expected[0].numpy().tolist()
    np.testing.assert_allclose(answer["score"], expected[1], rtol=1e-6)
    silent = recommend(user, tf.constant([4]), nothing, nothing, tf.constant([""]), tf.zeros([1, 0], tf.int64))
    assert np.abs(silent["score"].numpy() - answer["score"].numpy()).max() > 1e-5


def test_a_signature_takes_its_inputs_by_name():
    joined = signature(
        lambda first, second: {"text": tf.strings.join([first, second])},
        function=tf.TensorSpec([None], tf.string),
        **{"second.part": tf.TensorSpec([None], tf.string)},
    )
    assert joined(tf.constant(["a"]), tf.constant(["b"]))["text"].numpy().tolist() == [b"ab"]
    assert [spec.name for spec in joined.input_signature] == ["function", "second.part"]
