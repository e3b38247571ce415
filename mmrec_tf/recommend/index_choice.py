"""Which index serves a catalogue, and how much of it has to be looked at, measured on the run's own requests."""

import warnings
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from mmrec_tf.errors import ServingError
from mmrec_tf.recommend.exact_search import ExactSearch, Wishes
from mmrec_tf.recommend.inverted_file import InvertedFile
from mmrec_tf.recommend.scann_index import ScannIndex
from mmrec_tf.recommend.search import NOTHING

if TYPE_CHECKING:
    from mmrec_tf.recommend.engine import RecommendationEngine

INDEXES = ("exact", "ivf", "scann", "auto")

EXACT_UP_TO = 200_000
"""Items up to which `auto` searches everything, which then takes a few milliseconds a request."""

_SAMPLE, _BATCH = 512, 32
# How many times the length of the lists ScaNN's codes hand on to be scored again.
_RESCORED = (4, 8, 16, 32)

Sought = tuple[tf.Tensor, Wishes]
Search = ExactSearch | InvertedFile | ScannIndex


def chosen_search(engine: "RecommendationEngine", index: str, recall: float) -> Search:
    """The search of an engine that has an exact one.

    Of the inverted file and of ScaNN, as little is looked at as finds `recall` of what the exact search finds, in lists
    of `engine.candidates`: for a sample of the known users as they would ask at the moment, with what they have seen
    hidden and what is remembered added, and for the items that are similar to a sample of items.

    Args:
        engine: with its `search` exact.
        index: `exact`; `ivf`, an `InvertedFile`; `scann`, a `ScannIndex`; or `auto`: exact for up to `EXACT_UP_TO`
            items, and where the inverted file would miss the recall, else the inverted file. It is never ScaNN, which
            stock servers do not run.
        recall: float in (0, 1]. Share of the exact lists that is to be found.

    Raises:
        ServingError: for an index that is not known, a recall that cannot be, or ScaNN where it is not installed.
    """
    if index not in INDEXES:
        raise ServingError(f"index is {index!r}. Allowed: {', '.join(INDEXES)}.")
    if not 0.0 < recall <= 1.0:
        raise ServingError(f"recall is {recall}; it is the share of the exact lists to find, above 0 and at most 1.")
    exact = engine.search
    if not takes_building(index, engine.item_count):
        return exact
    approximate = _built_scann(engine) if index == "scann" else _built(engine)
    random = np.random.default_rng(0)
    users, items = (
        1 + random.choice(count, min(count, _SAMPLE), replace=False).astype(np.int32)
        for count in (engine.histories.shape[0] - 1, engine.item_count)
    )
    asked = [engine.sought_for(engine.asked(batch)) for batch in _batches(users)]
    asked_near = [engine.sought_near(batch) for batch in _batches(items)]
    reached = choose_effort(exact, approximate, [asked, asked_near], engine.candidates, recall)
    if reached >= recall:
        return approximate
    if index == "scann":
        warnings.warn(
            f"ScaNN is sure to find only {reached:.3f} of what the exact search finds when it looks at "
            f"{int(approximate.probes)} of {approximate.leaves} leaves and {int(approximate.rescored)} items are "
            f"scored again, and {recall} is wanted (export.recall). export.index: exact finds everything.",
            stacklevel=2,
        )
        return approximate
    found = (
        f"the inverted file is sure to find only {reached:.3f} of what the exact search finds when it looks at "
        f"{int(approximate.probes)} of {approximate.blocks} blocks, and {recall} is wanted (export.recall). More would "
        "take as long as looking at everything: the items' embeddings do not lie in groups."
    )
    if index == "auto":
        warnings.warn(f"{found} The export searches exactly.", stacklevel=2)
        return exact
    warnings.warn(f"{found} export.index: exact finds everything.", stacklevel=2)
    return approximate


def takes_building(index: str, items: int) -> bool:
    """Whether there is more to build for so many items than a table."""
    return index in ("ivf", "scann") or (index == "auto" and items > EXACT_UP_TO)


def choose_probes(
    exact: ExactSearch, approximate: InvertedFile | ScannIndex, samples: list[list[Sought]], k: int, recall: float
) -> float:
    """Sets the least `probes` that reach the recall on every sample, or the most that are allowed.

    Args:
        exact, approximate: of the same items.
        samples: batches of queries and wishes, for each sample.
        k: int. Length of the lists.
        recall: float.

    Returns:
        What the recall is at least, see `surely`, of the sample that has the lowest.
    """
    # Not by the index's call, which searches everything where a list is not filled.
    probed = tf.function(
        lambda probes, queries, wishes: approximate.probed(queries, tf.constant(k), wishes, probes)[1],
        reduce_retracing=True,
    )
    whole = tf.function(lambda queries, wishes: exact(queries, tf.constant(k), wishes)[1], reduce_retracing=True)

    def scores(find):
        return [np.concatenate([find(*sought) for sought in batches]) for batches in samples]

    wanted = scores(whole)

    def reached(probes):
        approximate.probes.assign(probes)
        found = scores(partial(probed, tf.constant(probes)))
        return min(surely(found_shares(*pair)) for pair in zip(found, wanted, strict=True))

    least, most = 1, approximate.most_probes
    found = reached(most)
    if found < recall:
        return found
    while least < most:
        middle = (least + most) // 2
        if reached(middle) >= recall:
            most = middle
        else:
            least = middle + 1
    return reached(most)


def found_shares(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """For each of `[batch, k]` wanted scores, the share for which the found list has one as good as the last wanted.

    By scores, since of items with equal scores each is as good as the other; 1 where nothing is wanted.
    """
    is_wanted = wanted > NOTHING
    last = np.where(is_wanted, wanted, np.finfo(np.float32).max).min(axis=1, keepdims=True)
    # The same product in another order differs in the last digits.
    is_found = (found > NOTHING) & (found >= last - 1e-5 * np.maximum(np.abs(last), 1.0))
    counts = is_wanted.sum(axis=1)
    return np.where(counts > 0, np.minimum(is_found.sum(axis=1), counts) / np.maximum(counts, 1), 1.0)


def surely(shares: np.ndarray) -> float:
    """What the mean of all requests is at least, in 95 of 100 samples: others are not served worse than the sample."""
    return float(shares.mean() - 1.645 * shares.std() / len(shares) ** 0.5)


def _batches(ids):
    return [ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH)]


def choose_effort(
    exact: ExactSearch, approximate: InvertedFile | ScannIndex, samples: list[list[Sought]], k: int, recall: float
) -> float:
    """As `choose_probes`, with as few items scored again as reach the recall, where that can be chosen."""
    if isinstance(approximate, InvertedFile):
        return choose_probes(exact, approximate, samples, k, recall)
    for times in _RESCORED:
        approximate.rescored.assign(times * k)
        reached = choose_probes(exact, approximate, samples, k, recall)
        if reached >= recall:
            break
    return reached


def _built(engine):
    options = _options(engine)
    embeddings = options.pop("embeddings")
    return InvertedFile(embeddings, engine.is_offered.numpy(), table=engine.table, **options)


def _built_scann(engine):
    return ScannIndex(engine.search, **_options(engine))


def _options(engine):
    embeddings = engine.item_embeddings.numpy()
    # Somebody of whom nothing is known: to them what is liked by everybody comes first.
    stranger = engine.embed_user(tf.constant([""])).numpy()[0]
    head = max(engine.item_count // 256, 4 * engine.candidates)
    return {"embeddings": embeddings, "favoured": embeddings @ stranger, "head": head, "depth": engine.candidates}
