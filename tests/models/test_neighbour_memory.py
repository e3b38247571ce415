"""The neighbours' memory, by hand."""

import numpy as np
import tensorflow as tf

from mmrec_tf.models.neighbour_memory import NeighbourMemory
from tests.layer_checks import check_layer

# Items of rows 0 to 3, which are the table's indices 1 to 4; the second has one neighbour only.
NEIGHBOURS = np.array([[1, 2], [0, -1], [3, 0], [2, 1]], np.int32)
SIMILARITIES = np.array([[0.8, 0.4], [0.8, 0.0], [0.6, 0.2], [0.6, 0.1]], np.float32)


def memory(weight=1.0, half_life=1.0) -> NeighbourMemory:
    layer = NeighbourMemory(size=5, width=2)
    layer.remember(NEIGHBOURS, SIMILARITIES)
    layer.weight.assign(weight)
    layer.half_life.assign(half_life)
    return layer


def test_by_hand():
    found = memory(weight=2.0)(tf.constant([[0, 1, 3], [0, 0, 0], [0, 0, 2]])).numpy()
    # Item 3 counts 1 and item 1, one back, half of that, of together 1.5. Item 1 is near to 2 (0.8) and 3 (0.4), item 3
    # to 4 (0.6) and 1 (0.2).
    first = 2.0 / np.sqrt(1.5) * np.array([0.0, 0.2, 0.5 * 0.8, 0.5 * 0.4, 0.6])
    np.testing.assert_allclose(found[0, 1:], first[1:], rtol=1e-6)
    np.testing.assert_array_equal(found[1], 0.0)
    np.testing.assert_allclose(found[2, 1:], [1.6, 0.0, 0.0, 0.0], rtol=1e-6)


def test_a_neighbour_of_several_items_counts_for_each():
    found = memory(half_life=1e9)(tf.constant([[2, 3]])).numpy()
    # Item 1 is a neighbour of both: 0.8 + 0.2.
    np.testing.assert_allclose(found[0, 1:], np.array([1.0, 0.0, 0.0, 0.6]) / np.sqrt(2), rtol=1e-6)


def test_fewer_neighbours_than_there_is_room_for():
    layer = NeighbourMemory(size=5, width=3)
    layer.remember(NEIGHBOURS, SIMILARITIES)
    layer.weight.assign(1.0)
    np.testing.assert_allclose(layer(tf.constant([[4]])).numpy()[0, 1:], [0.0, 0.1, 0.6, 0.0], rtol=1e-6)


def test_passes_the_layer_checks(tmp_path):
    history = np.array([[0, 1, 3], [2, 2, 4]], np.int32)
    check_layer(memory, history, tmp_path, expected_shape=(2, 5), is_trainable=False, has_float32_output=True)
