"""What rankers are worth and cost, and which is chosen."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from mmrec_tf.errors import MmrecError
from mmrec_tf.evaluation.pairs import evaluation_pairs
from mmrec_tf.models.smaller_ranker import dense_kernels
from mmrec_tf.ranker_cost import RankerCost, best_within, ranker_cost
from tests import tiny_world


def cost(name, milliseconds, target="click", **validation):
    return RankerCost(name, target, validation, {}, milliseconds, milliseconds, 1, 1, 1)


def test_the_best_within_the_budget_is_chosen():
    costs = [
        cost("big", 9.0, auc=0.80),
        cost("middle", 4.0, auc=0.78),
        cost("same", 3.0, auc=0.78),
        cost("small", 1.0, auc=0.7),
    ]
    assert [best_within(costs, budget).name for budget in (10.0, 5.0, 3.0, 2.0)] == ["big", "same", "same", "small"]
    rated = [cost("worse", 1.0, "rating", rmse=0.9, auc=0.9), cost("better", 1.0, "rating", rmse=0.8, auc=0.8)]
    assert best_within(rated, 1.0).name == "better"
    # A split of one class tells nothing; the quicker one is taken.
    assert best_within([cost("slow", 2.0, auc=None), cost("quick", 1.0)], 5.0).name == "quick"
    with pytest.raises(MmrecError, match="no ranker answers within 0.5 ms; the quickest, small, takes 1.00 ms"):
        best_within(costs, 0.5)
    with pytest.raises(MmrecError, match="no ranker to choose from"):
        best_within([], 0.5)


@pytest.mark.slow
def test_figures_are_those_of_the_splits_and_the_models_are_left_as_they_were(tmp_path):
    train = {"ranking": {"epochs": 1, "batch_size": 32}}
    prepared = tiny_world.prepared(tmp_path, train=train, split={"method": "leave_one_out"})
    retrieval, model = tiny_world.two_tower(), tiny_world.ranker()
    prepared.bring_up_to_date((retrieval, model))
    before = [weight.copy() for each in (retrieval, model) for weight in each.get_weights()]
    found = ranker_cost("one", prepared, retrieval, model, candidates=40, calls=3)
    after = [weight for each in (retrieval, model) for weight in each.get_weights()]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert found.dense_weights == sum(kernel.numpy().size for kernel in dense_kernels(model))
    assert 0.0 < found.milliseconds <= found.p99_milliseconds and 0 < found.zipped_bytes < found.bytes
    split = prepared.split
    for asked, later, figures in (
        (split.validation, (), found.validation),
        (split.test, (split.validation,), found.test),
    ):
        prepared.bring_up_to_date((model,), *later)
        pairs = evaluation_pairs(prepared, asked, prepared.sequences(split.train, *later), seed=prepared.config.seed)
        inputs = {name: tf.constant(array) for name, array in pairs.items() if name != "label"}
        assert figures["auc"] == pytest.approx(roc_auc_score(pairs["label"], model(inputs)), abs=1e-6)
    assert found.worth == found.validation["auc"]
