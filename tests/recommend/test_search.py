"""The best of all items, in blocks of requests."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.recommend.search import NOTHING, SCORES_AT_ONCE, best, hide, in_row_blocks, rows_at_once

SCORES = np.array([[0.5, 0.25, 0.75], [3.0, 2.0, 1.0], [0.0, 9.0, 8.0], [5.0, 5.0, 6.0], [1.0, 2.0, 1.5]], np.float32)


def test_rows_follow_the_catalogue():
    assert rows_at_once(1_000_000) == 16 and rows_at_once(100) == SCORES_AT_ONCE // 100
    assert rows_at_once(10 * SCORES_AT_ONCE) == 1 and rows_at_once(0) == SCORES_AT_ONCE


@pytest.mark.parametrize("rows", [1, 2, 5, 100])
@pytest.mark.parametrize("is_graph", [False, True])
def test_lists_are_the_same_whatever_the_blocks(rows, is_graph):
    asked = []

    def search(scores):
        asked.append(scores.shape[0])
        return best(scores, 2)

    def lists(scores):
        return in_row_blocks(search, rows, tf.constant(2), scores)

    if is_graph:
        lists = tf.function(lists, input_signature=[tf.TensorSpec([None, 3], tf.float32)])
    index, scores = lists(tf.constant(SCORES))
    # By hand: the best two of each row; equal scores in the order of the columns.
    assert index.numpy().tolist() == [[2, 0], [0, 1], [1, 2], [2, 0], [1, 2]]
    assert scores.numpy().tolist() == [[0.75, 0.5], [3, 2], [9, 8], [6, 5], [2, 1.5]]
    if not is_graph:
        assert asked == {1: [1] * 5, 2: [2, 2, 1], 5: [5], 100: [5]}[rows]
    nobody = lists(tf.zeros([0, 3]))
    assert [value.shape for value in nobody] == [(0, 2), (0, 2)]


def test_what_is_hidden_is_no_item():
    # Column 2 of the first row twice, and all of the second.
    hidden = hide(tf.constant(SCORES[:2]), tf.constant([0, 0, 1, 1, 1]), tf.constant([2, 2, 0, 1, 2]))
    index, scores = best(hidden, 3)
    assert index.numpy().tolist() == [[0, 1, 0], [0, 0, 0]]
    assert scores.numpy().tolist() == [[0.5, 0.25, NOTHING], [NOTHING] * 3]
