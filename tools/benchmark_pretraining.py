"""Measures what self-supervised stages are worth where interactions are few, as one table.

    python tools/benchmark_pretraining.py CONFIG [--share 0.1] [--seeds 1 2 3] [--stages cross_modal ...] [--part test]
        [--also "NAME: fusion.method=gated; pretraining=[denoising]"] [--set KEY=VALUE ...] [--json FILE]

Of the training interactions a share is kept, drawn anew for every seed; validation and test stay as they are. A
two-tower model is trained on them without pretraining, and with each of the stages that are asked for (`a+b` for two in
a row), from the same first weights otherwise. The table shows Recall@10 for cold items (those that the kept
interactions do not hold): among themselves, which says how well their content places them, and with the whole catalogue
ranked, where it also counts how high new items are shown at all; and for all items. Figures are means over the seeds
with the standard deviation behind them; `gain` is the mean over the seeds of the ratio to no pretraining with the same
seed, less 1. `seconds` is what pretraining and training took. Where settings are chosen, do so with `--part
validation`, or on another catalogue. With `--json`, what is done is kept in a file, and a call that was stopped goes on
there, with the same data and settings.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import logging
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from kept_figures import Figures, KeptFigures, row_configs
from scipy.sparse import csr_matrix

import mmrec_tf as mm
from mmrec_tf.config import Config
from mmrec_tf.config_file import dump_config
from mmrec_tf.errors import MmrecError
from mmrec_tf.evaluation.judged_users import judged_users
from mmrec_tf.evaluation.ranking_metrics import restrict, user_metrics
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.stages import train_retrieval
from mmrec_tf.training.fit import set_seed

K = 10
MEASURES = ("cold alone", "cold", "all")
NOTHING = "none"
STAGES = ("masked_modality", "cross_modal", "masked_modality+cross_modal", "linear_alignment", "denoising")


def thinned(prepared: Prepared, share: float, seed: int) -> Prepared:
    """The data with a share of the training interactions, and everything that is fitted on them fitted again."""
    train = prepared.split.train
    kept = np.sort(np.random.default_rng(seed).permutation(len(train))[: round(share * len(train))])
    split = replace(prepared.split, train=train.iloc[kept])
    data, items = prepared.data, prepared.items
    positives = data.positives(split.train)
    schema = data.schema
    # What the table holds is centred and scaled; undone, it is what the encoders gave.
    raw = {
        name: (
            (vectors[1:] * items.scales[name] + items.centres[name]) * items.masks[name][1:, None],
            items.masks[name][1:],
        )
        for name, vectors in items.vectors.items()
    }
    return replace(
        prepared,
        split=split,
        users=FeatureTable.build(data.users, schema.user, np.unique(data.user_rows(positives[schema.user_id]))),
        items=FeatureTable.build(data.items, schema.item, np.unique(data.item_rows(positives[schema.item_id])), raw),
    )


def measure(prepared: Prepared, part: str) -> dict[str, float]:
    """Trains one model, its stages anew, and measures it."""
    with tempfile.TemporaryDirectory() as folder:
        # In a folder of its own, so that no stage is found whose time would then be missing.
        prepared = replace(prepared, config=prepared.config.model_copy(update={"store": Path(folder)}))
        set_seed(prepared.config.seed)
        start = time.perf_counter()
        model, history = train_retrieval(prepared)
        seconds = time.perf_counter() - start
    users, lists = judged_users(prepared, part)
    cold = users.is_cold_item
    found, of_cold = lists.retrieval(model, K), restrict(users.relevant, cold)
    # As if everybody had seen all that is not cold.
    lists.profiles = csr_matrix(((users.profiles.toarray() != 0) | ~cold).astype(np.float32))
    result = {"seconds": seconds, "epochs": float(len(history["loss"]))}
    for name, ranked, relevant in (
        ("cold alone", lists.retrieval(model, K), of_cold),
        ("cold", found, of_cold),
        ("all", found, users.relevant),
    ):
        wanted = np.diff(relevant.indptr) > 0
        result[name] = float(np.mean(user_metrics(ranked[wanted], relevant[wanted], [K])[f"recall@{K}"]))
        result[f"{name} users"] = float(wanted.sum())
    return result


def choices(options: argparse.Namespace) -> dict[str, list[str]]:
    """Row of the table -> the settings that make it."""
    rows = {NOTHING: ["pretraining=[]"]}
    rows |= {name: [f"pretraining=[{name.replace('+', ', ')}]"] for name in options.stages}
    for text in options.also:
        name, _, settings = text.partition(":")
        rows[name.strip()] = [setting.strip() for setting in settings.split(";") if setting.strip()]
    return rows


def benchmark(config: Config, options: argparse.Namespace) -> Figures:
    """Row -> seed -> figures; taken from the file where they are there."""
    rows = choices(options)
    configs = row_configs(options.config, options.set, rows, options.seeds)
    data, _ = mm.load_data(config)
    whole = mm.prepare(data, config)
    asked = {"config": dump_config(config), "share": options.share, "part": options.part, "data": whole.fingerprint()}
    kept = KeptFigures(options.json, asked, rows)
    for seed in options.seeds:
        prepared = thinned(whole, options.share, seed)
        for row in rows:
            if kept.is_done(row, seed):
                continue
            figures = measure(replace(prepared, config=configs[row, seed]), options.part)
            kept.keep(row, seed, figures)
            print(f"seed {seed} {row}: { ({key: round(value, 4) for key, value in figures.items()}) }", flush=True)
    return kept.of(list(rows), options.seeds)


def table(found: Figures) -> str:
    """The table as Markdown."""
    lines = [
        "| pretraining | cold Recall@10 among cold | gain | cold Recall@10 | gain | all Recall@10 | gain | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row, seeds in found.items():
        cells = []
        for name in MEASURES:
            cells.append(_spread([figures[name] for figures in seeds.values()], "{:.4f}"))
            # Nothing has no ratio to what is found without pretraining, if that is nothing too.
            pairs = [(figures[name], found[NOTHING][seed][name]) for seed, figures in seeds.items()]
            ratios = [value / without - 1.0 for value, without in pairs if without > 0.0]
            cells.append("" if row == NOTHING or not ratios else _spread(ratios, "{:+.1%}"))
        seconds = statistics.mean(figures["seconds"] for figures in seeds.values())
        lines.append(f"| {row} | {' | '.join(cells)} | {seconds:.0f} |")
    return "\n".join(lines)


def _spread(values: list[float], shape: str) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{shape.format(statistics.mean(values))} ± {shape.format(deviation).lstrip('+')}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--share", type=float, default=0.1, help="of the training interactions that is kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--stages", nargs="*", default=list(STAGES), help="a stage, or several joined by +")
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--also", nargs="*", default=[], metavar="NAME: SETTING; SETTING")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", type=Path, help="keep the figures here, and go on from there")
    options = parser.parse_args()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        found = benchmark(mm.load_config(options.config, options.set), options)
    except MmrecError as error:
        print(error, file=sys.stderr)
        return 2
    example = next(iter(found[NOTHING].values()))
    print(f"\n{options.share:.0%} of the training interactions; users with cold items: {example['cold users']:.0f}\n")
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
