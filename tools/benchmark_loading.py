"""Measures what an export costs to load: seconds and peak memory of each of its models, beside its size on disk.

    python tools/benchmark_loading.py [EXPORT] [--items 100000] [--json FILE]

EXPORT is the folder that `mmrec export` wrote. Without one, a made-up shop of so many items (texts, categories, prices)
is trained for one epoch and exported, which takes some minutes. Each model is loaded in a process of its own, as the
embedded server does, warm-up included. TensorFlow is up by then: what is reported is how far the memory of the process
rises above that, at its peak and when the model is ready. Needs /proc, that is Linux.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY)]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

TARGET_SECONDS, TARGET_MEMORY = 5.0, 2.5
MEGABYTE = 2**20
CONFIG = """
seed: 7
data: {interactions: interactions.csv, items: items.csv}
schema:
  user: {user_id: id}
  item: {item_id: id, title: text, category: categorical, price: number}
  context: {timestamp: timestamp}
split: {method: temporal, validation: 0.02, test: 0.02}
encoders: {title: hashed_text}
models: {ranking: {members: 1}}
train: {epochs: 1}
"""


def main() -> int:
    options = _arguments()
    if options.load:
        print(json.dumps(load(options.load)))
        return 0
    if options.export:
        rows = measure(options.export)
    else:
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(make_export(Path(folder), options.items))
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


def make_export(folder: Path, items: int) -> Path:
    """Trains and exports a made-up shop."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    words = np.array([f"word{number}" for number in range(5000)])
    ids = np.array([f"item{number:07d}" for number in range(items)])
    table = {
        "item_id": ids,
        "title": [" ".join(words[random.integers(0, len(words), 8)]) for _ in range(items)],
        "category": [f"category{number}" for number in random.integers(0, 50, items)],
        "price": np.round(random.lognormal(3, 1, items), 2),
    }
    pd.DataFrame(table).to_csv(folder / "items.csv", index=False)
    popularity = 1 / np.arange(1, items + 1) ** 0.7
    purchases, users = 30_000, 2_000
    table = {
        "user_id": [f"user{number:05d}" for number in random.integers(0, users, purchases)],
        "item_id": random.choice(ids, purchases, p=popularity / popularity.sum()),
        "timestamp": np.sort(random.integers(1_700_000_000, 1_730_000_000, purchases)),
    }
    pd.DataFrame(table).to_csv(folder / "interactions.csv", index=False)
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    for arguments in (["train", folder / "config.yaml", "--out", folder / "run"], ["export", folder / "run"]):
        _mmrec(arguments)
    return folder / "run" / "export"


def measure(export: Path) -> list[dict]:
    """A row for the newest version of each model in an export."""
    rows = []
    for model in sorted(path.parent for path in export.glob("*/*/saved_model.pb")):
        if any(int(other.name) > int(model.name) for other in model.parent.iterdir() if other.name.isdigit()):
            continue
        done = subprocess.run([sys.executable, __file__, "--load", model], capture_output=True, text=True)
        if done.returncode:
            # One that the system killed for its memory says nothing.
            told = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
            raise SystemExit(f"{model}: {told[-1]}")
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    if not rows:
        raise SystemExit(f"{export} holds no model; name the folder that `mmrec export` wrote")
    return rows


def load(path: Path) -> dict:
    """Loads one SavedModel in this process."""
    import tensorflow as tf

    from mmrec_tf.serving.model_version import ModelVersion

    tf.function(lambda values: tf.matmul(values, values))(tf.ones([64, 64]))
    # The peak begins anew.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _memory("VmRSS")
    start = time.perf_counter()
    version = ModelVersion(path.parent.name, int(path.name), path)
    if not version.load():
        raise SystemExit(version.error_message)
    seconds = time.perf_counter() - start
    return {
        "model": path.parent.name,
        "disk MB": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / MEGABYTE,
        "seconds": seconds,
        "peak MB": _memory("VmHWM") - before,
        "loaded MB": _memory("VmRSS") - before,
    }


def show(rows: list[dict]) -> None:
    keys = ("disk MB", "seconds", "peak MB", "loaded MB")
    print(f"{'model':<14}" + "".join(f"{key:>11}" for key in keys) + f"{'peak/disk':>11}")
    for row in [*rows, {"model": "all", **{key: sum(row[key] for row in rows) for key in keys}}]:
        ratio = row["peak MB"] / row["disk MB"]
        print(f"{row['model']:<14}" + "".join(f"{row[key]:>11.1f}" for key in keys) + f"{ratio:>11.2f}")
    print(f"targets for all of 100,000 items: {TARGET_SECONDS:g} s, {TARGET_MEMORY:g} times the size on disk")


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def _mmrec(arguments: list) -> None:
    command = [sys.executable, "-c", "from mmrec_tf.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"mmrec {arguments[0]}: {(done.stderr or done.stdout).strip()}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("export", nargs="?", type=Path, metavar="EXPORT", help="what `mmrec export` wrote")
    parser.add_argument("--items", type=int, default=100_000, help="items of the made-up shop")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
