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
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

REPOSITORY = Path(__file__).resolve().parents[1]
HERE = REPOSITORY / "tools" / "peers"
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tools"), str(HERE)]

from environments import environment  # noqa: E402
from peer_names import OURS, PEERS  # noqa: E402
from results_folder import claim, made_rows  # noqa: E402


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
    titles = our_titles(config)
    unmade = sorted(set(arguments.again) & set(OURS) - set(titles))
    if unmade:
        print(
            f"--again {', '.join(unmade)}: {arguments.config} has no ranker. Leave the row out, or set "
            "models.ranking.enabled to true",
            file=sys.stderr,
        )
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
    ours = list(titles)
    shown, asked = rows_of(arguments, made_rows(out / "lists"), ours)
    reasons = {name: benchmark.run_peer(name) if name in asked else "" for name in shown if name in PEERS}
    reason = benchmark.run_ours(ours) if asked.intersection(ours) else ""
    reasons |= {name: reason for name in shown if name in ours}
    rows = _rows(out / "lists", users, benchmark, reasons, titles)
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
        self.interpreters: dict[str | None, Path | OSError] = {None: Path(sys.executable)}
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

        reason = self._script("ranx", "torch", HERE / "ranx_check.py", self._files(), None)
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
        """The environment's Python; what went wrong where it could not be made, once for all rows."""
        if family not in self.interpreters:
            try:
                self.interpreters[family] = environment(self.folder, family, self.pins, self.arguments.python)
            except OSError as error:
                self.interpreters[family] = error
        return self.interpreters[family]

    def _task(self, name, task, seed):
        peer, minutes = PEERS[name], self.arguments.minutes
        given = [task, name, *self._files(), "--minutes", str(minutes), "--seed", str(seed)]
        most = 240.0 * minutes + 600.0
        return self._script(f"{name}, {task} {seed}", peer.environment, HERE / peer.script, given, most)

    def _script(self, title, family, script, given, most_seconds):
        """Runs a script in the environment of its family, as `_call` does."""
        interpreter = self._interpreter(family)
        if isinstance(interpreter, OSError):
            return f"no environment by --python {self.arguments.python} (3.10 or 3.11): {interpreter}"
        return self._call(title, [str(interpreter), str(script), *given], most_seconds)

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
    parser.add_argument("--peers", type=_peers, default=list(PEERS), help=f"of {','.join(PEERS)}; all by default")
    parser.add_argument("--seeds", type=int, default=3, help="fits of each row (default: 3)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each peer's search, and of a fit (default: 10)")
    parser.add_argument("--again", type=_names, default=[], help=f"rows to make anew, of those and {','.join(OURS)}")
    parser.add_argument(
        "--without-ours", action="store_true", help="ours are not trained; finished rows of ours are shown"
    )
    parser.add_argument("--env", type=Path, help="folder of the environments (default: environments in --out)")
    parser.add_argument("--python", default=sys.executable, help="makes the environments; 3.10 or 3.11")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each row (default: all cores)")
    return parser.parse_args()


def _peers(text):
    return _names(text, PEERS)


def _names(text, allowed=(*PEERS, *OURS)):
    names = [name for name in text.split(",") if name]
    unknown = sorted(set(names).difference(allowed))
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}. Allowed: {', '.join(allowed)}")
    return names


def rows_of(arguments: argparse.Namespace, made: set[str], ours: list[str]) -> tuple[list[str], set[str]]:
    """The table's rows in order, and those that this call makes; what an earlier call has left is shown all the same.

    Args:
        arguments: `peers`, `again` and `without_ours` are read.
        made: what an earlier call has left, but for what is made anew.
        ours: rows that the configuration has models of.
    """
    asked = {*arguments.peers, *arguments.again}
    if not arguments.without_ours or asked.intersection(ours):
        asked.update(ours)
    return [name for name in (*PEERS, *ours) if name in asked | made], asked


def our_titles(config) -> dict[str, str]:
    """Rows that the configuration has models of, and what the table calls them."""
    from mmrec_tf.models.rankers.registry import ranker_class

    ranking = config.models.ranking
    named = {name: title.format(ranker=ranker_class(ranking.model).title) for name, title in OURS.items()}
    return named if ranking.enabled else {"two_tower": named["two_tower"]}


def _rows(lists, users, benchmark, reasons, titles):
    from peer_table import read_row

    rows = []
    for name, reason in reasons.items():
        title = titles.get(name) or PEERS[name].title
        rows.append(read_row(lists, name, title, users, benchmark.seeds(name), name in titles, reason))
    return rows


def _show(title, rows, checked, out):
    from peer_table import EDGE, HEADER, cells, differences, markdown, notes

    from mmrec_tf.cli_output import console, show_rows

    remarks = [
        *differences(rows),
        "intervals: 95%, bootstrap over users of NDCG@10 averaged over seeds; peak MB: the whole process, libraries "
        "included",
        "training s: wall clock of one fit, of the peers training alone, of ours with validation, calibration and the "
        "stages of pretraining; examples/s: passes over the training positives in that time",
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
