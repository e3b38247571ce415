"""One table of all rows: one evaluator for every prediction, intervals over users, and the difference to the peers."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from peer_table import effort, tried

from mmrec_tf.evaluation.classification_metrics import auc, expected_calibration_error, log_loss, per_user_auc
from mmrec_tf.evaluation.comparison import format_metric

TOLERANCE = 1e-6
"""Most that AUC or log loss may differ between our evaluator and scikit-learn."""

RESAMPLES = 1000

HEADER = (
    "model",
    "AUC",
    "95% interval",
    "sd of seeds",
    "per-user AUC",
    "log loss",
    "calibration error",
    "training s",
    "examples/s",
    "examples/s at our width",
    "peak MB",
    "seeds",
    "tried",
)


@dataclass
class TestPairs:
    """What all rows are judged by: `[n]` labels of 0 and 1, and whose each pair is."""

    __test__ = False

    label: np.ndarray
    user: np.ndarray


@dataclass
class RankingRow:
    """One line of the table.

    Args:
        name: of its files.
        title: what the table calls it.
        is_ours: bool. A model that is compared with the peers.
        is_deepfm: bool. A peer that ours are compared with apart from the others.
        predictions: `[n]` of each seed; empty where the row has none.
        metrics: metric -> one value a seed.
        facts: what the fits wrote, one dict a seed.
        tuning: what the search wrote; empty without one.
        reason: why there is no figure, or none of some of the seeds.
    """

    name: str
    title: str
    is_ours: bool = False
    is_deepfm: bool = False
    predictions: list[np.ndarray] = field(default_factory=list)
    metrics: dict[str, list[float | None]] = field(default_factory=dict)
    facts: list[dict] = field(default_factory=list)
    tuning: dict = field(default_factory=dict)
    reason: str = ""

    def mean(self, metric: str) -> float | None:
        values = self.metrics[metric]
        return None if None in values else float(np.mean(values))


def read_row(folder: Path, row: RankingRow, pairs: TestPairs, seeds: list[int]) -> RankingRow:
    """Fills a row from the folder's files of those seeds that are there; a reason where none is."""
    settings = folder / f"{row.name}.settings.json"
    if settings.is_file():
        row.tuning = json.loads(settings.read_text(encoding="utf-8"))
    for seed in seeds:
        facts = folder / f"{row.name}.seed{seed}.json"
        if facts.is_file():
            row.facts.append(json.loads(facts.read_text(encoding="utf-8")))
            row.predictions.append(np.load(folder / f"{row.name}.seed{seed}.npy", allow_pickle=False))
    if not row.predictions:
        row.reason = row.reason or "it has left no predictions"
        return row
    judges = {
        "auc": auc,
        "per_user_auc": lambda labels, chances: per_user_auc(labels, chances, pairs.user),
        "log_loss": log_loss,
        "calibration_error": expected_calibration_error,
    }
    row.metrics = {name: [judge(pairs.label, found) for found in row.predictions] for name, judge in judges.items()}
    return row


