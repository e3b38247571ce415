"""The best of all items, in blocks of items."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.recommend import search
from mmrec_tf.recommend.search import NOTHING, add_at, hide, in_item_blocks

SCORES = np.array([[0.5, 0.25, 0.75, 0.5], [3.0, 2.0, 1.0, 2.0], [NOTHING, 9.0, NOTHING, NOTHING]], np.float32)
# By hand: the best three of each row, equal scores in the order of the columns, nothing at index 0.
INDEX = [[2, 0, 3], [0, 1, 3], [1, 0, 0]]
BEST = [[0.75, 0.5, 0.5], [3.0, 2.0, 2.0], [9.0, NOTHING, NOTHING]]


@pytest.mark.parametrize(("scores_at_once", "blocks"), [(3, 4), (6, 2), (9, 2), (12, 1), (2**24, 1), (1, 4)])
@pytest.mark.parametrize("is_graph", [False, True])
def test_lists_are_the_same_whatever_the_blocks(monkeypatch, scores_at_once, blocks, is_graph):
    monkeypatch.setattr(search, "SCORES_AT_ONCE", scores_at_once)
    asked = []

    def lists(scores, k):
        def scores_of(start, end):
            asked.append((start, end))
            return scores[:, start:end]

        return in_item_blocks(scores_of, 4, tf.shape(scores)[0], k)

    if is_graph:
        lists = tf.function(lists, input_signature=[tf.TensorSpec([None, 4]), tf.TensorSpec([], tf.int32)])
    index, scores = lists(tf.constant(SCORES), tf.constant(3))
    assert index.numpy().tolist() == INDEX and scores.numpy().tolist() == BEST
    if not is_graph:
        assert len(asked) == blocks and int(asked[-1][1]) == 4
    index, scores = lists(tf.constant(SCORES), tf.constant(1))
    assert index.numpy().tolist() == [[2], [0], [1]]
    # More places than items are empty, and nobody asked gets no list.
    assert lists(tf.constant(SCORES), tf.constant(6))[1].numpy()[:, 4:].tolist() == [[NOTHING] * 2] * 3
    assert [value.shape for value in lists(tf.zeros([0, 4]), tf.constant(2))] == [(0, 2), (0, 2)]


def test_large_blocks_begin_where_rows_need_no_copy(monkeypatch):
    monkeypatch.setattr(search, "SCORES_AT_ONCE", 200)
    starts = []

    def scores_of(start, end):
        starts.append(int(start))
        return tf.zeros([1, end - start])

    in_item_blocks(scores_of, 400, tf.constant(1), tf.constant(1))
    assert starts == [0, 192, 384]


def test_what_is_hidden_or_added_outside_of_the_block_is_left_alone():
    block = tf.constant(SCORES[:2, 1:3])
    # Item 2 of the first row twice, item 1 of the second; items 0 and 3 stand in other blocks.
    hidden = hide(block, tf.constant(1), tf.constant([0, 0, 1, 1, 0]), tf.constant([2, 2, 1, 0, 3]))
    assert hidden.numpy().tolist() == [[0.25, NOTHING], [NOTHING, 1.0]]
    # The same item twice adds up.
    added = add_at(block, tf.constant(1), tf.constant([[1, 1, 0], [3, 2, 9]]), tf.constant([[1.0, 2.0, 4.0]] * 2))
    assert added.numpy().tolist() == [[3.25, 0.75], [2.0, 3.0]]
