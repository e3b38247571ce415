"""Measures the inverted file, and ScaNN where it is installed, beside exact search: speed, share found, memory.

    python tools/benchmark_index.py [--items 100000 1000000] [--only factors random] [--run RUN] [--json FILE]

Each catalogue (`index_speed/catalogues.py`) is searched for lists of 100, one query and 32 at a time, by the graphs
that an export holds, with 50 hidden items each. The probes are chosen as at export, on 512 queries; the share found is
that of 512 others. The kinds of search take turns, and of each the median counts; the second ratio is of the CPU's
time, which other work on the machine disturbs less. `grown` needs a trained run: `--run`. Memory is that of the
variables, beside the table of exact search, which ScaNN reads too. Blocks are ScaNN's leaves; seconds are for building
and for choosing the probes.
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
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tools" / "index_speed")]

CATALOGUES = ("grown", "factors", "clustered", "random")
K, HIDDEN, SAMPLE, BATCHES = 100, 50, 512, (1, 32)


def main() -> int:
    options = _arguments()
    if options.measure:
        found = measure(*options.measure, options)
        options.json.write_text(json.dumps(found), encoding="utf-8")
        return 0
    rows = []
    print(f"{os.cpu_count()} CPUs, {options.threads} threads; lists of {K}, recall wanted {options.recall}", flush=True)
    print(_HEADER, flush=True)
    for items in options.items:
        for name in options.only:
            if name == "grown" and options.run is None:
                print(f"{name:10} {items:>9,}  left out: --run names a trained run", flush=True)
                continue
            for row in _in_a_process(name, items, options):
                rows.append(row)
                print(_line(row), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(name: str, items: str, options) -> list[dict]:
    """All figures of one catalogue, a row for each index."""
    import catalogues
    import numpy as np
    import tensorflow as tf

    from mmrec_tf.errors import ServingError
    from mmrec_tf.recommend.exact_search import ExactSearch
    from mmrec_tf.recommend.index_choice import choose_effort, found_shares
    from mmrec_tf.recommend.inverted_file import InvertedFile
    from mmrec_tf.recommend.scann_index import ScannIndex
    from mmrec_tf.recommend.scann_library import scann_ops

    items = int(items)
    more = {"run": options.run} if name == "grown" else {}
    embeddings, queries = getattr(catalogues, name)(items, 2 * SAMPLE, **more)
    is_offered = np.arange(items + 1) > 0
    exact = ExactSearch(tf.Variable(embeddings), tf.Variable(is_offered))
    # As at export: in the head stands what comes first to somebody of whom nothing is known.
    favoured = embeddings[:, -2:].sum(axis=1)
    head = {"head": max(items // 256, 4 * K), "depth": K}
    builders = {
        "ivf": lambda: InvertedFile(embeddings, is_offered, favoured, **head),
        "scann": lambda: ScannIndex(exact, embeddings, favoured, **head),
    }
    try:
        scann_ops()
    except ServingError:
        del builders["scann"]
    asked = [_sought(queries[start : start + 32], items) for start in range(0, SAMPLE, 32)]
    judged = [_sought(queries[start : start + 32], items) for start in range(SAMPLE, 2 * SAMPLE, 32)]
    searches, built, chosen = {"exact": exact}, {}, {}
    for key, build in builders.items():
        started = time.perf_counter()
        searches[key] = build()
        built[key] = time.perf_counter() - started
        choose_effort(exact, searches[key], [asked], K, options.recall)
        chosen[key] = time.perf_counter() - started - built[key]

    find = {key: _graph(search) for key, search in searches.items()}
    lists = {key: np.concatenate([search(*sought)[1] for sought in judged]) for key, search in find.items()}
    times = {
        f"{key} {batch}": times
        for batch in BATCHES
        for key, times in _in_turns(find, _sought(queries[:batch], items), options.rounds).items()
    }
    exact_ms = {key: value for key, value in times.items() if key.startswith("exact")}
    return [
        {
            "catalogue": name,
            "items": items,
            "index": key,
            "dim": embeddings.shape[1],
            "recall": float(found_shares(lists[key], lists["exact"]).mean()),
            "probes": int(searches[key].probes),
            "blocks": searches[key].blocks if key == "ivf" else searches[key].leaves,
            "rescored": None if key == "ivf" else int(searches[key].rescored),
            "ms": exact_ms | {f"index{what[len(key) :]}": ms for what, ms in times.items() if what.startswith(key)},
            "build_seconds": built[key],
            "choose_seconds": chosen[key],
            "exact_mb": embeddings.nbytes / 2**20,
            "index_mb": sum(map(_bytes, searches[key].variables)) / 2**20,
        }
        for key in builders
    ]


def _bytes(variable):
    # ScaNN's configuration and codebook, which are small, are strings.
    return 0 if variable.dtype == "string" else variable.numpy().nbytes


def _graph(search):
    import tensorflow as tf

    return tf.function(lambda queries, wishes: search(queries, tf.constant(K), wishes), reduce_retracing=True)


def _sought(queries, items):
    import numpy as np
    import tensorflow as tf

    from mmrec_tf.recommend.exact_search import Wishes

    rows = np.repeat(np.arange(len(queries), dtype=np.int32), HIDDEN)
    hidden = np.random.default_rng(3).integers(1, items + 1, len(rows)).astype(np.int32)
    return tf.constant(queries), Wishes(tf.constant(rows), tf.constant(hidden))


def _in_turns(find, sought, rounds) -> dict[str, float]:
    """Name -> median milliseconds, by the clock and, with `cpu` behind the name, of all threads together."""
    import numpy as np

    for search in find.values():
        search(*sought)
    times = {f"{key}{clock}": [] for key in find for clock in ("", " cpu")}
    for _ in range(rounds):
        for key, search in find.items():
            started, cpu = time.perf_counter(), time.process_time()
            search(*sought)[1].numpy()
            times[key].append(1000.0 * (time.perf_counter() - started))
            times[f"{key} cpu"].append(1000.0 * (time.process_time() - cpu))
    return {key: float(np.median(values)) for key, values in times.items()}


def _in_a_process(name, items, options) -> list[dict]:
    environment = {
        **os.environ,
        **{
            key: str(options.threads) for key in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        },
        "TF_USE_LEGACY_KERAS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, str(Path(__file__).resolve()), "--measure", name, str(items), "--json", str(answer)]
        command += ["--rounds", str(options.rounds), "--recall", str(options.recall)]
        command += ["--run", str(options.run.resolve())] if options.run else []
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{name} of {items} items: " + " | ".join(done.stderr.strip().splitlines()[-3:]))
        return json.loads(answer.read_text(encoding="utf-8"))


_HEADER = (
    f"{'catalogue':10} {'items':>9} {'index':5}  {'recall':>6} {'probes':>6} {'blocks':>6}"
    f"  {'exact 1':>8} {'index 1':>8} {'ratio':>6} {'CPU':>5}"
    f"  {'exact 32':>8} {'index 32':>8} {'ratio':>6} {'CPU':>5}  {'seconds':>7} {'exact MB':>8} {'index MB':>8}"
)


def _line(row: dict) -> str:
    cells = ""
    for batch in BATCHES:
        exact, index, exact_cpu, index_cpu = (
            row["ms"][f"{key} {batch}"] for key in ("exact", "index", "exact cpu", "index cpu")
        )
        cells += f"  {exact:8.2f} {index:8.2f} {exact / index:6.1f} {exact_cpu / index_cpu:5.1f}"
    return (
        f"{row['catalogue']:10} {row['items']:>9,} {row['index']:5}  {row['recall']:6.3f} {row['probes']:6} "
        f"{row['blocks']:6}{cells}"
        f"  {row['build_seconds'] + row['choose_seconds']:7.1f} {row['exact_mb']:8.0f} {row['index_mb']:8.0f}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--items", nargs="+", type=int, default=[100_000, 1_000_000], help="sizes of the catalogues")
    parser.add_argument("--only", nargs="+", choices=CATALOGUES, default=list(CATALOGUES), help="kinds of catalogue")
    parser.add_argument("--run", type=Path, help="a trained run, from which `grown` is made")
    parser.add_argument("--recall", type=float, default=0.95, help="share of the exact lists that is to be found")
    parser.add_argument("--rounds", type=int, default=15, help="how often each search is measured")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of TensorFlow")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