def auc_resamples(
    pairs: TestPairs, predictions: list[np.ndarray], resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """`[resamples]` AUC averaged over the seeds, of users drawn with replacement (Efron and Tibshirani 1993).

    Users and not pairs are drawn, because the pairs of one user are not independent. With the same `seed` the same
    users are drawn for every row, so that differences of rows are paired. A drawing without both classes gives NaN.
    """
    users = np.unique(pairs.user, return_inverse=True)[1].reshape(-1)
    random, count = np.random.default_rng(seed), int(users.max(initial=-1)) + 1
    sorted_rows = []
    for scores in predictions:
        order = np.argsort(scores, kind="stable")
        ordered = scores[order]
        ties = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        sorted_rows.append((users[order], pairs.label[order] > 0, ties))
    found = np.empty(resamples)
    for place in range(resamples):
        weights = np.bincount(random.integers(0, count, count), minlength=count).astype(float)
        found[place] = np.mean([_weighted_auc(weights[of], positive, ties) for of, positive, ties in sorted_rows])
    return found


def interval(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def cells(row: RankingRow, pairs: TestPairs) -> list[str]:
    """The row as text, in the order of `HEADER`."""
    if not row.predictions:
        return [row.title, *["-"] * (len(HEADER) - 1)]
    seeds, low_high = len(row.predictions), "-"
    if row.mean("auc") is not None:
        low_high = "{:.4f}..{:.4f}".format(*interval(auc_resamples(pairs, row.predictions)))
    return [
        row.title,
        format_metric("", row.mean("auc")),
        low_high,
        f"{np.std(row.metrics['auc'], ddof=1):.4f}" if seeds > 1 and row.mean("auc") is not None else "-",
        *(format_metric("", row.mean(name)) for name in ("per_user_auc", "log_loss", "calibration_error")),
        _fact(row, "seconds", "{:.1f}", np.mean),
        _fact(row, "examples_per_second", "{:.0f}", np.mean),
        _fact(row, "examples_per_second_at_width", "{:.0f}", np.mean),
        _fact(row, "peak_memory_mb", "{:.0f}", np.max),
        str(seeds),
        tried(row),
    ]


def notes(row: RankingRow) -> list[str]:
    """What the table's reader must know of a row: why it is empty, how it was tuned, and where that fell short."""
    if not row.predictions:
        return [f"{row.title}: left out, {row.reason}"]
    said = [f"only {len(row.predictions)} of the seeds, {row.reason}"] if row.reason else []
    said += effort(row, "not tuned: nothing to tune, or no validation part")
    shares = [facts["input_share"] for facts in row.facts if "input_share" in facts]
    if shares:
        said.append(f"its steps wait for the input pipeline {max(np.mean(shares), 0.0):.1%} of a pass")
    return [f"{row.title}: {'; '.join(said)}"]


def differences(rows: list[RankingRow], pairs: TestPairs) -> list[str]:
    """Each of ours minus the best peer, and minus the best DeepFM of the peers, over the same drawn users."""
    done = [row for row in rows if row.predictions and row.mean("auc") is not None]
    ours = sorted((row for row in done if row.is_ours), key=lambda row: -row.mean("auc"))
    peers = sorted((row for row in done if not row.is_ours), key=lambda row: -row.mean("auc"))
    against = {"best peer": peers[:1], "best DeepFM of the peers": [row for row in peers if row.is_deepfm][:1]}
    said = []
    for row in ours:
        own = auc_resamples(pairs, row.predictions)
        for which, (other,) in ((which, found) for which, found in against.items() if found):
            low, high = interval(own - auc_resamples(pairs, other.predictions))
            change = row.mean("auc") - other.mean("auc")
            said.append(f"{row.title} minus {which}, {other.title}: AUC {change:+.4f} [{low:+.4f}, {high:+.4f}]")
    return said


def check_by_sklearn(folder: Path, pairs: TestPairs) -> str:
    """One sentence about how our figures compare with those that scikit-learn wrote.

    Raises:
        ValueError: when a figure differs by more than `TOLERANCE`.
    """
    most, checked = 0.0, 0
    with np.load(folder / "sklearn.npz", allow_pickle=False) as theirs:
        for path in sorted(folder.glob("*.npy")):
            chances = np.load(path, allow_pickle=False)
            for name, judge in (("auc", auc), ("log_loss", log_loss)):
                difference = abs(judge(pairs.label, chances) - float(theirs[f"{path.stem}/{name}"]))
                if difference > TOLERANCE:
                    raise ValueError(f"{name} of {path.stem} differs from scikit-learn's by {difference:.2g}.")
                most = max(most, difference)
            checked += 1
    return (
        f"scikit-learn gives the same AUC and log loss for {checked} predictions (largest difference {most:.1e}, "
        f"tolerance {TOLERANCE:g})"
    )


def markdown(title: str, rows: list[list[str]], remarks: list[str]) -> str:
    """The table with its notes, for a file."""
    lines = [f"# {title}", "", f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", *(f"- {remark}" for remark in remarks)]
    return "\n".join(lines) + "\n"


def _weighted_auc(weights, positive, ties):
    """AUC of weighted rows in rising order of score, `ties` the first of each equal score."""
    above, below = (np.add.reduceat(weights * side, ties) for side in (positive, ~positive))
    product = above.sum() * below.sum()
    return (above @ (np.cumsum(below) - below / 2.0)) / product if product else np.nan


def _fact(row, name, shape, over):
    values = [facts[name] for facts in row.facts if facts.get(name) is not None]
    return shape.format(over(values)) if values else "-"
