"""Our models, trained by the package's own steps from the configuration that stands beside the split.

    python tools/peers/mmrec_models.py --split OUT/split.npz --out OUT/lists --seed 1

Writes the lists of the two-tower model and, where the configuration has a ranker, of the chain.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from peer_run import LIST_LENGTH, write_fit

from mmrec_tf.config_file import load_config
from mmrec_tf.data.validation import load_data
from mmrec_tf.evaluation.judged_users import judged_users
from mmrec_tf.evaluation.stage_lists import reordered
from mmrec_tf.features.item_vectors import build_encoders, resolve_encoders
from mmrec_tf.features.prepared import prepare
from mmrec_tf.pretraining.encoder_stages import ON_ENCODERS, pretrain_encoders
from mmrec_tf.pretraining.running import named_stages, stages_folder
from mmrec_tf.stages import train_ranking, train_retrieval, tune_encoders
from mmrec_tf.training.fit import set_seed

RETRIEVAL, CHAIN = "two_tower", "two_tower_deepfm"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    config = resolve_encoders(load_config(arguments.split.parent / "config.yaml"))
    set_seed(arguments.seed)
    data, _ = load_data(config)
    encoders = build_encoders(config)
    if any(named_stages(config.pretraining, ON_ENCODERS)):
        pretrain_encoders(encoders, data, config, stages_folder(config))
    prepared, _ = tune_encoders(prepare(data, config, encoders=encoders), encoders)
    # The split is that of the configuration's own seed; what is trained on it is this seed's.
    prepared = replace(prepared, config=prepared.config.model_copy(update={"seed": arguments.seed}))
    retrieval, facts = _timed(lambda: train_retrieval(prepared), prepared)
    prepared.bring_up_to_date([retrieval], prepared.split.validation)
    users, lists = judged_users(prepared, "test")
    candidates = prepared.config.export.candidates
    retrieved = lists.retrieval(retrieval, max(LIST_LENGTH, candidates))
    write_fit(arguments.out, RETRIEVAL, arguments.seed, retrieved[:, :LIST_LENGTH], facts)
    if not config.models.ranking.enabled:
        return
    ranking, ranker = _timed(lambda: train_ranking(prepared, retrieval), prepared)
    prepared.bring_up_to_date([ranking], prepared.split.validation)
    shown = retrieved[:, :candidates]
    ranked = reordered(shown, lists.scores(ranking, shown, lists.similarities(retrieval, shown)))
    chain = np.concatenate([ranked, retrieved[:, candidates:]], axis=1)[:, :LIST_LENGTH]
    both = {key: facts[key] + ranker[key] for key in ("seconds", "core_seconds", "passes")}
    positives = len(prepared.data.positives(prepared.split.train))
    both["examples_per_second"] = both["passes"] * positives / both["seconds"]
    write_fit(arguments.out, CHAIN, arguments.seed, chain, both)


def _timed(train, prepared):
    """The model, and the facts of its training; validation between the epochs is part of the seconds.

    What encoders learn before it is not: that depends on the configuration, and the feature store keeps it.
    """
    wall, cores = time.perf_counter(), time.process_time()
    model, history = train()
    wall, cores = time.perf_counter() - wall, time.process_time() - cores
    passes = sum(len(values) for name, values in history.items() if name.startswith("loss"))
    examples = passes * len(prepared.data.positives(prepared.split.train))
    return model, {
        "seconds": wall,
        "core_seconds": cores,
        "passes": passes,
        "examples_per_second": examples / wall,
        "validation_ndcg": max((max(values) for name, values in history.items() if "NDCG" in name), default=None),
    }


if __name__ == "__main__":
    main()
