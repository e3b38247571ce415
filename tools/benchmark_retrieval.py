"""Measures the speed of retrieval: training, evaluation and growth, beside other libraries in the same run.

    python tools/benchmark_retrieval.py [--only training evaluation] [--recbole PYTHON] [--plot FILE] [--json FILE]

Every figure is measured in a process of its own. The variants of a table take turns, round by round, and each counts
its quickest, so that what else the machine does meets all of them alike; a ratio says how many times as fast a row is
as the table's reference. The CPU's time, of all threads together, is compared beside the wall clock for the same
reason. Interactions are made up, of the size and skew of MovieLens.
"""

import argparse
import json
import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tools" / "retrieval_speed")]

from growth_plot import computed_megabytes, plot_growth  # noqa: E402
from processes import MeasurementError, measured  # noqa: E402
from variants import EVALUATION, GROWTH, RECBOLE, TRAINING, Variant, profiled  # noqa: E402

SECTIONS = ("training", "recbole", "profile", "evaluation", "large", "growth")


def main() -> int:
    options = _arguments()
    found = {}
    print(f"{os.cpu_count()} CPUs, {options.threads} threads, {options.rounds} rounds", flush=True)
    for section in options.only:
        print(f"\n{section}", flush=True)
        found[section] = globals()[section](options)
        # Sections take long, and what stops one of them is not to take the others along.
        if options.json:
            options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def training(options) -> dict:
    """In-batch softmax beside the tutorial of TensorFlow Recommenders."""
    found = in_turns(TRAINING, options)
    show(found, "examples", reference=TRAINING[0].name)
    return found


def recbole(options) -> dict:
    """BPR beside RecBole's; a pass over the interactions, each with one negative or a few that a batch shares."""
    variants = RECBOLE
    if options.recbole is None:
        print("RecBole is left out: --recbole PYTHON names the interpreter of an environment that has it")
        variants = [variant for variant in RECBOLE if variant.script != "recbole_bpr"]
    found = in_turns(variants, options)
    show(found, "examples", reference=variants[0].name)
    return found


def evaluation(options) -> dict:
    """The best 100 items of every user, beside FactorizedTopK."""
    found = {}
    for size, variants in EVALUATION.items():
        print(f"{size:,} items", flush=True)
        found[size] = in_turns(variants, options)
        show(found[size], "users", reference=variants[0].name)
    return found


def large(options) -> dict:
    """The evaluation that is to take less than a minute."""
    spec = {"users": 50_000, "items": 100_000, "dim": 64, "k": 100, "batch": 256, "seen": 20, "method": "ours"}
    print("50,000 users, 100,000 items, dim 64, the best 100, seconds: ", end="")
    try:
        once = measured("ranking", spec, options.threads)
    except MeasurementError as error:
        return _failed(error)
    found = {key: once[key] * spec["users"] for key in ("wall", "cpu")} | {"peak_mb": once["peak_mb"]}
    print(f"wall {found['wall']:.1f}, CPU {found['cpu']:.1f}; peak memory {found['peak_mb']:,.0f} MB")
    return found


def growth(options) -> dict:
    """Time per example and memory by the number of items."""
    found = in_turns([variant for variant in GROWTH if variant.spec["items"] <= options.most_items], options)
    show(found, "examples", reference=GROWTH[0].name)
    rows, smallest = {}, GROWTH[0]
    for variant in GROWTH:
        if "peak_mb" in found.get(variant.name, {}) and "peak_mb" in found[smallest.name]:
            computed, least = computed_megabytes(variant.spec), computed_megabytes(smallest.spec)
            rows[variant.spec["items"]] = {**found[variant.name], "computed_mb": computed}
            training, peak = (
                found[variant.name][key] - found[smallest.name][key] for key in ("resident_mb", "peak_mb")
            )
            print(
                f"{variant.name:16} tables {computed:8,.0f} MB; beyond those of {smallest.name}: "
                f"{computed - least:8,.0f} MB computed, {training:8,.0f} measured in training, {peak:8,.0f} at the peak"
            )
    if options.plot and rows:
        plot_growth(rows, options.plot)
        print(f"plot: {options.plot}")
    elif options.plot:
        print(f"no plot: it begins with {smallest.name}, which failed")
    return found


def profile(options) -> dict:
    """Where a step's time goes, and how far it is from what the machine could do."""
    found = {}
    for name, spec in profiled():
        try:
            parts = measured("step_profile", {**spec, "rounds": 2 * options.rounds + 1}, options.threads)["parts"]
        except MeasurementError as error:
            print(f"{name:44} ", end="")
            found[name] = _failed(error)
            continue
        found[name] = parts
        print(f"{name:44} {'CPU ms':>9} {'wall ms':>9} {'of step':>8}")
        for part, times in parts.items():
            share = "" if part.startswith("machine") else f"{times['cpu'] / parts['whole step']['cpu']:8.2f}"
            print(f"  {part:42} {times['cpu']:9.2f} {times['wall']:9.2f} {share}")
        product, memory = (
            1000 / parts[f"machine: {key}"]["cpu"] for key in ("matrix product, per GFLOP", "memory, per GB")
        )
        print(f"  the machine: {product:,.0f} GFLOP/s, {memory:,.0f} GB/s by CPU time")
    return found


def in_turns(variants: list[Variant], options) -> dict[str, dict]:
    """Name -> the least of every figure over the rounds; `error` for what did not run."""
    found = {variant.name: {} for variant in variants}
    for _ in range(options.rounds):
        for variant in variants:
            best = found[variant.name]
            if "error" in best:
                continue
            print(f"... {variant.name}", file=sys.stderr, flush=True)
            python = options.recbole if variant.script == "recbole_bpr" else sys.executable
            try:
                once = measured(variant.script, variant.spec, options.threads, python)
            except MeasurementError as error:
                found[variant.name] = {"error": str(error)}
                continue
            figures = {key: value for key, value in once.items() if isinstance(value, (int, float))}
            found[variant.name] = {key: min(value, best.get(key, value)) for key, value in figures.items()}
    return found


def show(found: dict[str, dict], unit: str, reference: str) -> None:
    """A table of `unit` per second, by wall and CPU time, and ratios to the reference."""
    print(f"{'':54} {unit + '/s, CPU':>16} {'ratio':>7} {'wall':>10} {'ratio':>7} {'peak MB':>8}")
    first = found[reference]
    for name, row in found.items():
        if "error" in row:
            print(f"{name:54} ", end="")
            _failed(row["error"])
            continue
        cells = ""
        for key, width in (("cpu", 16), ("wall", 10)):
            ratio = f"{first[key] / row[key]:7.2f}" if key in first else f"{'':7}"
            cells += f" {1.0 / row[key]:{width},.0f} {ratio}"
        print(f"{name:54}{cells} {row['peak_mb']:8,.0f}", flush=True)


def _failed(error) -> dict:
    """Prints why there is no figure; what stands in its place in the file."""
    print(f"failed: {str(error)[-400:]}", flush=True)
    return {"error": str(error)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to measure")
    parser.add_argument("--rounds", type=int, default=3, help="how often each variant is measured")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of the numeric libraries")
    parser.add_argument("--recbole", type=Path, help="Python of an environment with RecBole")
    parser.add_argument("--most-items", type=int, default=10_000_000, help="largest catalogue of growth")
    parser.add_argument("--plot", type=Path, help="write the plot of growth to this PNG file")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    least = GROWTH[0].spec["items"]
    if options.most_items < least:
        parser.error(f"--most-items is {options.most_items}, and the smallest catalogue has {least}: give that or more")
    return options


if __name__ == "__main__":
    sys.exit(main())
