"""What each field adds to a score: against closed forms, and against the difference that must be shared out."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.models.rankers import ranker_names
from mmrec_tf.models.rankers.field_contributions import field_contributions, field_names, table_features
from tests import tiny_world
from tests.models.rankers.worlds import only_ids, pairs, randomized, with_trends


def two_pairs():
    return {
        "user_index": tf.constant([1, 1]),
        "item_index": tf.constant([1, 2]),
        "history": tf.zeros([2, 0], tf.int32),
    }


def test_a_factorisation_machine_shares_each_product_between_its_fields():
    model = only_ids("fm", items=3)
    # The items' fields are (-0.25; 3, -1) and (7; 7, 7), their mean (3.375; 5, 3); the user's is (0.5; 1, 2) for both.
    # The item's slope is the user's vector: w - 3.375 + (v - (5, 3)) . (1, 2) = -3.625 - 2 - 8 for the first item.
    found = field_contributions(model, two_pairs(), steps=1)
    np.testing.assert_allclose(found["item", "id"], [-3.625 - 10.0, 3.625 + 10.0], rtol=1e-5)
    np.testing.assert_allclose(found["user", "id"], 0.0)


def test_of_two_fields_that_change_each_has_half_of_what_they_say_together():
    model = only_ids("fm", items=3)
    model.user_fields.ids.embeddings.assign([[9, 9, 9], [0.5, 1, 2]])
    # Users 1 and 0 (its id's row is (9; 9, 9)): mean (4.75; 5, 5.5), away (-4.25; -4, -3.5) and (4.25; 4, 3.5).
    asked = {**two_pairs(), "user_index": tf.constant([1, 0])}
    found = field_contributions(model, asked, steps=1)
    # Slopes at the middle of the path: the item's vectors there are ((3, -1) + (5, 3)) / 2 = (4, 1) and
    # ((7, 7) + (5, 3)) / 2 = (6, 5); the user's (1 + 5, 2 + 5.5) / 2 = (3, 3.75) and (9 + 5, 9 + 5.5) / 2 = (7, 7.25).
    user = [-4.25 - 4 * 4 - 3.5 * 1, 4.25 + 4 * 6 + 3.5 * 5]
    item = [-3.625 - 2 * 3 - 4 * 3.75, 3.625 + 2 * 7 + 4 * 7.25]
    np.testing.assert_allclose(found["user", "id"], user, rtol=1e-5)
    np.testing.assert_allclose(found["item", "id"], item, rtol=1e-5)


@pytest.mark.parametrize("name", ["deepfm", "din", "bst", "mmoe"])
def test_contributions_add_up_to_the_difference_from_the_average(name):
    model = with_trends(randomized(tiny_world.ranker(model=name, dropout=0.0), scale=0.05))
    asked = pairs(group=None)
    added = np.sum(list(field_contributions(model, asked, steps=400).values()), axis=0)
    scores = model.target_scores(asked)["click"].numpy()
    # All start from one average pair, whose score is not known here: what is left of each must be that score.
    # Rectifiers have kinks, and near the average pair a layer normalisation is steep, so the quadrature is not exact.
    assert np.ptp(scores) > 0.1 and np.ptp(scores - added) < 0.1 * np.ptp(scores)


def test_names_stand_in_the_order_of_the_fields():
    model = with_trends(tiny_world.ranker(model="fm"))
    of_item = ["id", "category", "tags", "price", "image", "text"]
    assert table_features(model.items) == of_item
    item, user = field_names(model, item_fields=9, user_fields=15)
    assert item == [("item", name) for name in of_item] + [("item", "trend")] + [("item", "target statistics")] * 2
    assert user == [("user", name) for name in ("id", "country", "age")] + [("history", "items")] * 12


# ESMM is none without a second target; it is taken apart as MMoE is.
@pytest.mark.parametrize("name", [name for name in ranker_names() if name != "esmm"])
def test_every_ranker_can_be_taken_apart(name):
    found = field_contributions(tiny_world.ranker(model=name), pairs(group=None), steps=2)
    assert ("history", "items") in found and ("item", "text") in found
    assert all(values.shape == (6,) and np.isfinite(values).all() for values in found.values())
