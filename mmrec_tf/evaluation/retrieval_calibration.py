"""Settings of a trained retrieval model that validation chooses: what weighs how much in the score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from mmrec_tf.evaluation.evaluation_set import EvaluationSet
from mmrec_tf.evaluation.ranking_metrics import mean_ndcg
from mmrec_tf.evaluation.stage_lists import StageLists
from mmrec_tf.models.two_tower import TwoTower

TREND_SCALES = (0.5, 1.5, 2.0, 3.0, 5.0, 8.0)
"""What the trends' weights are multiplied by."""

_LEAST_NEWCOMERS = 10
"""Users without a history who can tell what the trends are to count for them."""

MEMORY_WEIGHTS = tuple(0.05 * 2.0**power for power in range(11))
HALF_LIVES = (1.0, 2.0, 8.0, 1000.0)
"""Of a memory of pairs, in items; the last counts all alike."""

Pairs = tuple[np.ndarray, np.ndarray]
"""Neighbours and similarities, as `NeighbourMemory.remember` takes them."""

NEW_ITEM_BONUSES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2)
"""Added to the score of items that training has not seen."""

MOST_NEW_PLACES = 0.1
"""Share of the places that new items are given where no validation interaction tells what they are worth."""

_NOTHING = 0.002
"""Share of NDCG that new items may cost and still cost nothing."""

_MOST_SCORES = 2**25
_LEAST_USERS = 50
"""Users that are asked, if there are as many, however large the catalogue is."""


