"""What a ranker is worth on its data, what it costs as it is exported, and the best within a budget."""

import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mmrec_tf.errors import MmrecError
from mmrec_tf.evaluation.pair_metrics import pair_metrics
from mmrec_tf.evaluation.pairs import evaluation_pairs
from mmrec_tf.evaluation.stage_lists import score_pairs
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.smaller_ranker import dense_kernels
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.run_export import serving_engine
from mmrec_tf.serving.export import export_ranking
from mmrec_tf.serving.rank_latency import rank_latency


@dataclass(frozen=True)
class RankerCost:
    """A ranker's figures, and what it costs.

    Attributes:
        name: what it is called in a table.
        target: `click` or `rating`.
        validation, test: figures on these splits; see `pair_metrics`. {} where the split holds no pair.
        milliseconds, p99_milliseconds: median and 99th percentile of the time to score the candidates of one user in
            the exported model, on one core.
        bytes, zipped_bytes: size of the exported `ranking` model, and of its files zipped.
        dense_weights: weights of dense layers that are not 0.
    """

    name: str
    target: str
    validation: dict[str, float | None]
    test: dict[str, float | None]
    milliseconds: float
    p99_milliseconds: float
    bytes: int
    zipped_bytes: int
    dense_weights: int

    @property
    def worth(self) -> float:
        """AUC on the validation split; of ratings -RMSE. The lowest there is where the split cannot tell."""
        value = self.validation.get("rmse" if self.target == "rating" else "auc")
        return -np.inf if value is None else (-value if self.target == "rating" else value)


def ranker_cost(
    name: str, prepared: Prepared, retrieval: TwoTower, model: Ranker, candidates: int = 500, calls: int = 300
) -> RankerCost:
    """Measures a ranker on validation and test split, and its exported model with the candidates of one user.

    Each split is asked about by who knows what came before it. Afterwards both models know of trends and targets what
    training told them.

    Args:
        name: what it is called.
        prepared: the data.
        retrieval: the retrieval model in front of it.
        model: the ranker.
        candidates: int. Items that are scored for the user. Defaults to 500.
        calls: int. Calls that are timed. Defaults to 300.

    Raises:
        ServingError: if the model cannot be exported.
    """
    split = prepared.split
    try:
        prepared.bring_up_to_date((model,))
        validation = _figures(prepared, model, split.validation)
        prepared.bring_up_to_date((model,), split.validation)
        test = _figures(prepared, model, split.test, split.validation)
        engine = serving_engine(prepared, retrieval, model)
        with tempfile.TemporaryDirectory() as folder:
            version = export_ranking(engine, folder)
            files = [path.read_bytes() for path in sorted(version.rglob("*")) if path.is_file()]
            latency = rank_latency(
                version, prepared.users.ids, prepared.items.ids, candidates, calls, prepared.config.seed
            )
    finally:
        prepared.bring_up_to_date((retrieval, model))
    return RankerCost(
        name=name,
        target=model.target,
        validation=validation,
        test=test,
        milliseconds=latency.median,
        p99_milliseconds=latency.p99,
        bytes=sum(map(len, files)),
        zipped_bytes=sum(len(zlib.compress(content)) for content in files),
        dense_weights=int(sum(np.count_nonzero(kernel.numpy()) for kernel in dense_kernels(model))),
    )


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


def _figures(prepared: Prepared, model: Ranker, asked: pd.DataFrame, *later: pd.DataFrame) -> dict:
    """Figures on a split whose users are known by training and by what came between."""
    known = prepared.sequences(prepared.split.train, *later)
    pairs = evaluation_pairs(prepared, asked, known, seed=prepared.config.seed)
    return pair_metrics(prepared, model, pairs, score_pairs(model, pairs)) if len(pairs["label"]) else {}
