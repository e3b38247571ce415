"""What every peer's script does: choose settings within its minutes, or fit once and write the test pairs' chances.

    python tools/ranking_peers/boosting_peers.py tune lightgbm --pairs OUT/pairs.npz --out OUT/scores --minutes 10
    python tools/ranking_peers/boosting_peers.py fit lightgbm --pairs OUT/pairs.npz --out OUT/scores --seed 1

A peer is a generator that trains for a while, yields how many passes over the training pairs it has made and how it
predicts, and goes on when it is asked to: early stopping by the validation AUC and the clock are here and the same for
all.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pair_arrays import PairArrays, auc

sys.path.append(str(Path(__file__).resolve().parents[1] / "peers"))

from peer_search import Setting  # noqa: E402
from peer_task import PATIENCE, PeerTask, peak_memory, threads, tune, write_json  # noqa: E402

__all__ = ["RankingPeer", "Setting", "main", "peak_memory", "threads", "write_predictions"]

Predict = Callable[[str], np.ndarray]
"""Takes a part's name and gives `[n]` chances of a positive."""

TIMED_PASSES = 3
"""Passes at our ranker's size, of which the first is left out of the time."""


@dataclass
class RankingPeer:
    """A model of another library.

    Args:
        train: (arrays, settings, seed) -> iterator of (passes so far, predict). It ends where the library's own rule
            ends training, or is stopped.
        settings: what is tuned.
        at_width: widths (see `PairArrays`) -> settings of the size of our ranker; None where size means something else.
        has_passes: bool. Goes through the training pairs once for each pass that it counts; trees and the iterations of
            a solver do not, and have no examples a second.
    """

    train: Callable[[PairArrays, dict, int], Iterator[tuple[float, Predict]]]
    settings: Mapping[str, Setting]
    at_width: Callable[[dict], dict] | None = None
    has_passes: bool = True


def main(peers: Mapping[str, RankingPeer]) -> None:
    task = PeerTask(peers, "pairs")
    arrays, peer = PairArrays.load(task.data), peers[task.name]
    if task.is_search:

        def tried(settings, deadline):
            return fit(peer, arrays, settings, task.seed, deadline)

        task.keep_settings(tune(peer.settings, tried, "auc", task.minutes, _is_judged(arrays)))
        return
    settings = task.settings
    fitted = fit(peer, arrays, settings, task.seed, task.deadline)
    facts = {**fitted, "peak_memory_mb": peak_memory()}
    predictions = facts.pop("predictions")
    if peer.at_width is not None:
        facts["examples_per_second_at_width"] = rate_at_width(peer, arrays, settings, task.seed)
    write_predictions(task.out, task.name, task.seed, predictions, facts)


def fit(peer: RankingPeer, arrays: PairArrays, settings: dict, seed: int, deadline: float = math.inf) -> dict:
    """Trains until the validation AUC no longer rises, and keeps what stood at its best.

    Returns:
        dict with the test pairs' `predictions` `[n]` float64, `validation_auc`, `passes` and `best_passes`, `seconds`
        of training alone, `is_cut_short` by the deadline, and `examples_per_second` of the passes after the first,
        which also makes the model; None without `has_passes`.
    """
    training = peer.train(arrays, settings, seed)
    seconds = first_seconds = passes = first_passes = best_passes = 0.0
    best, since, predictions, is_cut_short = -math.inf, 0, None, False
    while True:
        wall = time.perf_counter()
        step = next(training, None)
        seconds += time.perf_counter() - wall
        if step is None:
            break
        passes, predict = step
        if predictions is None:
            first_seconds, first_passes = seconds, passes
        # With nothing to stop by, the last pass is the best there is.
        validation = arrays.parts["validation"]
        found = auc(validation.label, predict("validation")) if _is_judged(arrays) else passes
        since += 1
        if found > best:
            best, best_passes, since = found, passes, 0
            predictions = np.asarray(predict("test"), np.float64).reshape(-1)
        is_cut_short = time.perf_counter() > deadline
        if since >= PATIENCE or is_cut_short:
            training.close()
            break
    if passes > first_passes:
        rate = (passes - first_passes) * len(arrays.parts["train"]) / max(seconds - first_seconds, 1e-9)
    else:
        rate = passes * len(arrays.parts["train"]) / max(seconds, 1e-9)
    return {
        "predictions": predictions,
        "validation_auc": best,
        "passes": passes,
        "best_passes": best_passes,
        "seconds": seconds,
        "examples_per_second": rate if peer.has_passes else None,
        "is_cut_short": is_cut_short,
        "settings": settings,
    }


def rate_at_width(peer: RankingPeer, arrays: PairArrays, settings: dict, seed: int) -> float:
    """Examples a second of the passes after the first, with the peer as wide as our ranker."""
    training = peer.train(arrays, {**settings, **peer.at_width(arrays.widths)}, seed)
    next(training)
    wall = time.perf_counter()
    for _ in range(TIMED_PASSES - 1):
        next(training)
    rate = (TIMED_PASSES - 1) * len(arrays.parts["train"]) / (time.perf_counter() - wall)
    training.close()
    return rate


def write_predictions(folder: Path, name: str, seed: int, predictions: np.ndarray, facts: dict) -> None:
    """Writes `<name>.seed<seed>.npy` and `.json`."""
    np.save(folder / f"{name}.seed{seed}.npy", np.asarray(predictions, np.float64))
    # The file that says that the fit is done is written last.
    write_json(folder / f"{name}.seed{seed}.json", facts)


def _is_judged(arrays):
    labels = arrays.parts["validation"].label
    return len(labels) > 0 and bool(np.ptp(labels) > 0)
