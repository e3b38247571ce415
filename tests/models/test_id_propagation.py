"""LightGCN over the ids of a two-tower model."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.sparse import csr_matrix

from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.id_propagation import IdPropagation
from tests import tiny_world
from tests.layer_checks import check_layer

# User 1 has items 1 and 2, user 2 item 2; user 3 and item 3 have nothing.
POSITIVES = csr_matrix(np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], np.float32))
USERS = np.array([[9.0], [1.0], [2.0], [3.0]], np.float32)
ITEMS = np.array([[9.0], [10.0], [20.0], [30.0]], np.float32)


def propagation() -> IdPropagation:
    layer = IdPropagation(users=4, items=4, dim=1, layers=1)
    layer.set_edges(POSITIVES)
    return layer


def test_passes_the_layer_checks(tmp_path):
    tables = (tf.random.normal([4, 3]), tf.random.normal([5, 3]))
    check_layer(
        lambda: IdPropagation(users=4, items=5, dim=3),
        tables,
        tmp_path,
        expected_shape=((4, 3), (5, 3)),
        is_trainable=False,
    )


def test_training_adds_what_neighbours_have():
    users, items = propagation()((tf.constant(USERS), tf.constant(ITEMS)), training=True)
    # Degrees: users 2, 1; items 1, 2. With one layer E' - E = (A E - E) / 2, and weights 1 / sqrt(d_u d_i).
    one, half, both = 1 / np.sqrt(2), 1 / 2, 1 / np.sqrt(2)
    expected = [[0], [(one * 10 + half * 20 - 1) / 2], [(both * 20 - 2) / 2], [0]]
    np.testing.assert_allclose(users, expected, rtol=1e-6)
    expected = [[0], [(one * 1 - 10) / 2], [(half * 1 + both * 2 - 20) / 2], [0]]
    np.testing.assert_allclose(items, expected, rtol=1e-6)


def test_who_asks_later_gets_what_was_settled():
    layer, tables = propagation(), (tf.constant(USERS), tf.constant(ITEMS))
    for added in layer(tables):
        np.testing.assert_array_equal(added, 0.0)
    layer.settle(tables)
    for settled, trained in zip(layer(tables), layer(tables, training=True)):
        np.testing.assert_array_equal(settled, trained)


def test_training_without_a_graph_is_refused():
    with pytest.raises(ValueError, match="no graph yet. Set it before training: propagation.set_edges"):
        IdPropagation(users=4, items=4, dim=1)((tf.constant(USERS), tf.constant(ITEMS)), training=True)


def built(**retrieval):
    settings = {"graph": {"light_gcn": 2}, "id_dropout": 0.0, "user_dropout": 0.0, "dropout": 0.0, **retrieval}
    tables = (tiny_world.user_table(), tiny_world.item_table())
    return build_two_tower(tiny_world.config(retrieval=settings), *tables, tiny_world.sequences().item_index)


def test_a_step_moves_ids_that_it_did_not_look_up():
    model = built(negatives={"source": "in_batch"}, history_length=0)
    model.propagation.set_edges(tiny_world.sequences().profiles(tiny_world.ITEMS))
    batch = {
        "user_index": tf.constant([1, 2]),
        "history": tf.zeros([2, 0], tf.int32),
        "item_index": tf.constant([1, 2]),
    }
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    gradient = tf.convert_to_tensor(tape.gradient(loss, model.items.ids.embeddings)).numpy()
    moved = np.flatnonzero(np.abs(gradient).sum(axis=1))
    assert len(moved) > 2


def test_settled_ids_are_saved_and_new_ones_take_on_nothing(tmp_path):
    model = built()
    model.propagation.set_edges(tiny_world.sequences().profiles(tiny_world.ITEMS))
    before = model.candidate_embeddings()
    model.settle()
    after = model.candidate_embeddings()
    trained = tiny_world.item_table().id_index > 0
    assert (np.abs(after - before)[trained].max(axis=1) > 1e-6).all()
    np.testing.assert_array_equal(after[~trained], before[~trained])
    model.save_weights(str(tmp_path / "model.weights.h5"))
    # Made without the data, as a finished run is.
    loaded = built()
    loaded.load_weights(str(tmp_path / "model.weights.h5"))
    np.testing.assert_allclose(loaded.candidate_embeddings(), after, rtol=1e-6)
    asked = {"user_index": np.array([1, 19]), "history": np.zeros((2, tiny_world.HISTORY), int)}
    np.testing.assert_allclose(loaded.query_embeddings(**asked), model.query_embeddings(**asked), rtol=1e-6)
