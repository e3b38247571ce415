"""Times every ranker as it is exported: candidates of one user, on one core.

    python tools/benchmark_rank_latency.py runs/latest [--rankers deepfm din] [--members 1] [--json FILE]

The run gives users, items, media vectors, context and the widths of `models.ranking`; each ranker is built with the
settings that it has of its own by default, exported as `mmrec export` does, and asked by `rank` in a process with one
thread of TensorFlow, another user and other candidates each time. The weights are untrained, which changes no time.
Those of several targets learn one more. The budget is a median under 5 ms.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

BUDGET = 5.0
"""Milliseconds."""

HEADER = ("ranker", "median ms", "p99 ms", "MB", "under 5 ms")


def main() -> int:
    options = _arguments()
    from mmrec_tf.cli_output import console, quiet_tensorflow, show_rows
    from mmrec_tf.errors import MmrecError
    from mmrec_tf.workflow import OpenRun

    quiet_tensorflow()
    try:
        opened = OpenRun(options.run)
        names = options.rankers or ranker_names()
        found = []
        for name in names:
            found.append(
                measure(opened.prepared, opened.retrieval, name, options.candidates, options.calls, options.members)
            )
            console.print(f"{name}: {found[-1]['median']:.2f} ms", highlight=False)
    except MmrecError as error:
        print(error, file=sys.stderr)
        return 2
    prepared = opened.prepared
    media = ", ".join(f"{name} {vectors.shape[1]}" for name, vectors in prepared.items.vectors.items())
    title = f"{options.candidates} of {len(prepared.items.ids):,} items; media vectors: {media or 'none'}"
    show_rows(title, HEADER, [cells(one) for one in found])
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def ranker_names() -> list[str]:
    """All rankers that the configuration knows."""
    from mmrec_tf.config_ranking import RANKERS

    return list(RANKERS)


def measure(prepared, retrieval, name: str, candidates: int, calls: int, members: int | None = None) -> dict:
    """Builds, exports and times one ranker.

    Args:
        prepared: a run's data.
        retrieval: its retrieval model.
        name: str. The ranker.
        candidates, calls: see `rank_latency`.
        members: int. As `models.ranking.members`; None for the run's.

    Returns:
        dict of `ranker`, `median` and `p99` in milliseconds, and `bytes`.
    """
    from mmrec_tf.config_targets import SEVERAL_TARGETS
    from mmrec_tf.models.build import build_ranker
    from mmrec_tf.run_export import serving_engine
    from mmrec_tf.serving.export import export_ranking
    from mmrec_tf.serving.rank_latency import rank_latency
    from mmrec_tf.small_rankers import student_config

    targets = {"targets": {"bought": {"column": "bought"}}} if name in SEVERAL_TARGETS else {}
    several = {} if members is None else {"members": members}
    config = student_config(prepared.config, {"model": name, **targets, **several})
    ranking = build_ranker(config, prepared.users, prepared.items, prepared.context, prepared.trends())
    engine = serving_engine(prepared, retrieval, ranking)
    with tempfile.TemporaryDirectory() as folder:
        version = export_ranking(engine, folder)
        size = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
        latency = rank_latency(version, prepared.users.ids, prepared.items.ids, candidates, calls)
    return {"ranker": name, "median": latency.median, "p99": latency.p99, "bytes": size}


def cells(found: dict) -> tuple:
    """A row of the table."""
    times = [f"{found[name]:.2f}" for name in ("median", "p99")]
    return (found["ranker"], *times, f"{found['bytes'] / 1e6:.1f}", "yes" if found["median"] < BUDGET else "no")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run's directory, made by mmrec train")
    parser.add_argument("--rankers", nargs="+", metavar="NAME", help="as models.ranking.model; all by default")
    parser.add_argument("--candidates", type=int, default=500, help="items that are ranked in a call")
    parser.add_argument("--calls", type=int, default=300, help="calls that are timed")
    parser.add_argument("--members", type=int, help="rankers that answer together; as in the run by default")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
