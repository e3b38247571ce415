"""One table of all rows: one evaluator for every list, intervals over users, and the difference to the best peer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmrec_tf.evaluation.comparison import format_metric
from mmrec_tf.evaluation.evaluation_set import EvaluationSet
from mmrec_tf.evaluation.ranking_metrics import group_metrics, user_metrics

TOLERANCE = 1e-6
"""Most that a user's NDCG@10 or Recall@20 may differ between our evaluator and ranx."""

RESAMPLES = 2000

HEADER = (
    "model",
    "NDCG@10",
    "95% interval",
    "sd of seeds",
    "Recall@20",
    "coverage@20",
    "cold Recall@20",
    "training s",
    "examples/s",
    "peak MB",
    "seeds",
    "tried",
)

EDGE = "*"
"""Stands behind the number of settings tried where one of the chosen is the last that was tried, or the only one."""


@dataclass
class Row:
    """One line of the table.

    Args:
        name: of its files.
        title: what the table calls it.
        is_ours: bool. A model that is compared with the peers.
        ndcg: `[users]` float64, NDCG@10 averaged over the seeds; empty where the row has no lists.
        seed_ndcg: mean NDCG@10 of each seed.
        metrics: metric -> mean over the seeds.
        facts: what the fits wrote, one dict a seed.
        tuning: what the search wrote; empty without one.
        reason: why there is no figure, or none of some of the seeds.
    """

    name: str
    title: str
    is_ours: bool = False
    ndcg: np.ndarray = field(default_factory=lambda: np.zeros(0))
    seed_ndcg: list[float] = field(default_factory=list)
    metrics: dict[str, float | None] = field(default_factory=dict)
    facts: list[dict] = field(default_factory=list)
    tuning: dict = field(default_factory=dict)
    reason: str = ""


def read_row(folder: Path, name: str, title: str, users: EvaluationSet, seeds, is_ours=False, reason="") -> Row:
    """A row of the lists in a folder, those of the given seeds that are there; a row with a reason where none is."""
    row = Row(name, title, is_ours, reason=reason)
    settings = folder / f"{name}.settings.json"
    if settings.is_file():
        row.tuning = json.loads(settings.read_text(encoding="utf-8"))
    by_seed = []
    for seed in seeds:
        facts = folder / f"{name}.seed{seed}.json"
        if not facts.is_file():
            continue
        row.facts.append(json.loads(facts.read_text(encoding="utf-8")))
        lists = np.load(folder / f"{name}.seed{seed}.npy", allow_pickle=False)
        by_seed.append((user_metrics(lists, users.relevant, [10])["ndcg@10"], group_metrics(lists, users, [10, 20])))
    if not by_seed:
        row.reason = reason or "it has left no lists"
        return row
    row.ndcg = np.mean([ndcg for ndcg, _ in by_seed], axis=0)
    row.seed_ndcg = [float(ndcg.mean()) for ndcg, _ in by_seed]
    wanted = {"recall": ("all", "recall@20"), "coverage": ("all", "coverage@20"), "cold": ("cold_items", "recall@20")}
    for metric, (group, key) in wanted.items():
        values = [groups[group][key] for _, groups in by_seed]
        row.metrics[metric] = None if None in values else float(np.mean(values))
    return row


