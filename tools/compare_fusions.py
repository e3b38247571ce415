"""Trains every fusion and every alignment on one split, several seeds each, and prints one table.

    python tools/compare_fusions.py CONFIG [--seeds 42 1 2] [--fusions gated concat] [--alignments contrastive]
        [--align concat] [--also "NAME: fusion.balance=0.1 train.xla=true"] [--json FILE] [--markdown]

The rows are the two-tower model with

- `ids`: ids, categories and numbers alone; `only NAME`: these and a single modality;
- each fusion of all modalities, without alignment;
- the fusions named by `--align`, each with every alignment beside its loss;
- what `--also` asks for, each a name and settings as for `mmrec train --set`.

Recall@10 is that of the whole catalogue ranked, seen items left out: for items that training has seen (warm) and has
not (cold); `cold alone` ranks the new items among themselves, which leaves out how many places of a list they get. The
columns that begin with `half` say which share of the Recall@10 over all items is lost when half of the items, drawn at
random, have lost that modality before lists are made; in `half each`, a half for each modality, and in the columns
`dropout` the same for models trained with that fusion.modality_dropout. `seconds` is the training of one model. Figures
are means over the seeds, with the standard deviation behind them. With `--json`, what is done is kept in a file, and a
run that was stopped goes on there, with the same data and settings.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import logging
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from kept_figures import Figures, KeptFigures, row_configs

import mmrec_tf as mm
from mmrec_tf.config import Config
from mmrec_tf.config_file import dump_config
from mmrec_tf.errors import MmrecError
from mmrec_tf.evaluation.judged_users import judged_users
from mmrec_tf.evaluation.ranking_metrics import restrict, user_metrics
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.fusion import fusion_names
from mmrec_tf.losses.alignment_registry import alignment_names
from mmrec_tf.stages import train_retrieval
from mmrec_tf.training.fit import set_seed

K = 10
IDS, ONLY = "ids", "only "
HALF_OF = "without half "
AT_DROPOUT = " at dropout "
TOLD = ("warm", "cold", "all", "without half: all", "seconds")


def choices(config: Config, options: argparse.Namespace) -> dict[str, list[str]]:
    """Row of the table -> the settings that make it."""
    modalities = [feature.name for feature in config.features.modalities]
    rows = {IDS: [], **{f"{ONLY}{name}": [] for name in modalities}} if options.singles else {}
    rows |= {name: [f"fusion.method={name}"] for name in options.fusions}
    for name in options.align:
        for alignment in options.alignments:
            rows[f"{name} + {alignment}"] = [f"fusion.method={name}", f"alignment={alignment}"]
    for text in options.also:
        name, _, settings = text.partition(":")
        rows[name.strip()] = settings.split()
    return rows


def seen_by(row: str, prepared: Prepared) -> Prepared:
    """The data with the modalities that a row is about."""
    if row == IDS or row.startswith(ONLY):
        kept = set() if row == IDS else {row.removeprefix(ONLY)}
        items = prepared.items
        groups = {
            group: {name: value for name, value in getattr(items, group).items() if name in kept}
            for group in ("vectors", "masks", "centres", "scales")
        }
        return replace(prepared, items=replace(items, **groups))
    return prepared


def measure(prepared: Prepared, missing: float = 0.5) -> dict[str, float]:
    """Trains one model and measures it, with all modalities and with each missing for half of the items."""
    set_seed(prepared.config.seed)
    start = time.perf_counter()
    model, history = train_retrieval(prepared)
    seconds = time.perf_counter() - start
    users, lists = judged_users(prepared, "test")
    cold = users.is_cold_item

    def recalls() -> dict[str, float]:
        found = lists.retrieval(model, K)
        parts = {"all": users.relevant, "warm": restrict(users.relevant, ~cold), "cold": restrict(users.relevant, cold)}
        result = {}
        for name, relevant in parts.items():
            wanted = np.diff(relevant.indptr) > 0
            metrics = user_metrics(found[wanted], relevant[wanted], [K])
            result |= {name: float(np.mean(metrics[f"recall@{K}"])) if wanted.any() else float("nan")}
            result |= {f"{name} ndcg": float(np.mean(metrics[f"ndcg@{K}"])) if wanted.any() else float("nan")}
        return result

    def recall_among_new() -> float:
        """Recall@10 of lists that hold nothing but new items."""
        relevant = restrict(users.relevant, cold)
        wanted = np.diff(relevant.indptr) > 0
        if not wanted.any():
            return float("nan")
        # Neighbours and trends tell new items nothing.
        queries, candidates = lists.embeddings(model)
        scores = queries @ candidates[1:].T
        found = np.argsort(np.where(cold, -scores[wanted], np.inf), axis=1, kind="stable")[:, :K]
        return float(np.mean(user_metrics(found, relevant[wanted], [K])[f"recall@{K}"]))

    figures = {**recalls(), "cold alone": recall_among_new(), "seconds": seconds, "epochs": float(len(history["loss"]))}
    masks = model.items.lookup.tables["masks"]
    draws = np.random.default_rng(prepared.config.seed)
    whole = {name: mask.numpy() for name, mask in sorted(masks.items())}
    halves = {name: mask & (draws.random(mask.shape) >= missing) for name, mask in whole.items()}
    for name in halves:
        masks[name].assign(halves[name])
        figures |= {f"{HALF_OF}{name}: {part}": value for part, value in recalls().items()}
        masks[name].assign(whole[name])
    for name in halves:
        masks[name].assign(halves[name])
    return figures | ({f"without half: {part}": value for part, value in recalls().items()} if halves else {})


def compare(config: Config, options: argparse.Namespace) -> Figures:
    """Row -> seed -> figures; taken from the file where they are there."""
    rows = choices(config, options)
    configs = row_configs(options.config, options.set, rows, options.seeds)
    data, _ = mm.load_data(config)
    prepared = mm.prepare(data, config)
    kept = KeptFigures(options.json, {"config": dump_config(config), "data": prepared.fingerprint()}, rows)
    # Row -> variant of it -> modality dropout, None for that of the configuration.
    variants = {row: {row: None} for row in rows}
    for row in set(rows).intersection(options.fusions):
        variants[row] |= {f"{row}{AT_DROPOUT}{rate}": rate for rate in options.dropouts}
    for seed in options.seeds:
        for row in rows:
            for name, dropout in variants[row].items():
                if kept.is_done(name, seed):
                    continue
                changed = configs[row, seed]
                if dropout is not None:
                    fusion = changed.fusion.model_copy(update={"modality_dropout": dropout})
                    changed = changed.model_copy(update={"fusion": fusion})
                # The split does not follow the seed of the models.
                figures = measure(seen_by(row, replace(prepared, config=changed)))
                kept.keep(name, seed, figures)
                told = {key: round(figures[key], 4) for key in TOLD if key in figures}
                print(f"seed {seed} {name}: {told}", flush=True)
    return kept.of([name for row in rows for name in variants[row]], options.seeds)


def table(found: Figures) -> tuple[list[str], list[list[str]]]:
    """The heading and the rows, best on cold items first."""
    modalities = [
        key.removeprefix(HALF_OF).removesuffix(": all")
        for key in next(
            (figures for name in found if not name.startswith((IDS, ONLY)) for figures in found[name].values()), {}
        )
        if key.startswith(HALF_OF) and key.endswith(": all")
    ]

    dropouts = sorted({float(name.split(AT_DROPOUT)[1]) for name in found if AT_DROPOUT in name})

    def values(name, figure):
        return [figures[figure] for figures in found.get(name, {}).values() if figure in figures]

    def spread(name, figure):
        if not values(name, figure) or not np.isfinite(values(name, figure)).all():
            return "-"
        deviation = statistics.stdev(values(name, figure)) if len(values(name, figure)) > 1 else 0.0
        return f"{statistics.mean(values(name, figure)):.4f} ± {deviation:.4f}"

    def loss(name, figure):
        if not values(name, figure):
            return "-"
        return f"{1.0 - statistics.mean(values(name, figure)) / statistics.mean(values(name, 'all')):.1%}"

    rows = []
    named = [name for name in found if AT_DROPOUT not in name]
    for name in sorted(named, key=lambda name: -statistics.mean(values(name, "cold"))):
        figures = [spread(name, figure) for figure in ("warm", "cold", "cold alone", "all ndcg")]
        losses = [loss(name, f"{HALF_OF}{modality}: all") for modality in modalities]
        losses += [loss(name, "without half: all")]
        losses += [loss(f"{name}{AT_DROPOUT}{rate}", "without half: all") for rate in dropouts]
        rows.append([name, *figures, *losses, f"{statistics.mean(values(name, 'seconds')):.0f}"])
    halves = [f"half {modality}" for modality in modalities]
    halves += ["half each", *(f"dropout {rate}" for rate in dropouts)]
    return ["", "warm", "cold", "cold alone", "NDCG@10 all", *halves, "seconds"], rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path)
    parser.add_argument("--set", nargs="+", default=[], help="settings for all rows, as for mmrec train")
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 1, 2])
    parser.add_argument("--fusions", nargs="*", choices=fusion_names(), default=fusion_names(), metavar="METHOD")
    parser.add_argument("--alignments", nargs="*", choices=alignment_names(), default=alignment_names(), metavar="NAME")
    parser.add_argument("--align", nargs="*", choices=fusion_names(), default=["concat"], metavar="METHOD")
    parser.add_argument("--also", nargs="*", default=[], metavar="NAME: SETTINGS")
    parser.add_argument(
        "--no-singles", dest="singles", action="store_false", help="leave out ids and single modalities"
    )
    parser.add_argument("--dropouts", nargs="*", type=float, default=[0.0, 0.3], help="further modality dropouts")
    parser.add_argument("--json", type=Path, help="keep the figures here, and go on from there")
    parser.add_argument("--markdown", action="store_true", help="print the table for a README")
    options = parser.parse_args()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        heading, rows = table(compare(mm.load_config(options.config, options.set), options))
    except MmrecError as error:
        print(error, file=sys.stderr)
        return 2
    if options.markdown:
        print("\n".join("| " + " | ".join(row) + " |" for row in [heading, ["---"] * len(heading), *rows]))
        return 0
    widths = [max(len(row[place]) for row in [heading, *rows]) for place in range(len(heading))]
    for row in [heading, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
