"""Embeddings that take on something of their neighbours."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.sparse import csr_matrix

from mmrec_tf.models.graph_propagation import GraphSmoothing, LightGCN
from tests.layer_checks import check_layer

RANDOM = np.random.default_rng(0)
SIZE, WIDTH, DIM = 7, 3, 4
INDICES = RANDOM.integers(1, SIZE, [SIZE, WIDTH]).astype(np.int32)
WEIGHTS = RANDOM.random([SIZE, WIDTH]).astype(np.float32) / WIDTH
INDICES[0] = WEIGHTS[0] = 0
TABLE = RANDOM.normal(size=[SIZE, DIM]).astype(np.float32)
# Users 0 to 4 and items 0 to 3; user 3 and item 2 have nothing, and what counts 2 is there twice.
POSITIVES = np.array([[1, 0, 0, 2], [0, 1, 0, 0], [1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], np.float32)
USERS, ITEMS = (RANDOM.normal(size=[rows, DIM]).astype(np.float32) for rows in (6, 5))


def smoothing(**options) -> GraphSmoothing:
    layer = GraphSmoothing(SIZE, WIDTH, **options)
    layer.set_graph(INDICES, WEIGHTS)
    return layer


def light_gcn(edges=9, **options) -> LightGCN:
    layer = LightGCN(users=6, items=5, edges=edges, **options)
    layer.set_edges(csr_matrix(POSITIVES))
    return layer


def dense_graph() -> np.ndarray:
    graph = np.zeros([SIZE, SIZE])
    for row in range(SIZE):
        for neighbour, weight in zip(INDICES[row], WEIGHTS[row]):
            graph[row, neighbour] += weight
    return graph


def test_smoothing_passes_the_layer_checks(tmp_path):
    check_layer(lambda: smoothing(layers=2), TABLE, tmp_path, expected_shape=(SIZE, DIM))


def test_light_gcn_passes_the_layer_checks(tmp_path):
    check_layer(light_gcn, (USERS, ITEMS), tmp_path, expected_shape=((6, DIM), (5, DIM)), is_trainable=False)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_smoothing_is_a_power_of_the_dense_graph(layers):
    expected = TABLE + 0.5 * np.linalg.matrix_power(dense_graph(), layers) @ TABLE
    layer = smoothing(layers=layers, share=0.5)
    np.testing.assert_allclose(layer(TABLE), expected, rtol=1e-5, atol=1e-6)
    asked = np.array([4, 0, 4, 2], np.int32)
    np.testing.assert_allclose(layer(TABLE, index=asked), expected[asked], rtol=1e-5, atol=1e-6)
    # The unknown item has no neighbours.
    np.testing.assert_array_equal(layer(TABLE)[0], TABLE[0])


def test_what_one_layer_adds_is_made_of_the_neighbours_rows_alone():
    asked, looked_up = np.array([4, 0, 4, 2], np.int32), []

    def rows(index):
        looked_up.append(index.numpy())
        return tf.gather(TABLE, index)

    found = smoothing(share=0.5).added(rows, asked)
    np.testing.assert_allclose(found, 0.5 * (dense_graph() @ TABLE)[asked], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.concatenate(looked_up), INDICES[asked])


def test_gradients_of_smoothing():
    layer, table = smoothing(share=0.5), tf.constant(TABLE)
    with tf.GradientTape() as tape:
        tape.watch(table)
        loss = tf.reduce_sum(layer(table) * TABLE)
    by_table, by_share = tape.gradient(loss, [table, layer.neighbours_share])
    # Of x' (1 + s A) e to e it is (1 + s A)' x, to s it is x' A e.
    np.testing.assert_allclose(tf.convert_to_tensor(by_table), TABLE + 0.5 * dense_graph().T @ TABLE, rtol=1e-5)
    np.testing.assert_allclose(by_share, np.sum(TABLE * (dense_graph() @ TABLE)), rtol=1e-5)


def test_whether_the_share_is_learned():
    assert [weight.shape for weight in smoothing().trainable_weights] == [[]]
    assert smoothing(learned=False).trainable_weights == []


def test_without_a_graph_nothing_changes():
    np.testing.assert_array_equal(GraphSmoothing(SIZE, WIDTH)(TABLE), TABLE)
    for found, given in zip(LightGCN(6, 5, 4)((USERS, ITEMS)), (USERS, ITEMS)):
        np.testing.assert_array_equal(found, given)


def dense_propagation(layers):
    """The mean of D^-1/2 A D^-1/2 to the powers 0 to `layers`, and what nothing is linked with left alone."""
    linked = np.zeros([11, 11])
    linked[1:6, 7:] = POSITIVES > 0
    linked += linked.T
    degrees = linked.sum(axis=1)
    scale = np.divide(1.0, np.sqrt(degrees), out=np.zeros(11), where=degrees > 0)
    graph = scale[:, None] * linked * scale
    mean = sum(np.linalg.matrix_power(graph, power) for power in range(layers + 1)) / (layers + 1)
    return np.where(degrees[:, None] > 0, mean, np.eye(11))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_light_gcn_is_a_mean_of_powers_of_the_dense_graph(layers):
    expected = dense_propagation(layers) @ np.concatenate([USERS, ITEMS])
    found = light_gcn(layers=layers)((USERS, ITEMS))
    np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-5, atol=1e-6)
    # Row 0 of each, the fourth user and the third item have nobody.
    np.testing.assert_array_equal(found[0].numpy()[[0, 4]], USERS[[0, 4]])
    np.testing.assert_array_equal(found[1].numpy()[[0, 3]], ITEMS[[0, 3]])


def test_gradients_of_light_gcn():
    layer, tables = light_gcn(edges=7), [tf.constant(USERS), tf.constant(ITEMS)]
    with tf.GradientTape() as tape:
        tape.watch(tables)
        users, items = layer(tables)
        loss = tf.reduce_sum(users * USERS) + tf.reduce_sum(items * ITEMS)
    gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, tables)]
    expected = dense_propagation(2).T @ np.concatenate([USERS, ITEMS])
    np.testing.assert_allclose(np.concatenate(gradients), expected, rtol=1e-5, atol=1e-6)


def test_edges_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="made for 6 pairs of 5 users and 4 items, got 7 pairs of 5 and 4"):
        light_gcn(edges=6)
    with pytest.raises(ValueError, match="got 7 pairs of 5 and 3"):
        LightGCN(6, 5, 9).set_edges(csr_matrix(POSITIVES[:, [0, 1, 3]]))


@pytest.mark.parametrize("layer", [lambda: GraphSmoothing(3, 2, layers=0), lambda: LightGCN(3, 2, 1, layers=0)])
def test_no_layers_are_refused(layer):
    with pytest.raises(ValueError, match="layers is 0; propagation needs 1 or more"):
        layer()