def interval(values: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """95% bootstrap interval of a mean over users (Efron and Tibshirani 1993): what other users would have given."""
    random = np.random.default_rng(seed)
    means = [values[random.integers(0, len(values), len(values))].mean() for _ in range(resamples)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def cells(row: Row) -> list[str]:
    """The row as text, in the order of `HEADER`."""
    if not len(row.ndcg):
        return [row.title, *["-"] * (len(HEADER) - 1)]
    low, high = interval(row.ndcg)
    seeds = len(row.seed_ndcg)
    seconds, rate, peak = (
        np.array([facts[name] for facts in row.facts], float)
        for name in ("seconds", "examples_per_second", "peak_memory_mb")
    )
    return [
        row.title,
        f"{row.ndcg.mean():.4f}",
        f"{low:.4f}..{high:.4f}",
        f"{np.std(row.seed_ndcg, ddof=1):.4f}" if seeds > 1 else "-",
        *(format_metric("", row.metrics[name]) for name in ("recall", "coverage", "cold")),
        f"{seconds.mean():.1f}",
        f"{rate.mean():.0f}",
        f"{peak.max():.0f}",
        str(seeds),
        tried(row),
    ]


def notes(row: Row) -> list[str]:
    """What the table's reader must know of a row: why it is empty, how it was tuned, and where that fell short."""
    if not len(row.ndcg):
        return [f"{row.title}: left out, {row.reason}"]
    said = [f"only {len(row.seed_ndcg)} of the seeds, {row.reason}"] if row.reason else []
    said += effort(row, "nothing to tune")
    return [f"{row.title}: {'; '.join(said)}"]


def effort(row, untuned: str) -> list[str]:
    """How a row's settings were found, and where that fell short.

    Args:
        row: with `is_ours`, `tuning` and `facts`, as a `Row` has them.
        untuned: str. Said of a row that was not tuned.
    """
    said = []
    if row.is_ours:
        said.append("the configuration's settings, not tuned")
    elif row.tuning.get("trials"):
        chosen = ", ".join(f"{name} {_short(value)}" for name, value in row.tuning["settings"].items())
        said.append(f"{row.tuning['trials']} settings tried in {row.tuning['tuning_seconds'] / 60:.1f} min: {chosen}")
    else:
        said.append(untuned)
    if row.tuning.get("trials") and row.tuning["at_edge"]:
        names = ", ".join(row.tuning["at_edge"])
        said.append(f"the search ended at the edge of what was tried, or with values untried, for {names}")
    if any(facts.get("is_cut_short") for facts in row.facts):
        said.append("training was cut short by the minutes")
    return said


def differences(rows: list[Row]) -> list[str]:
    """Each of ours minus the best peer, paired by user."""
    done = [row for row in rows if len(row.ndcg)]
    ours = sorted((row for row in done if row.is_ours), key=lambda row: -row.ndcg.mean())
    peers = [row for row in done if not row.is_ours]
    if not ours or not peers:
        return []
    best = max(peers, key=lambda row: row.ndcg.mean())
    said = []
    for place, row in enumerate(ours):
        change = row.ndcg - best.ndcg
        low, high = interval(change)
        which = "best of ours" if place == 0 else "ours"
        said.append(
            f"{which}, {row.title}, minus best peer, {best.title}: "
            f"NDCG@10 {change.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
        )
    return said


def check_by_ranx(folder: Path, users: EvaluationSet) -> str:
    """One sentence about how our figures for every list compare with those that ranx wrote.

    Raises:
        ValueError: when a user's figures differ by more than `TOLERANCE`.
    """
    most, lists_checked = 0.0, 0
    with np.load(folder / "ranx.npz", allow_pickle=False) as theirs:
        for path in sorted(folder.glob("*.npy")):
            ours = user_metrics(np.load(path, allow_pickle=False), users.relevant, [10, 20])
            for metric in ("ndcg@10", "recall@20"):
                difference = float(np.abs(ours[metric] - theirs[f"{path.stem}/{metric}"]).max())
                if difference > TOLERANCE:
                    raise ValueError(f"{metric} of {path.stem} differs from ranx by {difference:.2g} for a user.")
                most = max(most, difference)
            lists_checked += 1
    return (
        f"ranx gives the same NDCG@10 and Recall@20 for every user of {lists_checked} lists "
        f"(largest difference {most:.1e}, tolerance {TOLERANCE:g})"
    )


def markdown(title: str, rows: list[Row], remarks: list[str]) -> str:
    """The table with its notes, for a file."""
    lines = [f"# {title}", "", f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}"]
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    lines += ["", *(f"- {remark}" for remark in remarks)]
    return "\n".join(lines) + "\n"


def tried(row) -> str:
    """How many settings were tried, with `EDGE` behind it where there might have been more to try."""
    if row.is_ours or not row.tuning:
        return "-"
    return f"{row.tuning['trials']}{EDGE if row.tuning['trials'] and row.tuning['at_edge'] else ''}"


def _short(value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
