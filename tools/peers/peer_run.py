"""What every peer's script does: choose settings within its minutes, or fit once and write the lists.

    python tools/peers/implicit_peers.py tune implicit_als --split OUT/split.npz --out OUT/peers --minutes 10
    python tools/peers/implicit_peers.py fit implicit_als --split OUT/split.npz --out OUT/peers --minutes 20 --seed 1

A peer is a generator that trains for a while, yields how many passes over the training positives it has made and how
it scores, and goes on when it is asked to: early stopping by the validation users' NDCG@10, the clock and the lists
are here and the same for all.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from peer_search import Setting, search
from peer_split import Part, SplitArrays, ndcg, top_items

Scorer = Callable[[Part, np.ndarray], np.ndarray]
"""Takes a part and `[batch]` positions in it, gives `[batch, n_items]` scores."""

LIST_LENGTH = 50
PATIENCE = 5
"""Yields without a better validation NDCG@10 after which a fit ends."""

TRIAL_SHARE = 0.2
"""Share of the budget that one trial may take, so that slow models too are tuned: by what they reach in that time."""

_ROWS = 256


@dataclass
class Peer:
    """A model of another library.

    Args:
        train: (split, settings, seed) -> iterator of (passes so far, scorer). It ends where the library's own rule
            ends training, or is stopped.
        settings: what is tuned.
        takes_profiles: bool. Scores a user by the items of the profile, also one who was not in training. The others
            show strangers what is popular.
        ranks_new_items: bool. Has something to say of items without interactions in training. For the others these
            stand last: their vectors are as they were drawn.
        falls_back: bool. Strangers get the popular items from here; else the peer sees to that.
    """

    train: Callable[[SplitArrays, dict, int], Iterator[tuple[float, Scorer]]]
    settings: Mapping[str, Setting]
    takes_profiles: bool = False
    ranks_new_items: bool = False
    falls_back: bool = True


def main(peers: Mapping[str, Peer]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=("tune", "fit"))
    parser.add_argument("name", choices=list(peers))
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True, help="budget of the tuning, or longest time of the fit")
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    split, peer = SplitArrays.load(arguments.split), peers[arguments.name]
    chosen = arguments.out / f"{arguments.name}.settings.json"
    if arguments.task == "tune":
        write_json(chosen, tune(peer, split, arguments.minutes, arguments.seed))
        return
    settings = json.loads(chosen.read_text())["settings"]
    deadline = time.perf_counter() + 60.0 * arguments.minutes
    fitted = fit(peer, split, settings, arguments.seed, deadline, with_lists=True)
    write_fit(arguments.out, arguments.name, arguments.seed, fitted.pop("lists"), fitted)


def tune(peer: Peer, split: SplitArrays, minutes: float, seed: int) -> dict:
    """The chosen settings and how they were found. The last trial ends with the budget."""
    started = time.perf_counter()
    deadline = started + 60.0 * minutes
    longest = 60.0 * minutes * TRIAL_SHARE
    if not peer.settings or not len(split.parts["validation"]):
        settings = {name: setting.start for name, setting in peer.settings.items()}
        return {"settings": settings, "trials": 0, "at_edge": list(settings), "tuning_seconds": 0.0}

    def judge(settings):
        fitted = fit(peer, split, settings, seed, min(deadline, time.perf_counter() + longest))
        print(f"{fitted['validation_ndcg']:.4f} after {fitted['passes']:g} passes: {settings}", flush=True)
        return fitted["validation_ndcg"]

    found = search(judge, peer.settings, lambda: time.perf_counter() < deadline)
    return {
        "settings": found.settings,
        "trials": len(found.trials),
        "at_edge": found.at_edge,
        "validation_ndcg": found.score,
        "tuning_seconds": time.perf_counter() - started,
        "log": [{"settings": settings, "validation_ndcg": score} for settings, score in found.trials],
    }


def fit(
    peer: Peer, split: SplitArrays, settings: dict, seed: int, deadline: float = math.inf, with_lists: bool = False
) -> dict:
    """Trains until the validation NDCG@10 no longer rises, and keeps what stood at its best.

    Returns:
        dict with `validation_ndcg`, `passes` and `best_passes`, `seconds` and `core_seconds` of training alone,
        `is_cut_short` by the deadline, and with `with_lists` the test users' `lists` `[n, 50]` int32.
    """
    training = peer.train(split, settings, seed)
    seconds = cores = passes = 0.0
    best, best_passes, since, lists, is_cut_short = -1.0, 0.0, 0, None, False
    validation = split.parts["validation"]
    while True:
        wall, core = time.perf_counter(), time.process_time()
        step = next(training, None)
        seconds, cores = seconds + time.perf_counter() - wall, cores + time.process_time() - core
        if step is None:
            break
        passes, scorer = step
        # With nobody to stop by, the last pass is the best there is.
        found = _validation_ndcg(peer, split, scorer) if len(validation) else passes
        since += 1
        if found > best:
            best, best_passes, since = found, passes, 0
            if with_lists:
                lists = recommend(peer, split, scorer, "test", LIST_LENGTH)
        is_cut_short = time.perf_counter() > deadline
        if since >= PATIENCE or is_cut_short:
            training.close()
            break
    result = {
        "validation_ndcg": best,
        "passes": passes,
        "best_passes": best_passes,
        "seconds": seconds,
        "core_seconds": cores,
        "examples_per_second": passes * len(split.positives[0]) / max(seconds, 1e-9),
        "is_cut_short": is_cut_short,
        "settings": settings,
    }
    return {**result, "lists": lists} if with_lists else result


def recommend(peer: Peer, split: SplitArrays, scorer: Scorer, part: str, k: int) -> np.ndarray:
    """`[n, k]` int32 item rows for the users of a part, what they have seen left out, -1 where none is left."""
    asked = split.parts[part]
    lists = np.full((len(asked), k), -1, np.int32)
    is_trained = np.diff(split.matrix.indptr) > 0
    for start in range(0, len(asked), _ROWS):
        positions = np.arange(start, min(start + _ROWS, len(asked)))
        scores = np.array(scorer(asked, positions), np.float32)
        if np.isnan(scores).any():
            scores = np.nan_to_num(scores, nan=-np.inf)
        if not peer.ranks_new_items:
            scores[:, split.popularity == 0] = -np.inf
        if peer.falls_back:
            liked = np.diff(asked.liked.indptr)[positions] > 0
            scores[~(liked if peer.takes_profiles else is_trained[asked.users[positions]])] = split.popularity
        seen = asked.seen[positions]
        scores[np.repeat(np.arange(len(positions)), np.diff(seen.indptr)), seen.indices] = -np.inf
        lists[positions] = top_items(scores, k)
    return lists


def _validation_ndcg(peer, split, scorer):
    return float(ndcg(recommend(peer, split, scorer, "validation", 10), split.parts["validation"].relevant).mean())


def write_fit(folder: Path, name: str, seed: int, lists: np.ndarray, facts: dict) -> None:
    """Writes `<name>.seed<seed>.npy` and `.json`, with the peak memory of this process."""
    np.save(folder / f"{name}.seed{seed}.npy", lists.astype(np.int32))
    # The file that says that the fit is done is written last.
    write_json(folder / f"{name}.seed{seed}.json", {**facts, "peak_memory_mb": peak_memory()})


def peak_memory() -> float:
    """The most megabytes that this process has held at a time."""
    status = Path("/proc/self/status")
    if status.is_file():
        # `ru_maxrss` begins with the size of the process that started this one.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024.0
    scale = 1024.0**2 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def dot_scorer(users: np.ndarray, items: np.ndarray, item_bias: np.ndarray | None = None) -> Scorer:
    """A scorer of `[n_users, dim]` and `[n_items, dim]` vectors by user row."""
    bias = 0.0 if item_bias is None else item_bias

    def score(part, positions):
        return users[part.users[positions]] @ items.T + bias

    return score


def threads() -> int:
    """How many threads a peer may use; 0 for its own choice."""
    return int(os.environ.get("OMP_NUM_THREADS", "0"))
