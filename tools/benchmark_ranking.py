"""Other libraries' rankers and ours on one split with one evaluator, in one table.

    python tools/benchmark_ranking.py data/movies/config.yaml --out data/ranking \\
        --set data.label=rating --set data.positive_from=4
    python tools/benchmark_ranking.py data/movies/config.yaml --out data/ranking-random --split random \\
        --set data.label=rating --set data.positive_from=4 --rankers deepfm,dcn,din --seeds 5

With `data.positive_from` the task is to tell what users liked from what they did not: every labelled interaction is a
pair, and none is drawn. Without it, and on leave-one-out, where the test holds nothing that was not liked, pairs are
the positives beside items drawn once for all models, which train on such pairs too.

The peers are the DeepFM of DeepCTR, DeepCTR-Torch and RecBole, LightGBM and CatBoost on target-encoded features, and
logistic regression, in an environment of their own that the first call makes. They are told ids, categories, numbers
and the clock. A peer has `--minutes` to find its settings by the validation part's AUC, and is then fitted on the
training part once for each seed. Our rankers are trained with the configuration as it is.

`--out` holds the pairs, the predictions and `table.md`; what is there is not made again, so a stopped call goes on and
`--seeds` can grow. Results of another split, configuration or number of minutes are refused there. `--again NAME` makes
a row anew. A peer that cannot be installed or fails leaves its reason in the table.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

REPOSITORY = Path(__file__).resolve().parents[1]
HERE = REPOSITORY / "tools" / "ranking_peers"
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tools"), str(REPOSITORY / "tools" / "peers"), str(HERE)]

from benchmark_peers import Benchmark, say  # noqa: E402
from ranking_names import FAMILY, OURS, PEERS  # noqa: E402
from results_folder import claim, made_rows  # noqa: E402


def main() -> int:
    arguments = _arguments()
    from export_pairs import export_pairs, overrides, task_of

    from mmrec_tf.config_file import dump_config, load_config
    from mmrec_tf.data.validation import load_data
    from mmrec_tf.errors import MmrecError
    from mmrec_tf.features.prepared import prepare
    from mmrec_tf.models.rankers.registry import ranker_class

    out = arguments.out.absolute()
    asked = [*arguments.set, f"split.method={arguments.split}"]
    try:
        config = load_config(arguments.config, overrides=asked)
        config = load_config(arguments.config, overrides=[*overrides(config), *asked])
        again = [name.removeprefix(OURS) for name in arguments.again if name.startswith(OURS)]
        asked_rankers = list(dict.fromkeys([*arguments.rankers, *again]))
        titles = {f"{OURS}{name}": f"mmrec_tf {ranker_class(name).title}" for name in asked_rankers}
        data, _ = load_data(config)
        prepared = prepare(data, config)
    except MmrecError as error:
        print(error, file=sys.stderr)
        return 2
    (out / "scores").mkdir(parents=True, exist_ok=True)
    task = task_of(config)
    wanted = {
        "split": f"{task} {prepared.fingerprint()}",
        "minutes": arguments.minutes,
        "config": dump_config(config),
    }
    problem = claim(out, wanted, made_rows(out / "scores"), arguments.again)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    (out / "config.yaml").write_text(wanted["config"], encoding="utf-8")
    pairs = export_pairs(prepared, out / "pairs.npz")
    benchmark = RankingBenchmark(arguments, out)
    for name in arguments.again:
        benchmark.forget(name)
    # What an earlier call has left stands in the table too, whatever this one was asked for.
    made, asked_peers = made_rows(out / "scores"), {*arguments.peers, *arguments.again}
    reasons = {
        name: benchmark.run_peer(name) if name in asked_peers else "" for name in PEERS if name in made | asked_peers
    }
    reasons |= {name: benchmark.run_ranker(name) for name in titles}
    for name in sorted(name for name in made.difference(titles) if name.startswith(OURS)):
        titles[name], reasons[name] = f"mmrec_tf {ranker_class(name.removeprefix(OURS)).title}", ""
    _show(_title(config, prepared, pairs, arguments.split, task), benchmark, pairs, reasons, titles)
    return 0


class RankingBenchmark(Benchmark):
    """Runs the peers' scripts and ours, one process for each search and each fit."""

    def __init__(self, arguments: argparse.Namespace, out: Path):
        super().__init__(arguments, out)
        self.lists = out / "scores"
        self.pins = HERE

    def seeds(self, name: str) -> list[int]:
        """1, 2, ...; the first alone for what has no random numbers."""
        count = self.arguments.seeds if name.startswith(OURS) or PEERS[name].is_seeded else 1
        return list(range(1, count + 1))

    def run_ranker(self, name: str) -> str:
        """Trains one of ours; why that did not come to an end, empty where it did."""
        for seed in self.seeds(name):
            if not self._is_done(name, seed):
                command = [sys.executable, str(HERE / "our_rankers.py"), name.removeprefix(OURS), *self._files()]
                if reason := self._call(f"{name}, seed {seed}", [*command, "--seed", str(seed)], None):
                    return reason
        return ""

    def check(self, pairs) -> str:
        """Whether scikit-learn gives the same figures."""
        from ranking_table import check_by_sklearn

        reason = self._script("scikit-learn", FAMILY, HERE / "auc_check.py", self._files(), None)
        return f"not checked by scikit-learn: {reason}" if reason else check_by_sklearn(self.lists, pairs)

    def _files(self):
        return ["--pairs", str(self.out / "pairs.npz"), "--out", str(self.lists)]

    def _task(self, name, task, seed):
        minutes = self.arguments.minutes
        given = [task, name, *self._files(), "--minutes", str(minutes), "--seed", str(seed)]
        most = 240.0 * minutes + 600.0
        return self._script(f"{name}, {task} {seed}", FAMILY, HERE / PEERS[name].script, given, most)


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pairs, the predictions and the table")
    parser.add_argument("--split", default="temporal", help="as split.method (default: temporal)")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help="as in mmrec train")
    parser.add_argument("--peers", type=_peers, default=list(PEERS), help=f"of {','.join(PEERS)}; all by default")
    parser.add_argument(
        "--rankers", type=_names, default=["deepfm"], help="ours, as models.ranking.model (default: deepfm)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="fits of each row (default: 3)")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each peer's search, and of a fit (default: 10)")
    parser.add_argument("--again", type=_rows, default=[], help=f"rows to make anew; ours are {OURS}NAME")
    parser.add_argument("--env", type=Path, help="folder of the environments (default: environments in --out)")
    parser.add_argument("--python", default=sys.executable, help="makes the environment; 3.10 or 3.11")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each row (default: all cores)")
    return parser.parse_args()


