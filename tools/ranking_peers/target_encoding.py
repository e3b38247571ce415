"""What gradient boosting is told instead of categories: how often each went with a positive, and how often it came.

Where labels say how much was liked, also the mean of that.

Of training pairs each is told what the other folds say, so that a pair's own label is no feature of it; validation is
told what all of training says, and the test what training and validation say, as our own statistics are (Micci-Barreca
2001; Prokhorenkova et al. 2018 on the leak).
"""

from __future__ import annotations

import numpy as np
from pair_arrays import DAY, PARTS, PairArrays, clock

FOLDS = 5

TOLD = {"train": ("train",), "validation": ("train",), "test": ("train", "validation")}
"""What the pairs of a part know the labels of; those of training all but their own."""


def encoded(arrays: PairArrays, smoothing: float, seed: int = 0) -> tuple[dict[str, np.ndarray], list[str]]:
    """Part -> `[n, columns]` float32, and the columns' names.

    Args:
        arrays: the pairs.
        smoothing: pairs of the mean that each value's mean is mixed with.
        seed: int. Of the folds.
    """
    folds = np.random.default_rng(seed).integers(0, FOLDS, len(arrays.parts["train"]))
    columns = {part: _columns(arrays, part, folds, smoothing) for part in PARTS}
    names = list(columns["train"])
    return {part: np.stack([columns[part][name] for name in names], axis=1).astype(np.float32) for part in PARTS}, names


def _columns(arrays, part, folds, smoothing):
    """Name -> `[n]`."""
    # Without folds of their own, it does not matter in which ones the pairs are that tell.
    folds, own = (folds, folds) if part == "train" else (np.zeros(_count(arrays, TOLD[part]), int), None)
    told, found = _labels(arrays, TOLD[part]), {}
    known, categories = _joined(arrays, TOLD[part], _categories), _categories(arrays, part)
    for name, asked in categories.items():
        values = known[name]
        for title, labels in told.items():
            found[f"{name} {title}"] = target_mean(values, labels, folds, asked, own, smoothing)
        size = max(values.max(initial=0), asked.max(initial=0)) + 1
        found[f"{name} count"] = np.log1p(np.bincount(values, minlength=size)[asked])
    lists = _joined(arrays, TOLD[part], PairArrays.lists)
    for name, asked in arrays.lists(part).items():
        users = known["user_id"], categories["user_id"]
        for title, labels in told.items():
            found |= _list_columns(f"{name} {title}", labels, lists[name], asked, users, folds, own, smoothing)
        found[f"{name} number"] = (asked > 0).sum(axis=1)
    found |= arrays.numbers(part)
    return found | _time_columns(arrays, part) if arrays.has_times else found


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
        values, labels, folds: `[rows]`, of the pairs that tell; value 0 is none and tells nothing.
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


def _categories(arrays, part):
    """Those of the pairs, but of users and items the rows: validation tells of some that training has no pair of."""
    pairs = arrays.parts[part]
    return {**arrays.categories(part), "user_id": pairs.user + 1, "item_id": pairs.item + 1}


def _joined(arrays, parts, features):
    """Feature -> its values for the pairs of several parts, lists as wide as the widest."""
    found = [features(arrays, part) for part in parts]
    joined = {}
    for name in found[0]:
        values = [of[name] for of in found]
        if values[0].ndim == 2:
            width = max(of.shape[1] for of in values)
            values = [np.pad(of, ((0, 0), (0, width - of.shape[1]))) for of in values]
        joined[name] = np.concatenate(values)
    return joined


def _count(arrays, parts):
    return sum(len(arrays.parts[part]) for part in parts)


def _labels(arrays, parts):
    """Title -> `[n]`, what means are taken of."""
    pairs = [arrays.parts[part] for part in parts]
    found = {"mean": np.concatenate([of.label for of in pairs])}
    if pairs[0].grade is not None:
        found["grade"] = np.concatenate([of.grade for of in pairs])
    return found


def _list_columns(title, labels, values, asked, users, folds, own, smoothing):
    """The mean over an item's values of each one's mean, and of each one's mean with this user."""
    width = values.shape[1]
    repeated = {"labels": np.repeat(labels, width), "folds": np.repeat(folds, width)}
    flat, flat_own = asked.reshape(-1), None if own is None else np.repeat(own, width)
    plain = target_mean(values.reshape(-1), **repeated, asked=flat, own=flat_own, smoothing=smoothing)
    size = int(max(values.max(initial=0), asked.max(initial=0))) + 1

    def crossed(users, lists):
        return np.where(lists > 0, users[:, None].astype(np.int64) * size + lists, 0)

    pair_values = crossed(users[0], values).reshape(-1)
    pair_asked = crossed(users[1], asked).reshape(-1)
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
    pairs = arrays.parts[part]
    first = np.full(max(int(arrays.parts[each].item.max(initial=0)) for each in PARTS) + 1, np.inf)
    for told in (arrays.parts[each] for each in TOLD[part]):
        np.minimum.at(first, told.item, told.time)
    age = np.where(np.isfinite(first[pairs.item]), (pairs.time - first[pairs.item]) / DAY, np.nan)
    return {**clock(pairs.time), "day": pairs.time / DAY, "item age": age}
