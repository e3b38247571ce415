"""One of our rankers, trained by the package's own steps from the configuration that stands beside the pairs.

    python tools/ranking_peers/our_rankers.py dcn --pairs OUT/pairs.npz --out OUT/scores --seed 1

Drawn negatives that are hard come from a retrieval model, which is then trained first. Where training draws none,
nothing of retrieval reaches the ranker's own scores, and an untrained one stands in.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import tf_keras
from export_pairs import part_pairs
from ranker_run import peak_memory, quickest_passes, write_predictions
from ranking_names import OURS

from mmrec_tf.config_file import load_config
from mmrec_tf.data.validation import load_data
from mmrec_tf.evaluation.stage_lists import predict_pairs
from mmrec_tf.features.item_vectors import build_encoders, resolve_encoders
from mmrec_tf.features.prepared import prepare
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.stages import taught_grades, train_ranking, train_retrieval, tune_encoders
from mmrec_tf.training.fit import set_seed

READY = 64
"""Batches that are kept for passes without an input pipeline."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ranker")
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    asked = [f"models.ranking.model={arguments.ranker}"]
    config = resolve_encoders(load_config(arguments.pairs.parent / "config.yaml", overrides=asked))
    set_seed(arguments.seed)
    data, _ = load_data(config)
    encoders = build_encoders(config)
    prepared, _ = tune_encoders(prepare(data, config, encoders=encoders), encoders)
    # The test pairs are those of the configuration's own seed; what is trained is this seed's.
    pairs = part_pairs(prepared, "test", config.seed)
    del pairs["time"]
    prepared = replace(prepared, config=prepared.config.model_copy(update={"seed": arguments.seed}))
    if config.models.ranking.draws_negatives:
        retrieval = train_retrieval(prepared)[0]
    else:
        retrieval = build_two_tower(config, prepared.users, prepared.items, context=prepared.context)
    wrap, fitted = taught_grades(prepared), []

    def remembered(ranker):
        fitted.append(ranker if wrap is None else wrap(ranker))
        return fitted[-1]

    started = time.perf_counter()
    ranking, history = train_ranking(prepared, retrieval, wrap=remembered)
    seconds = time.perf_counter() - started
    prepared.bring_up_to_date([ranking], prepared.split.validation)
    predictions = predict_pairs(ranking, pairs)
    speed = _speed(fitted[0], prepared)
    facts = {
        "passes": sum(len(values) for name, values in history.items() if name.startswith("loss")),
        "seconds": seconds,
        **speed,
        "examples_per_second_at_width": speed["examples_per_second"],
        "validation_auc": max(history.get("validation AUC", [float("nan")])),
        "peak_memory_mb": peak_memory(),
    }
    write_predictions(arguments.out, OURS + arguments.ranker, arguments.seed, predictions, facts)


def _speed(fitted, prepared):
    """Facts of a few passes more of what was fitted for one member, after the predictions were made.

    `input_share` is how much of a pass would be saved if all its batches lay ready: what training waits for the input
    pipeline.
    """
    dataset = prepared.ranking_dataset()
    steps = int(dataset.cardinality())
    # Of different batches: the rows that one batch names would stay in the processor's cache.
    quickest, ready = quickest_passes(
        *(_in_one_call(fitted, of, steps) for of in (dataset, dataset.take(READY).cache()))
    )
    count = sum(int(np.prod(batch["label"].shape)) for batch in dataset.take(1)) * steps
    return {"examples_per_second": count / quickest, "input_share": 1.0 - ready / quickest}


def _in_one_call(fitted, batches, steps):
    def call(passes):
        clock = _Clock()
        fitted.fit(batches.repeat(), steps_per_epoch=steps, epochs=passes, callbacks=[clock], verbose=0)
        return clock.ends

    return call


class _Clock(tf_keras.callbacks.Callback):
    """When each pass ended."""

    def __init__(self):
        super().__init__()
        self.ends = []

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(time.perf_counter())


if __name__ == "__main__":
    main()
