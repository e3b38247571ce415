"""Strings to integers and back."""

import numpy as np
import pytest

from mmrec_tf.data.vocabulary import Vocabulary


def test_known_values_count_from_one_and_everything_else_is_zero():
    vocabulary = Vocabulary(["red", "blue"])
    indices = vocabulary.lookup(["blue", "green", "", "red", "Blue"])
    assert indices.tolist() == [2, 0, 0, 1, 0]
    assert indices.dtype == np.int32
    assert (len(vocabulary), vocabulary.size) == (2, 3)


def test_fit_orders_by_frequency_then_alphabet():
    # c three times, b and a twice, d once.
    values = ["b", "c", "a", "d", "c", "a", "b", "c"]
    assert Vocabulary.fit(values).values == ["c", "a", "b", "d"]
    assert Vocabulary.fit(reversed(values)).values == ["c", "a", "b", "d"]


def test_fit_leaves_out_rare_and_missing_values():
    assert Vocabulary.fit(["a", "a", "b", "", "", ""], min_count=2).values == ["a"]


def test_nothing_to_fit_knows_nothing():
    vocabulary = Vocabulary.fit([])
    assert vocabulary.size == 1
    assert vocabulary.lookup(["a", ""]).tolist() == [0, 0]
    assert Vocabulary(["a"]).lookup([]).tolist() == []


@pytest.mark.parametrize("values", [["a", "b", "a"], ["a", ""]])
def test_doubled_and_empty_values_are_refused(values):
    with pytest.raises(ValueError, match="distinct, non-empty"):
        Vocabulary(values)
