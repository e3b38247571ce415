"""A ranker that answers in time: distilled from a bigger one or pruned, measured, and chosen under a budget."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from mmrec_tf.config_ranking import RankingConfig
from mmrec_tf.errors import MmrecError
from mmrec_tf.evaluation.pair_metrics import pair_metrics
from mmrec_tf.evaluation.pairs import evaluation_pairs
from mmrec_tf.evaluation.stage_lists import score_pairs
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.smaller_ranker import DistilledRanker, PrunedRanker, dense_kernels
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.stages import train_ranking

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class RankerCost:
    """What a ranker is worth on the validation split, and what it costs.

    Attributes:
        name: what it is called in a table.
        model: the ranker.
        metrics: see `pair_metrics`.
        milliseconds: median time to score the candidates of one user.
        dense_weights: weights of dense layers that are not 0.
    """

    name: str
    model: Ranker
    metrics: dict[str, float | None]
    milliseconds: float
    dense_weights: int

    @property
    def worth(self) -> float:
        """AUC; of ratings -RMSE."""
        return -self.metrics["rmse"] if self.model.target == "rating" else self.metrics["auc"]


def distil_ranker(
    prepared: Prepared,
    retrieval: TwoTower,
    teacher: Ranker,
    student: dict[str, Any],
    temperature: float = 2.0,
    weight: float = 0.5,
    progress: Progress | None = None,
) -> tuple[Ranker, Prepared]:
    """Trains a small ranker on what a big one says and on the labels, as `train_ranking` trains.

    Args:
        prepared: the data that the teacher was trained on.
        retrieval: the retrieval model in front of it.
        teacher: the trained ranker.
        student: settings of `models.ranking` in which the student differs, as `{"dim": 8, "hidden": [32]}`.
        temperature, weight: see `DistilledRanker`.
        progress: called with (description, done, total).

    Returns:
        The student, and the data with the configuration by which it can be built again.

    Raises:
        MmrecError: if the student is to learn another target than the teacher.
    """
    ranking = RankingConfig.model_validate({**prepared.config.models.ranking.model_dump(exclude_unset=True), **student})
    if ranking.target != teacher.target:
        raise MmrecError(f"the teacher knows of {teacher.target}s, not of {ranking.target}s. Leave target as it is.")
    smaller = _with_config(prepared, ranking=ranking)

    def teach(inputs):
        return teacher.target_scores(inputs)[teacher.target]

    def wrap(learner):
        return DistilledRanker(learner, teach, temperature, weight)

    return train_ranking(smaller, retrieval, progress, wrap)[0], smaller


def prune_ranker(
    prepared: Prepared,
    retrieval: TwoTower,
    ranking: Ranker,
    sparsity: float,
    epochs: int = 2,
    progress: Progress | None = None,
) -> Ranker:
    """A copy of a ranker with the smallest weights of its dense layers at 0, fine-tuned.

    It makes the stored and compressed model smaller; TensorFlow multiplies by zeros as it does by any number, so that
    it is a smaller student that answers sooner.

    Args:
        prepared: the data that the ranker was trained on.
        retrieval: the retrieval model in front of it.
        ranking: the trained ranker, which stays as it is.
        sparsity: float in [0, 1). See `PrunedRanker`.
        epochs: int. The most epochs of fine-tuning; at a third of the learning rate. Defaults to 2.
        progress: called with (description, done, total).
    """
    options = prepared.config.train.ranking
    # Averages over the steps would bring back what a step has moved away from 0 before it was pruned again.
    tuning = {"epochs": epochs, "learning_rate": options.learning_rate / 3.0, "average": 0.0}
    prepared = _with_config(prepared, train=options.model_copy(update=tuning))

    def wrap(learner):
        learner.set_weights(ranking.get_weights())
        return PrunedRanker(learner, sparsity)

    return train_ranking(prepared, retrieval, progress, wrap)[0]


def ranker_cost(name: str, prepared: Prepared, model: Ranker, candidates: int = 500, repeats: int = 50) -> RankerCost:
    """Measures a ranker on the validation split, and how long it takes for one user.

    Args:
        name: what it is called.
        prepared: the data.
        model: the ranker.
        candidates: int. Items that are scored for the user. Defaults to 500.
        repeats: int. Calls that are timed, after five that are not. Defaults to 50.
    """
    pairs = evaluation_pairs(prepared, prepared.split.validation, prepared.sequences(), seed=prepared.config.seed)
    metrics = pair_metrics(prepared, model, pairs, score_pairs(model, pairs))
    kernels = [kernel.numpy() for kernel in dense_kernels(model)]
    weights = sum(np.count_nonzero(kernel) for kernel in kernels)
    return RankerCost(name, model, metrics, _milliseconds(prepared, model, candidates, repeats), int(weights))


def best_within(costs: Iterable[RankerCost], milliseconds: float) -> RankerCost:
    """The ranker that is worth the most of those that answer within a time; of equals the quicker.

    Raises:
        MmrecError: if none does, with the quickest.
    """
    costs = list(costs)
    within = [cost for cost in costs if cost.milliseconds <= milliseconds]
    if not within:
        if not costs:
            raise MmrecError("there is no ranker to choose from. Measure some with ranker_cost.")
        quickest = min(costs, key=lambda cost: cost.milliseconds)
        raise MmrecError(
            f"no ranker answers within {milliseconds:g} ms; the quickest, {quickest.name}, takes "
            f"{quickest.milliseconds:.2f} ms. Distil a smaller one, rank fewer candidates, or allow more time."
        )
    return max(within, key=lambda cost: (cost.worth, -cost.milliseconds))


def _milliseconds(prepared, model, candidates, repeats):
    index = tf.constant(1 + np.arange(candidates) % len(prepared.data.items), tf.int32)[None]
    history = tf.constant(prepared.sequences().latest(np.array([0])), tf.int32)
    inputs = {"user_index": tf.constant([1]), "history": history, "item_index": index}
    call = tf.function(lambda: model(inputs)).get_concrete_function()
    seconds = []
    for _ in range(5 + repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return 1000.0 * float(np.median(seconds[5:]))


def _with_config(prepared, ranking=None, train=None):
    config = prepared.config
    if ranking is not None:
        config = config.model_copy(update={"models": config.models.model_copy(update={"ranking": ranking})})
    if train is not None:
        config = config.model_copy(update={"train": config.train.model_copy(update={"ranking": train})})
    return replace(prepared, config=config)
