"""Smaller rankers from prepared data: distilled, pruned, measured, and chosen by what they cost."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from mmrec_tf.errors import MmrecError
from mmrec_tf.evaluation.pairs import evaluation_pairs
from mmrec_tf.models.smaller_ranker import dense_kernels
from mmrec_tf.small_rankers import RankerCost, best_within, distil_ranker, prune_ranker, ranker_cost
from mmrec_tf.stages import train_ranking
from tests import tiny_world


@pytest.mark.slow
def test_a_student_and_a_pruned_copy_of_a_trained_ranker(tmp_path):
    train = {"epochs": 1, "batch_size": 32, "ranking": {"epochs": 1, "batch_size": 32, "learning_rate": 0.02}}
    options = {"ranking": {"hidden": [32, 16], "dim": 8}, "train": train, "split": {"method": "leave_one_out"}}
    prepared, retrieval = tiny_world.prepared(tmp_path, **options), tiny_world.two_tower()
    teacher, _ = train_ranking(prepared, retrieval)
    before = [weight.copy() for weight in teacher.get_weights()]
    student, smaller = distil_ranker(prepared, retrieval, teacher, {"hidden": [6], "dim": 4})
    assert student.hidden == [6] and student.dim == 4 and student.target == "click"
    assert smaller.config.models.ranking.hidden == [6] and prepared.config.models.ranking.hidden == [32, 16]
    pruned = prune_ranker(prepared, retrieval, teacher, sparsity=0.5, epochs=1)
    for weight, values in zip(teacher.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, values)
    rankers = {"teacher": teacher, "student": student, "pruned": pruned}
    costs = {name: ranker_cost(name, prepared, model, repeats=3) for name, model in rankers.items()}
    sizes = [kernel.numpy().size for kernel in dense_kernels(teacher)]
    assert costs["teacher"].dense_weights == sum(sizes)
    assert costs["pruned"].dense_weights == sum(size - round(0.5 * size) for size in sizes)
    assert costs["student"].dense_weights < costs["pruned"].dense_weights
    assert all(cost.milliseconds > 0.0 for cost in costs.values())
    pairs = evaluation_pairs(prepared, prepared.split.validation, prepared.sequences(), seed=prepared.config.seed)
    inputs = {name: tf.constant(array) for name, array in pairs.items() if name != "label"}
    for name, model in rankers.items():
        assert costs[name].worth == pytest.approx(roc_auc_score(pairs["label"], model(inputs)), abs=1e-6)
    with pytest.raises(MmrecError, match="the teacher knows of clicks, not of ratings"):
        distil_ranker(prepared, retrieval, teacher, {"target": "rating"})


def test_the_best_within_the_budget_is_chosen():
    click, rating = tiny_world.ranker(), tiny_world.ranker(target="rating")
    costs = [
        RankerCost(name, click, {"auc": auc}, milliseconds, 1)
        for name, auc, milliseconds in (
            ("big", 0.80, 9.0),
            ("middle", 0.78, 4.0),
            ("same", 0.78, 3.0),
            ("small", 0.7, 1.0),
        )
    ]
    assert [best_within(costs, budget).name for budget in (10.0, 5.0, 3.0, 2.0)] == ["big", "same", "same", "small"]
    rated = [RankerCost(name, rating, {"rmse": rmse}, 1.0, 1) for name, rmse in (("worse", 0.9), ("better", 0.8))]
    assert best_within(rated, 1.0).name == "better"
    with pytest.raises(MmrecError, match="no ranker answers within 0.5 ms; the quickest, small, takes 1.00 ms"):
        best_within(costs, 0.5)
    with pytest.raises(MmrecError, match="no ranker to choose from"):
        best_within([], 0.5)
