"""Other libraries' recommenders and ours on one split with one evaluator, in one table.

    python tools/benchmark_peers.py data/movies/config.yaml --out data/peers
    python tools/benchmark_peers.py data/movies/config.yaml --out data/peers-temporal --split temporal --seeds 5

The peers are implicit, LightFM, RecBole, cornac, KerasRS and TensorFlow Recommenders, in environments of their
own that the first call makes, and the classical models of this package. A peer has `--minutes` to find its settings by
the validation users' NDCG@10, and is then fitted on the training part once for each seed. Our models are trained with
the configuration as it is. Everyone is asked at the same moments, knowing the same, and judged by the same evaluator,
which ranx checks.

`--out` holds the split, the lists and `table.md`; what is there is not made again, so a stopped call goes on and
`--seeds` can grow. Results of another split, configuration or number of minutes are refused there. `--again NAME` makes
a row anew. A peer that cannot be installed or fails leaves its reason in the table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

REPOSITORY = Path(__file__).resolve().parents[1]
HERE = REPOSITORY / "tools" / "peers"
sys.path[:0] = [str(REPOSITORY), str(HERE)]

from environments import environment  # noqa: E402
from peer_names import OURS, PEERS  # noqa: E402


def main() -> int:
    arguments = _arguments()
    from mmrec_tf.config_file import dump_config, load_config
    from mmrec_tf.data.validation import load_data
    from mmrec_tf.errors import MmrecError
    from mmrec_tf.features.prepared import prepare

    out = arguments.out.absolute()
    try:
        config = load_config(arguments.config, overrides=[*arguments.set, f"split.method={arguments.split}"])
        data, _ = load_data(config)
        prepared = prepare(data, config)
    except MmrecError as error:
        print(error, file=sys.stderr)
        return 2
    (out / "lists").mkdir(parents=True, exist_ok=True)
    asked = {"split": prepared.fingerprint(), "minutes": arguments.minutes, "config": dump_config(config)}
    problem = claim(out, asked, made_rows(out / "lists"), arguments.again)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    (out / "config.yaml").write_text(asked["config"], encoding="utf-8")

    from export_split import export_split

    users = export_split(prepared, out / "split.npz")
    benchmark = Benchmark(arguments, out)
    for name in arguments.again:
        benchmark.forget(name)
    # What an earlier call has left stands in the table too, whatever this one was asked for.
    found = {path.name.split(".")[0] for path in (out / "lists").glob("*.seed*.json")}
    reasons = {
        name: benchmark.run_peer(name) if name in arguments.peers else ""
        for name in PEERS
        if name in found.union(arguments.peers)
    }
    ours = [] if arguments.without_ours else [name for name in OURS if _is_made(name, config)]
    if ours:
        reason = benchmark.run_ours(ours)
        reasons |= dict.fromkeys(ours, reason)
    rows = _rows(out / "lists", users, benchmark, reasons, ours)
    asking_for_new = int((users.relevant[:, users.is_cold_item].getnnz(axis=1) > 0).sum())
    title = (
        f"{config.name}: {len(users):,} users, {asking_for_new} of them with new items to find, "
        f"{users.item_count:,} items, {arguments.split}"
    )
    _show(title, rows, benchmark.check(users), out)
    return 0


class Benchmark:
    """Runs the peers' scripts, one process for each search and each fit."""

    def __init__(self, arguments: argparse.Namespace, out: Path):
        self.arguments, self.out, self.lists = arguments, out, out / "lists"
        self.folder = (arguments.env or out / "environments").absolute()
        self.interpreters: dict[str | None, Path] = {None: Path(sys.executable)}
        self.pins = HERE

    def seeds(self, name: str) -> list[int]:
        """1, 2, ...; the first alone for what has no random numbers."""
        count = self.arguments.seeds if name in OURS or PEERS[name].is_seeded else 1
        return list(range(1, count + 1))

    def run_peer(self, name: str) -> str:
        """Tunes and fits; why that did not come to an end, empty where it did."""
        if not (self.lists / f"{name}.settings.json").is_file() and (reason := self._task(name, "tune", 1)):
            return reason
        for seed in self.seeds(name):
            if not self._is_done(name, seed) and (reason := self._task(name, "fit", seed)):
                return reason
        return ""

    def run_ours(self, names: list[str]) -> str:
        for seed in self.seeds(names[0]):
            if not all(self._is_done(name, seed) for name in names):
                command = [sys.executable, str(HERE / "mmrec_models.py"), *self._files(), "--seed", str(seed)]
                if reason := self._call(f"{names[-1]}, seed {seed}", command, None):
                    return reason
        return ""

    def check(self, users) -> str:
        """Whether ranx gives the same figures."""
        from peer_table import check_by_ranx

        command = [str(self._interpreter("torch")), str(HERE / "ranx_check.py"), *self._files()]
        reason = self._call("ranx", command, None)
        return f"not checked by ranx: {reason}" if reason else check_by_ranx(self.lists, users)

    def forget(self, name: str) -> None:
        """Deletes what is there of a row."""
        names = list(OURS) if name in OURS else [name]
        for path in (path for each in names for path in self.lists.glob(f"{each}.*")):
            path.unlink()

    def _is_done(self, name, seed):
        return (self.lists / f"{name}.seed{seed}.json").is_file()

    def _files(self):
        return ["--split", str(self.out / "split.npz"), "--out", str(self.lists)]

    def _interpreter(self, family):
        if family not in self.interpreters:
            self.interpreters[family] = environment(self.folder, family, self.pins, self.arguments.python)
        return self.interpreters[family]

    def _task(self, name, task, seed):
        peer, minutes = PEERS[name], self.arguments.minutes
        command = [str(self._interpreter(peer.environment)), str(HERE / peer.script), task, name, *self._files()]
        command += ["--minutes", str(minutes), "--seed", str(seed)]
        return self._call(f"{name}, {task} {seed}", command, 240.0 * minutes + 600.0)

    def _call(self, title, command, most_seconds):
        """Runs a script, whose own words go to a log; its last ones, empty where it succeeded."""
        say(title)
        threads = str(self.arguments.threads)
        names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
        settings = {f"{name}_NUM_THREADS": threads for name in names}
        settings |= {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}
        log = self.out / f"{title.replace(', ', '.').replace(' ', '')}.log"
        started = time.perf_counter()
        # RecBole keeps TensorBoard logs in the folder where it is started.
        with open(log, "w", encoding="utf-8") as output, tempfile.TemporaryDirectory() as scratch:
            try:
                done = subprocess.run(
                    command,
                    cwd=scratch,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=most_seconds,
                    env={**os.environ, **settings, "PYTHONPATH": str(REPOSITORY)},
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                return (
                    str(error) if isinstance(error, OSError) else f"it did not end in {most_seconds / 60:.0f} minutes"
                )
        say(f"{title}: {'failed' if done.returncode else 'done'} after {time.perf_counter() - started:.0f} s")
        words = log.read_text(encoding="utf-8").strip().splitlines() or ["it said nothing"]
        return f"{words[-1]} ({log.name})" if done.returncode else ""


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the split, the lists and the table")
    parser.add_argument("--split", default="leave_one_out", help="as split.method (default: leave_one_out)")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help="as in mmrec train")
    parser.add_argument("--peers", type=_names, default=list(PEERS), help=f"of {','.join(PEERS)}; all by default")
    parser.add_argument("--seeds", type=int, default=3, help="fits of each row (default: 3)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each peer's search, and of a fit (default: 10)")
    parser.add_argument("--again", type=_names, default=[], help="rows to make anew")
    parser.add_argument("--without-ours", action="store_true", help="peers alone")
    parser.add_argument("--env", type=Path, help="folder of the environments (default: environments in --out)")
    parser.add_argument("--python", default=sys.executable, help="makes the environments; 3.10 or 3.11")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each row (default: all cores)")
    return parser.parse_args()


