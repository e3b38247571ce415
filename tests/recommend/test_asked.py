"""What requests say: histories that come with them, and their context."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mmrec_tf.data.number_scale import NumberScale
from mmrec_tf.data.vocabulary import Vocabulary
from mmrec_tf.features.context_features import CLOCK, ContextFeatures, clock_values
from mmrec_tf.recommend.asked import Asked, ContextInputs, clock_values_in_graph, scaled_number, with_given_history


def stored(rows: int, hidden=None) -> Asked:
    users = tf.range(rows)
    return Asked(users, tf.fill([rows, 3], 7), tf.fill([rows, 3], 2), hidden)


def test_a_given_history_stands_in_for_the_stored_one():
    items = tf.constant([[0, 5, 0, 6, 0], [1, 2, 3, 4, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 9]])
    asked = with_given_history(stored(4), items)
    # The latest three in their order, padded in front; nothing known keeps what is stored.
    assert asked.history.numpy().tolist() == [[0, 5, 6], [3, 4, 5], [7, 7, 7], [0, 0, 9]]
    # When the given items were touched is not known.
    assert asked.gaps.numpy().tolist() == [[0, 0, 0], [0, 0, 0], [2, 2, 2], [0, 0, 0]]
    # All of it counts as seen, also what the history has no place for.
    assert asked.hidden.numpy().tolist() == items.numpy().tolist()


def test_no_history_and_no_request():
    asked = with_given_history(stored(2, hidden=tf.constant([[4], [0]])), tf.zeros([2, 0], tf.int32))
    assert asked.history.numpy().tolist() == [[7, 7, 7]] * 2 and asked.hidden.numpy().tolist() == [[4], [0]]
    assert with_given_history(stored(0), tf.zeros([0, 2], tf.int32)).history.shape == (0, 3)


FEATURES = ContextFeatures(
    categorical={"device": Vocabulary(["phone", "tv"])},
    multi_categorical={"moods": Vocabulary(["happy", "tired"])},
    widths={"moods": 2},
    numbers={"age": NumberScale(40.0, 10.0), "same": NumberScale(0.0, 0.0)},
    clock=["hour_of_day", "day_of_week", "month"],
    timestamp="when",
)


def test_inputs_by_the_schemas_names():
    specs = {name: (spec.shape.rank, spec.dtype.name) for name, spec in ContextInputs(FEATURES).specs.items()}
    assert specs == {
        "device": (1, "string"),
        "moods": (2, "string"),
        "age": (2, "float32"),
        "same": (2, "float32"),
        "when": (2, "int64"),
    }
    assert "when" not in ContextInputs(ContextFeatures(timestamp="when")).specs


def test_a_request_is_encoded_as_an_interaction_is():
    # Sunday the 29th of February 2004, 23:59:59, and Monday the 1st of March, midnight.
    frame = pd.DataFrame(
        {
            "device": ["tv", "radio", ""],
            "moods": [["tired", "sad", "happy"], ["happy"], []],
            "age": [25.0, 1e9, np.nan],
            "same": [1.0, 1.0, np.nan],
            "when": [1078099199.0, 1078099200.0, np.nan],
        }
    )
    expected = FEATURES.encode(frame)
    given = {
        "device": tf.constant(["tv", "radio", ""]),
        "moods": tf.constant([["tired", "sad", "happy"], ["happy", "", ""], ["", "", ""]]),
        "age": tf.constant([[25.0], [1e9], [float("nan")]]),
        "same": tf.constant([[1.0], [1.0], [float("nan")]]),
        "when": tf.constant([[1078099199], [1078099200], [0]], tf.int64),
    }
    found = ContextInputs(FEATURES)(given)
    assert found["categorical"]["device"].numpy().tolist() == [2, 0, 0]
    for name in ("device", *FEATURES.clock):
        np.testing.assert_array_equal(found["categorical"][name], expected["categorical"][name])
    # The third mood is beyond the two that are kept.
    assert found["multi_categorical"]["moods"].numpy()[:, :2].tolist() == [[2, 0], [1, 0], [0, 0]]
    for name in ("age", "same"):
        np.testing.assert_allclose(found["numbers"][name], expected["numbers"][name], atol=1e-6)


def test_a_request_that_says_nothing():
    empty = {
        name: tf.zeros([2] if spec.shape.rank == 1 else [2, 0], spec.dtype)
        for name, spec in ContextInputs(FEATURES).specs.items()
    }
    for value in tf.nest.flatten(ContextInputs(FEATURES)(empty)):
        assert not value.numpy().any() and value.shape[0] == 2


def test_the_clock_is_the_one_of_training():
    # Every 7 hours and 13 minutes of 8 years, leap years and the turn of a century among them.
    seconds = np.arange(941_000_000, 941_000_000 + 8 * 366 * 86_400, 25_980)
    for name in CLOCK:
        found = clock_values_in_graph(name, tf.constant(seconds, tf.int64))
        np.testing.assert_array_equal(found, clock_values(name, seconds))
    assert clock_values_in_graph("month", tf.constant([0, -5], tf.int64)).numpy().tolist() == [0, 0]
    with pytest.raises(ValueError, match="the clock has no 'century'"):
        clock_values_in_graph("century", tf.constant([1], tf.int64))


def test_numbers_are_scaled_as_in_training():
    values = np.array([2.0, 5.0, 1e30, -1e30, np.nan, np.inf], np.float32)
    for scale in (NumberScale(2.0, 1.5), NumberScale(0.0, 0.0)):
        found = scaled_number(tf.constant(values), *scale)
        np.testing.assert_allclose(found, scale.apply(values.astype(float)), atol=1e-6)
