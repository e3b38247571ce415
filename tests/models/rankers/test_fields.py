"""Features as fields: their order, absent values, means over histories, and the shortcut over the whole table."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.rankers.fields import TableFields, flattened, repeated, with_repeated
from tests import tiny_world
from tests.layer_checks import check_layer


def table() -> FeatureLookup:
    """Three rows and the unknown one: a category, and a modality of width 2 that the last row lacks."""
    shapes = {"categorical": {"kind": [4]}, "vectors": {"text": [4, 2]}, "masks": {"text": [4]}}
    lookup = FeatureLookup(shapes=shapes, size=4, id_vocabulary_size=4, vocabulary_sizes={"kind": 3})
    lookup.id_index.assign([0, 1, 2, 3])
    lookup.tables["categorical"]["kind"].assign([0, 1, 2, 1])
    lookup.tables["vectors"]["text"].assign([[0, 0], [1, 2], [3, -1], [50, 50]])
    lookup.tables["masks"]["text"].assign([False, True, True, False])
    return lookup


def fields(lookup=None) -> TableFields:
    layer = TableFields(lookup or table(), dim=1)
    layer(tf.constant([1]), tf.constant([1]))
    layer.ids.embeddings.assign([[100], [1], [2], [3]])
    layer.side.embeddings["kind"].assign([[200], [10], [20]])
    # W = (2, 3), the presence's weight 5, the stand-in 7.
    layer.projections["text"].set_weights([np.array([[2.0], [3.0], [5.0]]), np.array([7.0])])
    return layer


def test_passes_the_layer_checks(tmp_path):
    index = np.array([[1, 2], [3, 0]], np.int32)
    arguments = {"id_index": index}
    check_layer(
        lambda: TableFields(table(), dim=3), index, tmp_path, call_arguments=arguments, expected_shape=(2, 2, 3, 3)
    )


def test_fields_by_hand():
    found = fields()(tf.constant([1, 2, 3]), tf.constant([1, 0, 3]))
    # id, category, text: 1*2 + 2*3 + 5 + 7, 3*2 - 1*3 + 5 + 7, and the stand-in, whatever the row holds.
    np.testing.assert_allclose(found[..., 0], [[1, 10, 20], [100, 20, 15], [3, 10, 7]])


def test_what_is_left_out_and_what_stands_in():
    layer, index = fields(), tf.constant([1, 3])
    assert layer(index, index, without={"text": True})[:, 2, 0].numpy().tolist() == [7.0, 7.0]
    # The first row keeps its text, as by hand above; the other has none.
    assert layer(index, index, without={"text": [False, True]})[:, 2, 0].numpy().tolist() == [20.0, 7.0]
    assert layer(index, index, without={"text": [True, False]})[:, 2, 0].numpy().tolist() == [7.0, 7.0]
    other = {"text": tf.constant([[1.0, 0.0], [1.0, 0.0]])}
    # 2 + 5 + 7 for the row that has a text; the other has none for another to stand in for.
    assert layer(index, index, vectors=other)[:, 2, 0].numpy().tolist() == [14.0, 7.0]


@pytest.mark.parametrize("size", [4, 100], ids=["by the whole table", "by rows"])
def test_means_over_what_is_present_and_has_the_field(size):
    layer = fields()
    layer.lookup.size = size
    history = tf.constant([[0, 1, 2, 3]])
    found = layer(history, history, present=history > 0)
    # ids (1 + 2 + 3) / 3; categories (10 + 20 + 10) / 3; texts of those that have one (20 + 15) / 2
    np.testing.assert_allclose(found[..., 0], [[2, 40 / 3, 17.5]], rtol=1e-6)


@pytest.mark.parametrize("size", [4, 100], ids=["by the whole table", "by rows"])
def test_means_over_nothing(size):
    layer = fields()
    layer.lookup.size = size
    history = tf.constant([[0, 3, 0, 0], [0, 0, 0, 0]])
    found = layer(history, history, present=history > 0)
    # An item without a text, and no item at all: the stand-in of the text, and otherwise nothing to say.
    np.testing.assert_allclose(found[..., 0], [[3, 10, 7], [0, 0, 7]])


def test_the_whole_table_gives_the_same_as_single_rows():
    lookup = FeatureLookup.from_table(tiny_world.item_table())
    layer = TableFields(lookup, dim=5)
    index = tf.constant(np.random.default_rng(0).integers(0, 31, [12, 4]), tf.int32)
    ids = tf.gather(lookup.id_index, index)
    whole = layer(index, ids).numpy()
    assert whole.shape == (12, 4, layer.count, 5) and layer.count == 6
    few = np.stack([layer(*rows).numpy() for rows in zip(index, ids)])
    np.testing.assert_allclose(whole, few, atol=1e-6)


def test_fields_of_an_index_of_unknown_size():
    layer = fields()
    call = tf.function(lambda index: layer(index, index), input_signature=[tf.TensorSpec([None, None], tf.int32)])
    found = call(tf.constant([[1, 2], [3, 1]]))
    np.testing.assert_allclose(found[..., 0], [[[1, 10, 20], [2, 20, 15]], [[3, 10, 7], [1, 10, 20]]])


def test_rows_are_repeated_for_each_item_of_a_group():
    values = tf.constant([[1.0], [2.0]])
    assert repeated(values, tf.zeros([6, 3])).numpy().ravel().tolist() == [1, 1, 1, 2, 2, 2]
    assert repeated(values, tf.zeros([2, 3])).numpy().ravel().tolist() == [1, 2]
    added = with_repeated(tf.constant([[1.0, 2.0], [3.0, 4.0]]), values)
    assert added.numpy().tolist() == [[2, 3], [5, 6]]


@pytest.mark.parametrize("is_known", [True, False])
def test_added_to_each_item_of_its_user_or_to_nobodys(is_known):
    sizes = [tf.TensorSpec([rows if is_known else None, 2]) for rows in (6, 2)]
    add = tf.function(with_repeated, input_signature=sizes)
    pairs = tf.reshape(tf.range(12.0), [6, 2])
    added = add(pairs, tf.constant([[100.0, 200.0], [300.0, 400.0]]))
    assert added.numpy().tolist() == [[100, 201], [102, 203], [104, 205], [306, 407], [308, 409], [310, 411]]
    if not is_known:
        assert add(tf.zeros([0, 2]), tf.zeros([0, 2])).shape == (0, 2)
    assert flattened(tf.zeros([2, 3, 4])).shape == (2, 12)
