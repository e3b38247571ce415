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

InOneCall = Callable[[int], list[float]]
"""Makes a number of passes in one call of a library's fit, and gives the moments when each of them ended."""

CALLS, PASSES_A_CALL = 2, 4
"""Of what is timed; the first pass of a call, with which a library sets up, is left out."""


@dataclass
class RankingPeer:
    """A model of another library.

    Args:
        train: (arrays, settings, seed) -> iterator of (passes so far, predict). It ends where the library's own rule
            ends training, or is stopped.
        settings: what is tuned.
        at_width: widths (see `PairArrays`) -> settings of the size of our ranker; None where size means something else.
        in_one_call: (arrays, settings, seed) -> `InOneCall` of a model that is timed. None for what does not go through
            the training pairs in passes, as trees and solvers do not, and has no examples a second.
    """

    train: Callable[[PairArrays, dict, int], Iterator[tuple[float, Predict]]]
    settings: Mapping[str, Setting]
    at_width: Callable[[dict], dict] | None = None
    in_one_call: Callable[[PairArrays, dict, int], InOneCall] | None = None


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
    if peer.in_one_call is not None:
        at_width = {**settings, **peer.at_width(arrays.widths)}
        for name, timed in (("examples_per_second", settings), ("examples_per_second_at_width", at_width)):
            (seconds,) = quickest_passes(peer.in_one_call(arrays, timed, task.seed))
            facts[name] = len(arrays.parts["train"]) / seconds
    write_predictions(task.out, task.name, task.seed, predictions, facts)


def fit(peer: RankingPeer, arrays: PairArrays, settings: dict, seed: int, deadline: float = math.inf) -> dict:
    """Trains until the validation AUC no longer rises, and keeps what stood at its best.

    Returns:
        dict with the test pairs' `predictions` `[n]` float64, `validation_auc`, `passes` and `best_passes`, `seconds`
        of training alone, and `is_cut_short` by the deadline.
    """
    training = peer.train(arrays, settings, seed)
    seconds = passes = best_passes = 0.0
    best, since, predictions, is_cut_short = -math.inf, 0, None, False
    while True:
        wall = time.perf_counter()
        step = next(training, None)
        seconds += time.perf_counter() - wall
        if step is None:
            break
        passes, predict = step
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
    return {
        "predictions": predictions,
        "validation_auc": best,
        "passes": passes,
        "best_passes": best_passes,
        "seconds": seconds,
        "is_cut_short": is_cut_short,
        "settings": settings,
    }


def quickest_passes(*calls: InOneCall) -> list[float]:
    """Seconds of the quickest pass of each, of six in the midst of a running fit; all take turns.

    Ours are timed by it as the peers are: nobody pays what a call sets up, and other work on the machine, which makes
    passes slower and never quicker, counts as little as it can.
    """
    seconds = [[] for _ in calls]
    for _ in range(CALLS):
        for found, call in zip(seconds, calls):
            found += np.diff(call(PASSES_A_CALL)).tolist()
    return [min(found) for found in seconds]


def write_predictions(folder: Path, name: str, seed: int, predictions: np.ndarray, facts: dict) -> None:
    """Writes `<name>.seed<seed>.npy` and `.json`."""
    np.save(folder / f"{name}.seed{seed}.npy", np.asarray(predictions, np.float64))
    # The file that says that the fit is done is written last.
    write_json(folder / f"{name}.seed{seed}.json", facts)


def _is_judged(arrays):
    labels = arrays.parts["validation"].label
    return len(labels) > 0 and bool(np.ptp(labels) > 0)
