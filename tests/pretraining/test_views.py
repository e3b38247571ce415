"""What the stages over items share."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.pretraining.views import arrays_of, check_names, choose_one, count_present, items_with
from tests import tiny_world


def masks(*rows):
    return {name: tf.constant(column) for name, column in zip(("audio", "image", "text"), np.array(rows, bool).T)}


def test_one_of_the_present_modalities_is_chosen_each_as_often_as_the_others():
    present = masks(*[[1, 0, 1]] * 2000)
    chosen = choose_one(present, tf.constant([3, 4]), draw=0)
    counts = {name: int(mask.numpy().sum()) for name, mask in chosen.items()}
    assert counts["image"] == 0 and counts["audio"] + counts["text"] == 2000
    # Half of 2000 draws, within four deviations (sqrt(2000) / 2 = 22).
    assert abs(counts["text"] - 1000) < 90


def test_choosing_depends_on_seed_and_draw_alone():
    present = masks(*[[1, 1, 1]] * 50)

    def chosen(seed, draw):
        return np.stack(list(choose_one(present, tf.constant(seed), draw).values())).tolist()

    assert chosen([1, 2], 0) == chosen([1, 2], 0)
    assert chosen([1, 2], 0) != chosen([1, 3], 0) != chosen([1, 2], 1) != chosen([1, 2], 0)


def test_of_a_row_with_nothing_nothing_is_chosen():
    chosen = choose_one(masks([0, 0, 0], [0, 1, 0]), tf.constant([0, 0]), draw=0)
    assert {name: mask.numpy().tolist() for name, mask in chosen.items()} == {
        "audio": [False, False],
        "image": [False, True],
        "text": [False, False],
    }


def test_present_modalities_are_counted():
    assert count_present(masks([0, 0, 0], [1, 0, 1], [1, 1, 1])).numpy().tolist() == [0, 2, 3]


def test_items_with_several_modalities():
    table = tiny_world.item_table()
    text, image = (tiny_world.modalities()[name][1] for name in ("text", "image"))
    assert items_with(table, 2, "s").tolist() == (np.flatnonzero(text & image) + 1).tolist()
    assert items_with(table, 1, "s").tolist() == (np.flatnonzero(text | image) + 1).tolist()
    # Item 17 has neither.
    assert tiny_world.WITHOUT_MODALITIES + 1 not in items_with(table, 1, "s")


def test_too_few_modalities_are_refused_by_name():
    table = tiny_world.item_table()
    del table.masks["text"]
    with pytest.raises(ConfigError, match="stage cross_modal needs 2 .* schema.item has 1: image"):
        items_with(table, 2, "cross_modal")


def test_a_catalogue_without_such_items_is_refused():
    table = tiny_world.item_table()
    table.masks["text"] = ~table.masks["image"]
    with pytest.raises(DataError, match="at least 2 of image, text, and none has"):
        items_with(table, 2, "cross_modal")


def test_names_that_are_no_modality_are_refused():
    check_names(["text"], tiny_world.item_table(), "denoising.modalities")
    with pytest.raises(ConfigError, match="denoising.modalities names 'price'.*image, text"):
        check_names(["price"], tiny_world.item_table(), "denoising.modalities")


def test_a_stage_depends_on_every_array_of_the_tables():
    def changed(table: FeatureTable):
        return [not np.array_equal(one, other) for one, other in zip(arrays_of(table), arrays_of(original))]

    original = tiny_world.item_table()
    assert not any(changed(tiny_world.item_table()))
    for group, name in (("vectors", "text"), ("masks", "image"), ("categorical", "category"), ("numbers", "price")):
        table = tiny_world.item_table()
        array = getattr(table, group)[name]
        getattr(table, group)[name] = ~array if array.dtype == bool else array + 1
        assert sum(changed(table)) == 1