def calibrate(
    model: TwoTower,
    users: EvaluationSet,
    lists: StageLists,
    ks: Sequence[int],
    seed: int = 0,
    pairs: Mapping[str, Mapping[str, Callable[[], Pairs]]] | None = None,
) -> dict[str, float | str]:
    """Weighs trends, neighbours and new items against the towers, one after the other, by NDCG.

    Training weighs what it sees; it sees the past, in which no item is new and what was popular then is well known.
    A setting other than the model's own is taken when its gain over the users is above half a standard error of their
    differences, so that a small validation set changes little; a memory of pairs, for which many are tried, when it is
    above a whole one.

    Of users without a history the towers know next to nothing, and much of what they say of them is chance. For these
    the trends' weight is the largest that validation cannot tell from the best, within half a standard error.

    Items that training has not seen have neither trend nor neighbours, and lists would go without them. They are shown
    as often as it costs nothing that validation could tell; and where nothing in validation is new, as often as their
    share of the catalogue, up to `MOST_NEW_PLACES`, because what nobody was shown nobody could take.

    Args:
        model: a trained `TwoTower`, whose settings are changed in place.
        users: the validation users.
        lists: their lists' makings.
        ks: cut-offs, over which NDCG is averaged; see `mean_ndcg`. The first is as many places as lists are shown with.
        seed: int. Which users are asked where they and the catalogue are many.
        pairs: name of one of the model's memories -> what it may remember, by name: functions that give neighbours and
            similarities, as `NeighbourMemory.remember` takes them. What is not named stays as it is.

    Returns:
        What was chosen, by name, and `gain`, the change of NDCG.
    """
    count = min(len(users), max(_MOST_SCORES // users.item_count, _LEAST_USERS))
    rows = np.sort(np.random.default_rng(seed).choice(len(users), count, replace=False))
    judge = _Judge(users, rows, ks)
    asked, candidates = lists.embeddings(model)
    asked, candidates = asked[rows], candidates[1:]
    dim = model.dim
    towers = asked[:, : dim + 1] @ candidates[:, : dim + 1].T
    trend = asked[:, dim + 1 :] @ candidates[:, dim + 1 :].T
    before = best = judge(towers + trend)
    chosen = {"trend_scale": 1.0}
    if model.half_lives:
        scale, best = choose(best, TREND_SCALES, lambda scale: judge(towers + scale * trend))
        if scale is not None:
            chosen["trend_scale"] = scale
            model.trend_blend.assign(model.trend_blend * scale)
            trend = scale * trend
        is_newcomer = model.is_newcomer(lists.asked["history"][rows]).numpy()
        if is_newcomer.sum() >= _LEAST_NEWCOMERS:
            theirs = _Judge(users, rows[is_newcomer], ks)
            scale, figures = _newcomer_scale(theirs, towers[is_newcomer], trend[is_newcomer])
            model.newcomer_gain.assign(scale)
            trend[is_newcomer] *= scale
            best = best.copy()
            best[is_newcomer] = figures
            chosen["newcomer_trend_scale"] = scale
    scores = towers + trend
    # Found once, however often they are tried: pairs of a linear model take seconds.
    left = {name: {content: cache(find) for content, find in found.items()} for name, found in (pairs or {}).items()}
    while left:
        # The memory that helps the most comes first: the others may hold much of the same.
        options = {
            name: _choose_pairs(model, name, contents, best, scores, lambda: lists.memory(model, rows), judge)
            for name, contents in left.items()
        }
        first = max(options, key=lambda name: options[name].figures.mean())
        # Where the first is no help, none is, and there is nothing to ask again.
        for name in [first] if options[first].weight else options:
            taken = options[name]
            _remember(model.memories[name], taken)
            chosen |= {f"{name}_{key}": getattr(taken, key) for key in ("pairs", "weight", "half_life")}
            best, scores = taken.figures, scores + taken.added
            del left[name]
    is_new = (model.items.lookup.id_index.numpy()[1:] == 0) & ~model.items.lookup.is_met.numpy()[1:]
    if is_new.any():
        bonus, best = _new_item_bonus(best, scores, is_new, judge)
        popularity = model.popularity.embeddings.numpy()
        popularity[0] += bonus
        model.popularity.embeddings.assign(popularity)
        chosen["new_item_bonus"] = bonus
    return {**chosen, "gain": float((best - before).mean())}


def _newcomer_scale(judge, towers, trend):
    """The largest scale of the trends that is as good as the best, but for half a standard error; and the figures."""
    found = {scale: judge(towers + scale * trend) for scale in (1.0, *(one for one in TREND_SCALES if one > 1.0))}
    best = max(found.values(), key=np.mean)
    lost = {scale: best - figures for scale, figures in found.items()}
    chosen = max(scale for scale, less in lost.items() if less.mean() <= 0.5 * less.std() / np.sqrt(len(less)))
    return chosen, found[chosen]


class _Choice(NamedTuple):
    """What a memory holds and what it weighs; what it adds to the users' scores; and their figures with it."""

    pairs: str
    weight: float
    half_life: float
    content: Pairs
    added: np.ndarray | float
    figures: np.ndarray


def _choose_pairs(model, name, contents, best, scores, remembered, judge) -> _Choice:
    """The best choice for one memory, beside those that have been made; it is left with what was tried last."""
    memory, weights = model.memories[name], {key: float(one.weight) for key, one in model.memories.items()}
    for other in model.memories.values():
        other.weight.assign(0.0)
    memory.weight.assign(1.0)
    kept = None
    for content, find in contents.items():
        pairs = find()
        memory.remember(*pairs)
        for half_life in HALF_LIVES:
            memory.half_life.assign(half_life)
            alone = remembered()
            ahead = None if kept is None else kept.figures
            found, figures = choose(
                best, MEMORY_WEIGHTS, lambda weight: judge(scores + weight * alone), ahead, errors=1.0
            )
            if found is not None:
                kept = _Choice(content, found, half_life, pairs, found * alone, figures)
    for key, one in model.memories.items():
        one.weight.assign(weights[key])
    return kept or _Choice("none", 0.0, HALF_LIVES[-1], pairs, 0.0, best)


def _remember(memory, choice: _Choice) -> None:
    memory.remember(*choice.content)
    memory.weight.assign(choice.weight)
    memory.half_life.assign(choice.half_life)


def _new_item_bonus(best, scores, is_new, judge):
    """The largest bonus that costs nothing, or the smallest that makes new items visible; and the users' figures."""
    # Where nobody finds anything, nothing is lost by any bonus either.
    has_evidence = judge.relevant[:, is_new].nnz > 0 and best.mean() > 0.0
    wanted = min(is_new.mean(), MOST_NEW_PLACES)
    chosen, figures = 0.0, best
    for bonus in NEW_ITEM_BONUSES:
        lists = judge.lists(scores + bonus * is_new)
        found = judge.figures(lists)
        # No allowance for chance: it would let a small validation set give the first places away.
        if has_evidence and found.mean() < best.mean() * (1.0 - _NOTHING):
            break
        chosen, figures = bonus, found
        if not has_evidence and is_new[lists[:, : judge.ks[0]]].mean() >= wanted:
            break
    return chosen, figures


class _Judge:
    """NDCG of each user from scores of all items, what they have seen left out."""

    def __init__(self, users: EvaluationSet, rows: np.ndarray, ks: Sequence[int]):
        self.profiles, self.relevant, self.ks = users.profiles[rows], users.relevant[rows], ks
        self.seen = np.repeat(np.arange(len(rows)), np.diff(self.profiles.indptr)), self.profiles.indices

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        return self.figures(self.lists(scores))

    def figures(self, lists: np.ndarray) -> np.ndarray:
        """`[users]` NDCG of lists."""
        return mean_ndcg(lists, self.relevant, self.ks)

    def lists(self, scores: np.ndarray) -> np.ndarray:
        """`[users, k]` int32 item rows of the largest cut-off, the best first."""
        scores = scores.copy()
        scores[self.seen] = -np.inf
        k = min(max(self.ks), scores.shape[1])
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        return np.take_along_axis(best, order, axis=1).astype(np.int32)


def choose(best: np.ndarray, settings, judge: Callable, ahead: np.ndarray | None = None, errors: float = 0.5):
    """The setting whose gain is the largest and above its standard error's share, or None; and the users' figures.

    Args:
        best: `[users]` figures of the model as it is.
        settings: what is tried.
        judge: setting -> `[users]` figures.
        ahead: figures of the best of other settings, which is to be beaten too.
        errors: float. How many standard errors a gain must exceed: more where so many settings are tried that chance
            finds one.
    """
    chosen, most = None, 0.0 if ahead is None else float((ahead - best).mean())
    figures = best
    for setting in settings:
        found = judge(setting)
        difference = found - best
        error = difference.std() / np.sqrt(len(difference))
        if difference.mean() > max(most, errors * error):
            chosen, most, figures = setting, difference.mean(), found
    return chosen, figures
