"""What every peer's script does: choose settings within its minutes, or fit once and write the lists.

    python tools/peers/implicit_peers.py tune implicit_als --split OUT/split.npz --out OUT/peers --minutes 10
    python tools/peers/implicit_peers.py fit implicit_als --split OUT/split.npz --out OUT/peers --minutes 20 --seed 1

A peer is a generator that trains for a while, yields how many passes over the training positives it has made and how
it scores, and goes on when it is asked to: early stopping by the validation users' NDCG@10, the clock and the lists
are here and the same for all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from peer_search import Setting
from peer_split import Part, SplitArrays, ndcg, top_items
from peer_task import PATIENCE, PeerTask, peak_memory, tune, write_json

Scorer = Callable[[Part, np.ndarray], np.ndarray]
"""Takes a part and `[batch]` positions in it, gives `[batch, n_items]` scores."""

LIST_LENGTH = 50
_ROWS = 256


@dataclass
class Peer:
    """A model of another library.

    Args:
        train: (split, settings, seed) -> iterator of (passes so far, scorer). It ends where the library's own rule
            ends training, or is stopped.
        settings: what is tuned.
        takes_profiles: bool. Scores a user by the items of the profile, also one who was not in training. The others
            show strangers what is popular, in the test by training and validation.
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
    task = PeerTask(peers, "split")
    split, peer = SplitArrays.load(task.data), peers[task.name]
    if task.is_search:

        def tried(settings, deadline):
            return fit(peer, split, settings, task.seed, deadline)

        is_judged = len(split.parts["validation"]) > 0
        task.keep_settings(tune(peer.settings, tried, "ndcg", task.minutes, is_judged))
        return
    fitted = fit(peer, split, task.settings, task.seed, task.deadline, with_lists=True)
    write_fit(task.out, task.name, task.seed, fitted.pop("lists"), fitted)


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
            is_known = liked if peer.takes_profiles else is_trained[asked.users[positions]]
            scores[~is_known] = split.popularity_of(part)
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


def dot_scorer(users: np.ndarray, items: np.ndarray, item_bias: np.ndarray | None = None) -> Scorer:
    """A scorer of `[n_users, dim]` and `[n_items, dim]` vectors by user row."""
    bias = 0.0 if item_bias is None else item_bias

    def score(part, positions):
        return users[part.users[positions]] @ items.T + bias

    return score
