"""An item as the towers see it."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.fusion import ConcatFusion
from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.graph_propagation import GraphSmoothing
from mmrec_tf.models.item_embedding import ItemEmbedding, hide_ids
from tests import tiny_world
from tests.layer_checks import check_layer

EVERY_INDEX = np.arange(tiny_world.ITEMS + 1, dtype=np.int32)


def items(dim=8, **options) -> ItemEmbedding:
    return ItemEmbedding(FeatureLookup.from_table(tiny_world.item_table()), ConcatFusion(dim), dim, **options)


def test_passes_the_layer_checks(tmp_path):
    check_layer(lambda: items(id_dropout=0.3), EVERY_INDEX, tmp_path, expected_shape=(31, 8))


@pytest.mark.parametrize("layers", [1, 2])
def test_passes_the_layer_checks_with_neighbours(layers, tmp_path):
    check_layer(
        lambda: of_numbers([1, 2, 3, 4, 5], layers), np.array([1, 4], np.int32), tmp_path, expected_shape=(2, 1)
    )


def test_the_parts_are_summed():
    layer = items()
    layer(EVERY_INDEX)
    whole = layer(EVERY_INDEX).numpy()
    features = layer.lookup(EVERY_INDEX)
    content = layer.fusion(features["vectors"], features["masks"]).numpy()
    fields = layer.side({name: features[name] for name in ("categorical", "multi_categorical", "numbers")}).numpy()
    side = fields.reshape(31, -1) @ layer.mix_side.kernel.numpy() + layer.mix_side.bias.numpy()
    ids = layer.ids.embeddings.numpy()[tiny_world.item_table().id_index]
    np.testing.assert_allclose(whole, ids + side + content, atol=1e-5)


def test_new_items_share_the_unknown_id_and_differ_by_content():
    layer = items()
    new = np.array([28, 29, 30], np.int32)
    before = layer(new).numpy()
    assert np.abs(before[0] - before[1]).max() > 1e-3
    layer.ids.embeddings.assign(tf.tensor_scatter_nd_add(layer.ids.embeddings, [[0]], [tf.ones([8])]))
    np.testing.assert_allclose(layer(new).numpy(), before + 1.0, atol=1e-5)


def test_other_vectors_stand_in_for_the_stored_ones():
    layer = items()
    index = np.array([5, 6], np.int32)
    stored = {"image": tiny_world.item_table().vectors["image"][index]}
    before = layer(index).numpy()
    np.testing.assert_allclose(layer(index, vectors=stored), before, atol=1e-6)
    # Linear in the vector: twice the way, twice the change.
    once, twice = (layer(index, vectors={"image": stored["image"] + step}).numpy() - before for step in (1.0, 2.0))
    assert np.abs(once).max() > 0.01
    np.testing.assert_allclose(twice, 2 * once, atol=1e-5)


def test_without_ids_all_take_the_unknown_one():
    layer = items()
    layer(EVERY_INDEX)
    ids = layer.ids.embeddings.numpy()
    change = ids[0] - ids[tiny_world.item_table().id_index]
    for training in (False, True):
        without = layer(EVERY_INDEX, training=training, without_ids=True)
        np.testing.assert_allclose(without, layer(EVERY_INDEX).numpy() + change, atol=1e-5)


def test_ids_alone():
    lookup = FeatureLookup(shapes={}, size=3, id_vocabulary_size=3, vocabulary_sizes={})
    lookup.id_index.assign([0, 1, 2])
    layer = ItemEmbedding(lookup, ConcatFusion(2), 2)
    index = np.array([2, 0], np.int32)
    layer(index)
    layer.ids.embeddings.assign([[1, 2], [3, 4], [5, 6]])
    assert layer(index).numpy().tolist() == [[5, 6], [1, 2]]
    assert len(layer.trainable_weights) == 1


@pytest.mark.parametrize("layers", [1, 2])
def test_what_neighbours_add_by_hand(layers):
    layer = of_numbers([1, 2, 3, 4, 5], layers)
    # Of item 1 the neighbour is 2, of 2 it is 3, of 3 and 4 there is none; row 0 is the unknown item.
    expected = {1: [1, 2 + 3, 3 + 4, 4, 5], 2: [1, 2 + 4, 3, 4, 5]}[layers]
    for index in ([0, 1, 2, 3, 4], [1, 4], [2]):
        found = layer(np.array(index, np.int32)).numpy()[:, 0]
        np.testing.assert_allclose(found, np.array(expected)[index], rtol=1e-6)


def test_a_step_touches_the_ids_that_it_looks_up_and_their_neighbours_alone():
    layer, index = of_numbers([1, 2, 3, 4, 5], 1), np.array([1, 4], np.int32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(index))
    (gradient,) = tape.gradient(loss, layer.ids.trainable_weights)
    # Row 0 stands for the neighbours that are not there.
    assert set(gradient.indices.numpy()) == {0, 1, 2, 4}
    np.testing.assert_allclose(tf.convert_to_tensor(gradient)[:, 0], [0, 1, 1, 0, 1])


def of_numbers(ids, layers) -> ItemEmbedding:
    """Items that are nothing but their ids, each a number, and the chain 1 -> 2 -> 3."""
    size = len(ids)
    lookup = FeatureLookup(shapes={}, size=size, id_vocabulary_size=size, vocabulary_sizes={})
    lookup.id_index.assign(np.arange(size))
    graph = GraphSmoothing(size, 2, layers)
    indices, weights = np.zeros([size, 2], np.int32), np.zeros([size, 2], np.float32)
    indices[1:3, 0], weights[1:3, 0] = [2, 3], 1.0
    graph.set_graph(indices, weights)
    layer = ItemEmbedding(lookup, ConcatFusion(1), 1, graph=graph)
    layer(np.arange(size, dtype=np.int32))
    layer.ids.embeddings.assign(np.array(ids, np.float32)[:, None])
    return layer


def test_ids_are_hidden_at_the_asked_rate_and_only_in_training():
    rate, rows = 0.3, 4000
    index = tf.ones([rows], tf.int32)
    tf.random.set_seed(1)
    hidden = 1 - hide_ids(index, rate, training=True).numpy().mean()
    # Four standard deviations of a binomial: 4 sqrt(0.3 * 0.7 / 4000) = 0.029.
    assert hidden == pytest.approx(rate, abs=0.029)
    assert hide_ids(index, rate, training=False).numpy().all()
    assert hide_ids(index, 0.0, training=True).numpy().all()


def test_a_hidden_id_takes_the_embedding_of_new_items():
    layer = items(id_dropout=0.999999)
    layer(EVERY_INDEX)
    found = layer(EVERY_INDEX, training=True).numpy()
    layer.lookup.id_index.assign(tf.zeros([31], tf.int32))
    np.testing.assert_allclose(found, layer(EVERY_INDEX).numpy(), atol=1e-6)
