"""The catalogue's features inside the model."""

import numpy as np

from mmrec_tf.models.feature_lookup import FeatureLookup
from tests import tiny_world
from tests.layer_checks import check_layer


def test_passes_the_layer_checks(tmp_path):
    check_layer(
        lambda: FeatureLookup.from_table(tiny_world.item_table(), name="items"),
        np.array([3, 0, 30], np.int32),
        tmp_path,
        expected_shape={
            "id_index": (3,),
            "categorical": {"category": (3,)},
            "multi_categorical": {"tags": (3, 2)},
            "numbers": {"price": (3, 2)},
            "vectors": {"text": (3, 6), "image": (3, 4)},
            "masks": {"text": (3,), "image": (3,)},
        },
        is_trainable=False,
        has_float32_output=True,
    )


def test_rows_are_the_tables_whatever_the_shape_of_the_index():
    table = tiny_world.item_table()
    index = np.array([[1, 0, 30], [18, 18, 5]], np.int32)
    found = FeatureLookup.from_table(table)(index)
    np.testing.assert_array_equal(found["id_index"], table.id_index[index])
    for group in ("categorical", "multi_categorical", "numbers", "vectors", "masks"):
        assert found[group].keys() == getattr(table, group).keys()
        for name, array in getattr(table, group).items():
            np.testing.assert_array_equal(found[group][name], array[index])


def test_sizes_are_those_of_the_table():
    table = tiny_world.user_table()
    lookup = FeatureLookup.from_table(table)
    # 18 active users and the unknown; two countries and the unknown.
    assert (lookup.size, lookup.id_vocabulary_size) == (21, 19)
    assert lookup.vocabulary_sizes == {"country": 3}
    assert lookup.has_side_features and not lookup.has_modalities


def test_an_id_alone_is_enough():
    lookup = FeatureLookup(shapes={}, size=4, id_vocabulary_size=3, vocabulary_sizes={})
    assert not lookup.has_side_features and not lookup.has_modalities
    assert lookup(np.array([1, 3]))["id_index"].shape == (2,)


def test_what_was_met_may_have_no_id():
    table = tiny_world.item_table()
    table.met_index = table.id_index + np.where(np.arange(table.size) == 29, 99, 0)
    lookup = FeatureLookup.from_table(table)
    np.testing.assert_array_equal(lookup.is_met, [0] + [1] * 27 + [0, 1, 0])
    np.testing.assert_array_equal(lookup.id_index, table.id_index)