def _names(text):
    return [name for name in text.split(",") if name]


def _peers(text):
    unknown = sorted(set(_names(text)) - set(PEERS))
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}. Allowed: {', '.join(PEERS)}")
    return _names(text)


def _rows(text):
    # Whether there is such a ranker is asked with those of --rankers.
    unknown = sorted(name for name in _names(text) if name not in PEERS and not name.startswith(OURS))
    if unknown:
        raise argparse.ArgumentTypeError(
            f"there is no {', '.join(unknown)}. Allowed: {', '.join(PEERS)}, and {OURS}NAME for a ranker of ours"
        )
    return _names(text)


def _title(config, prepared, pairs, split, task):
    users = set(pairs["user_index"].tolist())
    new = sum(1 for user in users if prepared.users.id_index[user] == 0)
    return (
        f"{config.name}, {task}: {len(prepared.split.train):,} training interactions, {len(pairs['label']):,} test "
        f"pairs of {len(users):,} users ({new:,} of them liked nothing in training), {pairs['label'].mean():.1%} "
        f"positive, {split}"
    )


def _show(title, benchmark, pairs, reasons, titles):
    from peer_table import EDGE
    from ranking_table import HEADER, RankingRow, TestPairs, cells, differences, markdown, notes, read_row

    from mmrec_tf.cli_output import console, show_rows

    judged, rows = TestPairs(pairs["label"], pairs["user_index"]), []
    for name, reason in reasons.items():
        if name in titles:
            row = RankingRow(name, titles[name], is_ours=True, reason=reason)
        else:
            row = RankingRow(name, PEERS[name].title, is_deepfm=PEERS[name].is_deepfm, reason=reason)
        rows.append(read_row(benchmark.lists, row, judged, benchmark.seeds(name)))
    remarks = [
        *differences(rows, judged),
        "intervals: 95%, bootstrap over users of the AUC averaged over seeds; training s: wall clock of one fit, in "
        "ours with validation and calibration; peak MB: the whole process, libraries included",
        "examples/s: training pairs of the quickest of six passes, for the peers and for one member of ours; of two "
        "calls of the library's fit with four passes each the first pass, with which it sets up, is left out",
        "log loss and calibration error are those of the chances as a model gives them: ours are calibrated on the "
        "validation part where the configuration says so, the peers are not",
        f"tried: settings; {EDGE} where the search ended with one of the chosen at the edge of those tried, or with "
        "values of it untried",
        benchmark.check(judged),
        *(note for row in rows for note in notes(row)),
    ]
    table = [cells(row, judged) for row in rows]
    show_rows(title, HEADER, table)
    for remark in remarks:
        console.print(remark, soft_wrap=True, markup=False)
    (benchmark.out / "table.md").write_text(markdown(title, table, remarks), encoding="utf-8")
    say(f"{benchmark.out / 'table.md'} holds the table")


if __name__ == "__main__":
    sys.exit(main())
