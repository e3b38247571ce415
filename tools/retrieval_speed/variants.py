"""What is measured: the rows of each table, as specs of the scripts beside this file."""

from typing import NamedTuple

from interactions import SIZES


class Variant(NamedTuple):
    """A row of a table.

    Args:
        name: what the table calls it.
        script: the file beside this one that measures it.
        spec: what that file is told.
    """

    name: str
    script: str
    spec: dict


def _size(name):
    return dict(zip(("users", "items", "interactions"), SIZES[name]))


_SOFTMAX = {**_size("100k"), "dim": 32, "batch": 8192}
_TUTORIAL = {**_SOFTMAX, "strings": True, "metric": False, "xla": False, "epochs": 1}
# Four steps an epoch are enough of the slowest row.
_WITH_METRIC = {**_TUTORIAL, "metric": True, "interactions": 4 * 8192}
_OURS = {
    **_SOFTMAX,
    "negatives": "in_batch",
    "logq": "counts",
    "loss": "softmax",
    "optimizer": "adam",
    "xla": False,
    "steps_per_call": 1,
    "epochs": 2,
}

TRAINING = [
    Variant("TFRS tutorial", "tutorial_training", _WITH_METRIC),
    Variant("TFRS tutorial, one thread an operation", "tutorial_training", {**_WITH_METRIC, "operation_threads": 1}),
    Variant("TFRS tutorial, no metric in training", "tutorial_training", _TUTORIAL),
    Variant("TFRS, no metric, integer ids", "tutorial_training", {**_TUTORIAL, "strings": False}),
    Variant("TFRS, no metric, integer ids, XLA", "tutorial_training", {**_TUTORIAL, "strings": False, "xla": True}),
    Variant("ours", "our_training", _OURS),
    Variant("ours, one thread an operation", "our_training", {**_OURS, "operation_threads": 1}),
    Variant("ours, 16 steps a call", "our_training", {**_OURS, "steps_per_call": 16}),
    Variant("ours, XLA", "our_training", {**_OURS, "xla": True}),
    Variant("ours, XLA, 16 steps a call", "our_training", {**_OURS, "xla": True, "steps_per_call": 16}),
    Variant("ours, history of 30", "our_training", {**_OURS, "history": 30}),
    Variant("ours, history of 30, XLA", "our_training", {**_OURS, "history": 30, "xla": True}),
    Variant("ours, dim 64, XLA", "our_training", {**_OURS, "dim": 64, "xla": True}),
]
"""In-batch softmax at a batch of 8,192; the first row is the reference."""

_PAIRS = {**_size("1m"), "dim": 64}
_BPR = {**_PAIRS, "negatives": "uniform", "logq": False, "loss": "bpr", "optimizer": "adam", "epochs": 2}


def _bpr(batch, count, xla, optimizer="adam", steps=16):
    name = f"ours, batch {batch:,}, {count} shared" + (", XLA" if xla else "") + f", {optimizer}, {steps} steps a call"
    settings = {"batch": batch, "count": count, "xla": xla, "optimizer": optimizer, "steps_per_call": steps}
    return Variant(name, "our_training", {**_BPR, **settings})


RECBOLE = [
    Variant("RecBole BPR, batch 2,048", "recbole_bpr", {**_PAIRS, "batch": 2048, "epochs": 2}),
    Variant("RecBole BPR, batch 8,192", "recbole_bpr", {**_PAIRS, "batch": 8192, "epochs": 2}),
    _bpr(2048, 1, False),
    _bpr(2048, 1, False, steps=1),
    _bpr(2048, 8, False),
    _bpr(2048, 1, True),
    _bpr(2048, 1, False, "lazy_adam"),
    _bpr(8192, 1, False),
    _bpr(8192, 8, False),
    _bpr(8192, 1, True),
]
"""BPR on ids alone, of equal width; the first row is the reference."""


def profiled() -> list[tuple[str, dict]]:
    """The steps that are taken apart."""
    pairs = {**_BPR, "batch": 8192, "count": 1, "xla": False, "steps_per_call": 1}
    return [
        ("softmax, in-batch, 8,192 x 32", _OURS),
        ("softmax, in-batch, 8,192 x 32, XLA", {**_OURS, "xla": True}),
        ("BPR, one shared negative, 8,192 x 64", pairs),
    ]


def _ranking(items, method):
    users = 4096 if items < 50_000 else 1024
    return {
        "users": users,
        "items": items,
        "dim": 32,
        "k": 100,
        "batch": 1024,
        "seen": 20,
        "method": method,
    }


EVALUATION = {
    items: [
        Variant("FactorizedTopK, batches of 128 items (tutorial)", "ranking", _ranking(items, "streaming")),
        Variant("FactorizedTopK, brute force", "ranking", _ranking(items, "brute_force")),
        Variant("ours, what was seen left out", "ranking", _ranking(items, "ours")),
        Variant("the scores alone, nothing chosen", "ranking", _ranking(items, "products")),
    ]
    for items in (1_682, 20_000, 100_000)
}
"""Items -> rows; the first row is the reference."""

GROWTH = [
    Variant(
        f"{items:,} items",
        "our_training",
        {
            **_OURS,
            "users": 10_000,
            "items": items,
            "interactions": 200_000,
            "dim": 16,
            "batch": 1024,
            "optimizer": "lazy_adam",
            "steps_per_call": 16,
        },
    )
    for items in (10_000, 100_000, 1_000_000, 10_000_000)
]
"""Smallest first, which is the reference."""