def _names(text):
    names = [name for name in text.split(",") if name]
    unknown = sorted(set(names) - {*PEERS, *OURS})
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}. Allowed: {', '.join([*PEERS, *OURS])}")
    return names


def made_rows(folder: Path) -> set[str]:
    """Names of the rows that an earlier call has left something of."""
    return {path.name.split(".")[0] for ending in ("seed*", "settings") for path in folder.glob(f"*.{ending}.json")}


def claim(out: Path, asked: dict, made: set[str], again: list[str]) -> str:
    """What keeps these results from standing beside those in the folder; empty where nothing does.

    Args:
        out: the folder.
        asked: what all rows of a table must have in common.
        made: rows that the folder has something of.
        again: rows that are made anew; when these are all, what was asked for before does not matter.
    """
    path = out / "benchmark.json"
    if path.is_file() and not made <= set(again):
        found = json.loads(path.read_text(encoding="utf-8"))
        differs = ["another split"] if found["split"] != asked["split"] else []
        if found["config"] != asked["config"]:
            differs.append(f"another configuration ({_changed(found['config'], asked['config'])})")
        if found["minutes"] != asked["minutes"]:
            differs.append(f"{found['minutes']:g} minutes")
        if differs:
            return (
                f"{out} holds results of {' and of '.join(differs)}. Give another --out, or make all of its rows anew: "
                f"--again {','.join(sorted(made))}"
            )
    path.write_text(json.dumps(asked, indent=2) + "\n", encoding="utf-8")
    return ""


def _changed(found, asked):
    """The first settings that are not the same, as they were and as they are."""
    found, asked = (dict(_settings(yaml.safe_load(text))) for text in (found, asked))
    names = [name for name in {**found, **asked} if found.get(name) != asked.get(name)]
    said = [f"{name} {found.get(name)}, now {asked.get(name)}" for name in names[:3]]
    return "; ".join([*said, *([f"{len(names) - 3} more"] if len(names) > 3 else [])])


def _settings(section, prefix=""):
    for name, value in section.items():
        if isinstance(value, dict) and value:
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _is_made(name, config):
    return name == "two_tower" or config.models.ranking.enabled


def _rows(lists, users, benchmark, reasons, ours):
    from peer_table import read_row

    rows = []
    for name, reason in reasons.items():
        title = OURS[name] if name in ours else PEERS[name].title
        rows.append(read_row(lists, name, title, users, benchmark.seeds(name), name in ours, reason))
    return rows


def _show(title, rows, checked, out):
    from peer_table import EDGE, HEADER, cells, differences, markdown, notes

    from mmrec_tf.cli_output import console, show_rows

    remarks = [
        *differences(rows),
        "intervals: 95%, bootstrap over users of NDCG@10 averaged over seeds; training s: wall clock of one fit; "
        "examples/s: passes over the training positives; peak MB: the whole process, libraries included",
        f"tried: settings; {EDGE} where the search ended with one of the chosen at the edge of those tried, or with "
        "values of it untried",
        checked,
        *(note for row in rows for note in notes(row)),
    ]
    show_rows(title, HEADER, [cells(row) for row in rows])
    for remark in remarks:
        console.print(remark, soft_wrap=True, markup=False)
    (out / "table.md").write_text(markdown(title, rows, remarks), encoding="utf-8")
    say(f"{out / 'table.md'} holds the table")


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
