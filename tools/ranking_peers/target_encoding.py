"""What gradient boosting is told instead of categories: how often each went with a positive, and how often it came.

Where labels say how much was liked, also the mean of that.

Of training pairs each is told what the other folds say, so that a pair's own label is no feature of it; validation and
test are told what all of training says (Micci-Barreca 2001; Prokhorenkova et al. 2018 on the leak).
"""

from __future__ import annotations

import numpy as np
from pair_arrays import DAY, PARTS, PairArrays, clock

FOLDS = 5


def encoded(arrays: PairArrays, smoothing: float, seed: int = 0) -> tuple[dict[str, np.ndarray], list[str]]:
    """Part -> `[n, columns]` float32, and the columns' names.

    Args:
        arrays: the pairs.
        smoothing: pairs of the mean that each value's mean is mixed with.
        seed: int. Of the folds.
    """
    train = arrays.parts["train"]
    folds = np.random.default_rng(seed).integers(0, FOLDS, len(train))
    columns: dict[str, dict[str, np.ndarray]] = {part: {} for part in PARTS}
    categories = {part: arrays.categories(part) for part in PARTS}
    for name, values in categories["train"].items():
        for part in PARTS:
            asked = categories[part][name]
            own = folds if part == "train" else None
            for title, labels in _told(train).items():
                columns[part][f"{name} {title}"] = target_mean(values, labels, folds, asked, own, smoothing)
            columns[part][f"{name} count"] = np.log1p(np.bincount(values, minlength=asked.max(initial=0) + 1)[asked])
    for name, values in arrays.lists("train").items():
        for part in PARTS:
            own = folds if part == "train" else None
            asked = arrays.lists(part)[name]
            for title, labels in _told(train).items():
                columns[part] |= _list_columns(
                    arrays, f"{name} {title}", labels, values, asked, categories, part, folds, own, smoothing
                )
            columns[part][f"{name} number"] = (asked > 0).sum(axis=1)
    for part in PARTS:
        columns[part] |= arrays.numbers(part)
        if arrays.has_times:
            columns[part] |= _time_columns(arrays, part)
    names = list(columns["train"])
    return {part: np.stack([columns[part][name] for name in names], axis=1).astype(np.float32) for part in PARTS}, names


def target_mean(
    values: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    asked: np.ndarray,
    own: np.ndarray | None,
    smoothing: float,
    prior: np.ndarray | None = None,
) -> np.ndarray:
    """`[n]` smoothed mean of the labels that came with each asked value, (sum + m prior) / (count + m).

    Args:
        values, labels, folds: `[rows]`, of the training pairs; value 0 is none and tells nothing.
        asked: `[n]` int, the values in question.
        own: `[n]` int, the fold of each that is left out; None for what is no training pair.
        smoothing: m.
        prior: `[n]` float. Defaults to the mean of the labels that are not left out.
    """
    size = int(max(values.max(initial=0), asked.max(initial=0))) + 1
    place, asked_place = folds * size + values, None if own is None else own * size + asked
    is_told = values > 0
    counts = np.bincount(place[is_told], minlength=FOLDS * size)
    sums = np.bincount(place[is_told], weights=labels[is_told], minlength=FOLDS * size)
    count, total = (of.reshape(FOLDS, size).sum(axis=0)[asked] for of in (counts, sums))
    fold_counts, fold_sums = np.bincount(folds, minlength=FOLDS), np.bincount(folds, labels, minlength=FOLDS)
    means = np.full(len(asked), labels.mean())
    if own is not None:
        count, total = count - counts[asked_place], total - sums[asked_place]
        means = ((labels.sum() - fold_sums) / np.maximum(len(labels) - fold_counts, 1))[own]
    prior = means if prior is None else prior
    return (total + smoothing * prior) / (count + smoothing)


def _told(train):
    """Title -> `[n]`, what means are taken of."""
    return {"mean": train.label} if train.grade is None else {"mean": train.label, "grade": train.grade}


def _list_columns(arrays, title, labels, values, asked, categories, part, folds, own, smoothing):
    """The mean over an item's values of each one's mean, and of each one's mean with this user."""
    width = values.shape[1]
    repeated = {"labels": np.repeat(labels, width), "folds": np.repeat(folds, width)}
    flat, flat_own = asked.reshape(-1), None if own is None else np.repeat(own, width)
    plain = target_mean(values.reshape(-1), **repeated, asked=flat, own=flat_own, smoothing=smoothing)
    size = int(max(values.max(initial=0), asked.max(initial=0))) + 1

    def crossed(users, lists):
        return np.where((lists > 0) & (users[:, None] > 0), users[:, None].astype(np.int64) * size + lists, 0)

    pair_values = crossed(categories["train"]["user_id"], values).reshape(-1)
    pair_asked = crossed(categories[part]["user_id"], asked).reshape(-1)
    kept, places = np.unique(np.concatenate([[0], pair_values, pair_asked]), return_inverse=True)
    places = places.reshape(-1)[1:]
    assert kept[0] == 0
    mean = target_mean(
        places[: len(pair_values)],
        **repeated,
        asked=places[len(pair_values) :],
        own=flat_own,
        smoothing=smoothing,
        prior=plain,
    )
    there = asked > 0
    found = {}
    for column, of in ((title, plain), (f"user x {title}", mean)):
        total = np.where(there, of.reshape(asked.shape), 0.0).sum(axis=1)
        found[column] = np.where(there.any(axis=1), total / np.maximum(there.sum(axis=1), 1), labels.mean())
    return found


def _time_columns(arrays, part):
    """The clock, the day, and how long the item has been known when it is asked about."""
    train, pairs = arrays.parts["train"], arrays.parts[part]
    first = np.full(max(int(arrays.parts[each].item.max(initial=0)) for each in PARTS) + 1, np.inf)
    np.minimum.at(first, train.item, train.time)
    age = np.where(np.isfinite(first[pairs.item]), (pairs.time - first[pairs.item]) / DAY, np.nan)
    return {**clock(pairs.time), "day": pairs.time / DAY, "item age": age}
