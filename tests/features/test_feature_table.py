"""Users and items as numbers: index 0 is unknown, and nothing is fitted on what training has not seen."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.errors import DataError, RunError
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.schema import Schema

FEATURES = Schema(
    user={"u": "id"},
    item={"id": "id", "color": {"kind": "categorical"}, "tags": "multi_categorical", "price": "number"},
).item
GROUPS = ("categorical", "multi_categorical", "numbers", "vectors", "masks", "centres", "scales")


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["a", "b", "c", "d", "e"],
            "color": ["red", "blue", "", "green", "red"],
            "tags": [["x"], [], ["y", "x"], ["z", "x", "w"], ["y"]],
            "price": [1.0, 3.0, np.nan, 100.0, 5.0],
        }
    )


def modalities() -> dict:
    vectors = np.arange(10, dtype=np.float32).reshape(5, 2)
    mask = np.array([True, False, True, False, True])
    return {"photo": (vectors * mask[:, None], mask), "text": (np.ones((5, 3)) * mask[:, None], mask)}


def table(rows=(0, 1, 2, 4), data=None) -> FeatureTable:
    """Fitted on all rows but d, unless told otherwise."""
    return FeatureTable.build(frame() if data is None else data, FEATURES, np.array(rows, int), modalities())


def test_ids_of_training_count_from_one_and_new_ones_are_zero():
    items = table()
    assert items.ids == ["a", "b", "c", "d", "e"]
    assert items.size == 6
    assert items.id_index.tolist() == [0, 1, 2, 3, 0, 4]
    assert items.id_vocabulary_size == 5


def test_categories_are_those_of_training():
    items = table()
    # Of training: red twice, blue once. Green is d's alone, hence unknown.
    assert items.vocabularies["color"].values == ["red", "blue"]
    assert items.categorical["color"].tolist() == [0, 1, 2, 0, 0, 1]


def test_multi_categories_are_padded_with_zero():
    items = table()
    # Of training: x and y twice each; z and w are d's alone.
    assert items.vocabularies["tags"].values == ["x", "y"]
    assert items.multi_categorical["tags"].tolist() == [
        [0, 0, 0], [1, 0, 0], [0, 0, 0], [2, 1, 0], [0, 1, 0], [2, 0, 0],
    ]  # fmt: skip


def test_rare_categories_count_as_unknown():
    features = [f.model_copy(update={"min_count": 2}) if f.name == "color" else f for f in FEATURES]
    items = FeatureTable.build(frame(), features, np.arange(5))
    assert items.vocabularies["color"].values == ["red"]


def test_numbers_are_standardised_by_training_and_clipped():
    price = table().numbers["price"]
    # Of training 1, 3 and 5: mean 3, deviation sqrt(8 / 3) = 1.633. d's 100 is 59 deviations away: clipped to 5.
    deviation = np.sqrt(8 / 3)
    expected = [[0, 0], [-2 / deviation, 1], [0, 1], [0, 0], [5, 1], [2 / deviation, 1]]
    np.testing.assert_allclose(price, expected, rtol=1e-6)


@pytest.mark.parametrize("price", [7.0, 1e9 + 0.1])
def test_a_constant_number_says_nothing_even_of_new_items(price):
    data = frame().assign(price=[price, price, np.nan, 9.0, price])
    found = table(data=data).numbers["price"]
    assert found.tolist() == [[0, 0], [0, 1], [0, 1], [0, 0], [0, 1], [0, 1]]


def test_a_number_that_training_never_saw_says_nothing():
    data = frame().assign(price=[np.nan, np.nan, np.nan, 9.0, np.nan])
    found = table(data=data).numbers["price"]
    assert found.tolist() == [[0, 0], [0, 0], [0, 0], [0, 0], [0, 1], [0, 0]]
    assert not table(data=frame().assign(price=np.nan)).numbers["price"].any()


def test_a_modality_is_vectors_with_masks_and_the_unknown_has_none():
    items = table()
    # a (0, 1), c (4, 5) and e (8, 9) have a photo and are of training: their centre is (4, 5), their squared distances
    # from it 32, 0 and 32, so the scale is sqrt(64 / 3) = 4.619 and a becomes (-4, -4) / 4.619.
    far = 4 / np.sqrt(64 / 3)
    expected = [[0, 0], [-far, -far], [0, 0], [0, 0], [0, 0], [far, far]]
    np.testing.assert_allclose(items.vectors["photo"], expected, rtol=1e-6)
    np.testing.assert_array_equal(items.centres["photo"], [4, 5])
    assert items.scales["photo"] == pytest.approx(np.sqrt(64 / 3))
    assert items.masks["photo"].tolist() == [False, True, False, True, False, True]
    assert items.widths == {"photo": 2, "text": 3}
    # Item b has no modality at all, and is there all the same.
    assert not items.masks["photo"][2] and not items.masks["text"][2]
    assert items.id_index[2] == 2


def test_vectors_are_centred_and_scaled_by_training_alone():
    # Without e: the centre of (0, 1) and (4, 5) is (2, 3), both at a squared distance of 8.
    items = table(rows=[0, 2])
    near, far = 2 / np.sqrt(8), 6 / np.sqrt(8)
    expected = [[0, 0], [-near, -near], [0, 0], [near, near], [0, 0], [far, far]]
    np.testing.assert_allclose(items.vectors["photo"], expected, rtol=1e-6)


def test_vectors_that_are_all_the_same_or_unseen_in_training_stay_finite():
    items = table()
    # All text vectors are (1, 1, 1): nothing is left of them but the mask.
    assert not items.vectors["text"].any() and items.masks["text"].sum() == 3
    # Nothing of training has a modality: vectors are taken as they are.
    np.testing.assert_array_equal(table(rows=[1, 3]).vectors["photo"][1:], modalities()["photo"][0])


def test_untrained_rows_change_nothing_in_the_others():
    changed = frame()
    changed.loc[3, ["color", "price"]] = ["violet", -1e6]
    changed.at[3, "tags"] = ["q", "r", "s"]
    changed.loc[3, "id"] = "D"
    one, other = table(), table(data=changed)
    rows = [0, 1, 2, 3, 5]
    for group in ("categorical", "multi_categorical", "numbers"):
        for name, array in getattr(one, group).items():
            np.testing.assert_array_equal(array[rows], getattr(other, group)[name][rows])
    assert {n: v.values for n, v in one.vocabularies.items()} == {n: v.values for n, v in other.vocabularies.items()}
    np.testing.assert_array_equal(one.id_index, other.id_index)


def test_trained_rows_do_change_the_statistics():
    # The counterpart of the test above: fitted on d too, its values count.
    items = table(rows=range(5))
    assert "green" in items.vocabularies["color"].values
    assert items.numbers["price"][4, 0] < 5


def test_no_trained_rows_and_empty_frames():
    items = table(rows=[])
    assert items.id_vocabulary_size == 1 and not items.id_index.any()
    assert items.vocabularies["tags"].size == 1
    empty = FeatureTable.build(frame().iloc[:0], FEATURES, np.array([], int))
    assert empty.size == 1
    assert empty.multi_categorical["tags"].shape == (1, 1)


def test_save_and_load_give_the_same_table(tmp_path):
    one = table()
    one.numbers["with/slash and Ümlaut"] = one.numbers["price"]
    one.save(tmp_path / "items")
    other = FeatureTable.load(tmp_path / "items")
    for field in dataclasses.fields(FeatureTable):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name in GROUPS:
            assert a.keys() == b.keys()
            for name in a:
                np.testing.assert_array_equal(a[name], b[name])
                assert a[name].dtype == b[name].dtype
        elif field.name == "vocabularies":
            assert {n: v.values for n, v in a.items()} == {n: v.values for n, v in b.items()}
        else:
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["arrays.npz", "vocabularies.json"])
def test_a_missing_file_is_named(tmp_path, name):
    table().save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(RunError, match=f"{name} is not there.*mmrec train"):
        FeatureTable.load(tmp_path)


def test_constant_vectors_become_zeros_and_one_that_differs_stays_of_its_size():
    # All of training alike: their mean is what they are, and their distance from it nothing, so that the scale is 1.
    vectors = np.full((5, 3), 0.1, np.float32)
    vectors[3] += 2.0
    items = FeatureTable.build(frame(), FEATURES, np.array([0, 1, 2, 4]), {"text": (vectors, np.ones(5, bool))})
    np.testing.assert_allclose(items.centres["text"], np.full(3, 0.1), rtol=1e-6)
    assert items.scales["text"] == 1.0
    np.testing.assert_allclose(items.vectors["text"], [[0] * 3] * 4 + [[2] * 3] + [[0] * 3], atol=1e-6)


def test_the_largest_constant_vectors_stay_finite():
    vectors = np.full((5, 3), 3e38, np.float32)
    items = FeatureTable.build(frame(), FEATURES, np.arange(5), {"text": (vectors, np.ones(5, bool))})
    np.testing.assert_array_equal(items.vectors["text"], np.zeros((6, 3)))


def test_a_vector_that_is_not_finite_names_its_item():
    vectors = np.ones((5, 3), np.float32)
    vectors[[1, 3]] = np.nan
    mask = np.array([True, False, True, True, True])
    # Row b has none, so what stands in its place does not matter.
    with pytest.raises(DataError, match="1 of 5 vectors in 'text' are not finite, the first that of 'd'"):
        FeatureTable.build(frame(), FEATURES, np.arange(5), {"text": (vectors, mask)})


def test_a_ranker_knows_the_ids_of_what_was_disliked_too():
    found = FeatureTable.build(frame(), FEATURES, np.array([0, 2]), modalities(), met_rows=np.array([0, 1, 2, 4]))
    assert found.id_index.tolist() == [0, 1, 0, 2, 0, 0] and found.id_vocabulary_size == 3
    # Positives first, in the same places; then those that were met otherwise.
    ranked = found.of_all_met()
    assert ranked.id_index.tolist() == [0, 1, 3, 2, 0, 4] and ranked.id_vocabulary_size == 5
    # Vocabularies stay those of the positives.
    assert ranked.vocabularies["color"].values == ["red"]
    assert table().of_all_met().id_index.tolist() == table().id_index.tolist()


def test_a_table_of_an_earlier_version(tmp_path):
    table().save(tmp_path)
    with np.load(tmp_path / "arrays.npz") as arrays:
        np.savez(tmp_path / "arrays.npz", **{name: arrays[name] for name in arrays.files if name != "met_index"})
    with pytest.raises(RunError, match="earlier version. Train again"):
        FeatureTable.load(tmp_path)


def test_when_an_item_came_out_is_a_number():
    schema = Schema(user={"u": "id"}, item={"id": "id", "released": "timestamp"})
    days = pd.DataFrame({"id": ["a", "b", "c", "d"], "released": [86400.0, 3 * 86400.0, np.nan, 7 * 86400.0]})
    built = FeatureTable.build(days, schema.item, np.array([0, 1]))
    # Of the two that training has seen the mean is the second day, one day from each; the last is five days behind it.
    np.testing.assert_allclose(built.numbers["released"], [[0, 0], [-1, 1], [1, 1], [0, 0], [5, 1]])


def test_vectors_are_scaled_by_all_blocks(monkeypatch):
    expected = table()
    monkeypatch.setattr("mmrec_tf.features.feature_table._BLOCK", 2)
    found = table()
    for name in expected.vectors:
        np.testing.assert_allclose(found.vectors[name], expected.vectors[name], rtol=1e-6)
        assert found.scales[name] == pytest.approx(expected.scales[name])
