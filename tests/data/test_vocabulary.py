"""Strings to integers and back."""

import numpy as np
import pytest

from mmrec_tf.data.vocabulary import MOST_LISTED, Vocabulary


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


def test_lists_are_filled_up_and_cut():
    found = Vocabulary(["red", "blue"]).lookup_lists([["green", "blue", "red"], [], ["red"]])
    assert found.tolist() == [[0, 2, 1], [0, 0, 0], [1, 0, 0]] and found.dtype == np.int32
    assert Vocabulary(["red", "blue"]).lookup_lists([["blue", "red"], ["red"]], width=1).tolist() == [[2], [1]]
    assert Vocabulary([]).lookup_lists([["green"], []]).tolist() == [[0], [0]]
    assert Vocabulary(["red"]).lookup_lists([]).shape == (0, 1)


def test_one_endless_list_does_not_widen_the_table_of_all():
    values = [f"v{place}" for place in range(1000)]
    found = Vocabulary(values).lookup_lists([["v5"], values])
    assert found.shape == (2, MOST_LISTED) and found[1].tolist() == list(range(1, MOST_LISTED + 1))
    assert found[0, :2].tolist() == [6, 0]
