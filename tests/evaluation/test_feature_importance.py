"""Feature importance in worlds where it is known what the labels depend on."""

import numpy as np
import pytest

from mmrec_tf.errors import DataError
from mmrec_tf.evaluation.feature_importance import feature_importance, permutation_importance
from tests import tiny_world
from tests.models.rankers.worlds import randomized, with_trends


def told_apart_by_category(**settings):
    """Every user beside every item with a category; a ranker that adds 2 for category 1 and nothing else; and rows of
    the categories."""
    model = tiny_world.ranker(model="logistic_regression", **settings)
    for weight in model.trainable_variables:
        weight.assign(np.zeros(weight.shape))
    categories = tiny_world.item_table().categorical["category"]
    model.item_fields.side.embeddings["category"].assign(np.eye(5)[:, [1]] * 2.0)
    users, items = (side.ravel() for side in np.meshgrid(np.arange(1, 21), np.flatnonzero(categories), indexing="ij"))
    pairs = {
        "user_index": users.astype(np.int32),
        "item_index": items.astype(np.int32),
        "history": tiny_world.sequences().latest(users - 1),
        "label": (categories[items] == 1).astype(np.float32),
    }
    return model, pairs, categories


def test_the_one_feature_that_decides_is_worth_all_that_chance_lacks():
    model, pairs, categories = told_apart_by_category()
    before = [weight.copy() for weight in model.get_weights()]
    found = feature_importance(model, pairs, repeats=40)
    first, *others = found
    assert (first.part, first.feature) == ("item", "category")
    # AUC is 1, and 1/2 once labels and scores have nothing to do with each other.
    assert first.deviation > 0.0 and abs(first.loss - 0.5) < 4 * first.deviation / np.sqrt(40)
    # A share p of the scores is 2 and the rest 0: the mean distance from their mean 2p is 2p (2 - 2p) / 2 twice.
    share = (categories[pairs["item_index"]] == 1).mean()
    assert first.contribution == pytest.approx(4 * share * (1 - share), rel=1e-4)
    assert all((other.loss, other.deviation, other.contribution) == (0.0, 0.0, 0.0) for other in others)
    for weight, values in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, values)


def test_ratings_are_judged_by_their_error():
    model, pairs, categories = told_apart_by_category(target="rating")
    pairs["label"] = 2.0 * pairs["label"]
    losses = permutation_importance(model, pairs, repeats=40)
    lost = losses.pop(("item", "category"))
    # The error is 0, and of two independent draws that are 2 with chance p the mean square difference is 8 p (1 - p).
    share = (categories[pairs["item_index"]] == 1).mean()
    square = lost**2
    assert abs(square.mean() - 8 * share * (1 - share)) < 4 * square.std() / np.sqrt(40)
    assert all((values == 0.0).all() for values in losses.values())


def test_every_kind_of_feature_is_shuffled_and_a_constant_one_is_worth_nothing():
    model = with_trends(randomized(tiny_world.ranker(model="deepfm")))
    model.users.tables["numbers"]["age"].assign(np.tile([[0.7, 1.0]], [21, 1]))
    _, pairs, _ = told_apart_by_category()
    pairs["label"] = (np.arange(len(pairs["label"])) % 3 == 0).astype(np.float32)
    found = {(one.part, one.feature): one for one in feature_importance(model, pairs, repeats=2)}
    of_item = {("item", name) for name in ("id", "category", "tags", "price", "image", "text", "trend")}
    assert set(found) == of_item | {("user", name) for name in ("id", "country", "age")} | {("history", "items")}
    constant = found.pop(("user", "age"))
    assert (constant.loss, constant.deviation) == (0.0, 0.0) and constant.contribution == pytest.approx(0.0, abs=1e-6)
    assert all(one.loss != 0.0 and one.contribution > 1e-4 for one in found.values())


def test_the_context_is_shuffled_from_pair_to_pair():
    from tests.models.rankers.test_base import with_context

    model = with_context("logistic_regression")
    for weight in model.trainable_variables:
        weight.assign(np.zeros(weight.shape))
    model.context_fields.side.embeddings["device"].assign([[0.0], [0.0], [1.0]])
    rows = np.arange(400)
    pairs = {
        "user_index": (1 + rows % 20).astype(np.int32),
        "item_index": (1 + rows % 30).astype(np.int32),
        "history": np.zeros([400, 5], np.int32),
        "context": {
            "categorical": {"device": (1 + rows % 2).astype(np.int32)},
            "multi_categorical": {"places": np.ones([400, 1], np.int32)},
            "numbers": {"hour": np.ones([400, 2], np.float32)},
        },
        "label": (rows % 2).astype(np.float32),
    }
    losses = permutation_importance(model, pairs, repeats=10)
    # Half of the pairs have either device: the AUC of labels and shuffled devices is that of chance, 1/2 +- 0.025.
    assert np.abs(losses["context", "device"].mean() - 0.5) < 0.04
    assert all((values == 0.0).all() for feature, values in losses.items() if feature != ("context", "device"))


def test_nothing_to_judge_by_is_said():
    model, pairs, _ = told_apart_by_category()
    with pytest.raises(DataError, match="all 400 pairs have the label 0, so there is no AUC"):
        feature_importance(model, {name: array[:400] * (name != "label") for name, array in pairs.items()})
    with pytest.raises(DataError, match="no labelled pair"):
        feature_importance(model, {name: array[:0] for name, array in pairs.items()})
