"""Asks the signatures of an export what their answers look like, for `Reference`."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from mmrec_tf.recommend.engine import RecommendationEngine
from mmrec_tf.recommend.search import NOTHING
from mmrec_tf.serving.id_sketches import KnownIds
from mmrec_tf.serving.reference import Distribution, Reference
from mmrec_tf.serving.signatures import Signatures

SAMPLE_USERS = 1000
"""Known users that are asked for."""

PLACES = 10
"""First places of a list that are looked at."""

_BATCH = 64


class References:
    """Makes the reference of each exported model, from a sample of the known users.

    The lists are those of `serving_default`. The ranker is asked for the lists that retrieval gives the same users,
    which is what a client of `rank` would send.

    Args:
        engine: the chain.
        models: model name -> its signatures, as `model_signatures` gives them.
        seed: int. Of the sample. Defaults to 0.
    """

    def __init__(self, engine: RecommendationEngine, models: Mapping[str, Signatures], seed: int = 0):
        self._models = models
        users = np.sort(engine.user_table.export()[0].numpy())
        self._known = {"user": KnownIds.of(users), "item": KnownIds.of(engine.item_ids.numpy()[1:])}
        chosen = np.random.default_rng(seed).choice(len(users), min(SAMPLE_USERS, len(users)), replace=False)
        self._users = users[np.sort(chosen)]
        self._catalogue_size = max(1, int(np.sum(engine.is_offered.numpy()[1:])))

    def of(self, name: str) -> Reference:
        """The reference of a model, which is asked for it.

        Args:
            name: str. Of one of the models.
        """
        signatures = self._models[name]
        if name == "ranking":
            said = _ranked(signatures, self._models["retrieval"], self._users)
        else:
            said = _listed(signatures, self._users)
        return Reference(self._catalogue_size, self._known, **said)


def _listed(signatures: Signatures, users: np.ndarray) -> dict:
    answers = _asked(signatures["serving_default"], user_id=users)
    names = answers["item_id"][:, :PLACES]
    _, times = np.unique(names[names != b""], return_counts=True)
    times, items = np.unique(times, return_counts=True)
    said = {
        "scores": _scores(answers["score"][:, :PLACES]),
        "score_signatures": tuple(name for name in ("serving_default", "recommend", "retrieve") if name in signatures),
        "listed_times": times,
        "listed_items": items,
    }
    if "embed_user" in signatures:
        embeddings = _asked(signatures["embed_user"], user_id=users)["embedding"]
        said |= {"embeddings": Distribution.of_columns(embeddings), "embedding_signatures": ("embed_user",)}
    return said


def _ranked(signatures: Signatures, retrieval: Signatures, users: np.ndarray) -> dict:
    lists = _asked(retrieval["serving_default"], user_id=users)["item_id"][:, :PLACES]
    rows, _ = np.nonzero(lists != b"")
    pairs = {"user_id": users[rows], "item_id": lists[lists != b""]}
    if not len(rows):
        return {}
    # Places of a client's own list say nothing, so that all pairs are one column.
    scores = _asked(signatures["serving_default"], **pairs)["score"][:, None]
    return {"scores": _scores(scores), "score_signatures": ("serving_default", "rank")}


def _scores(scores: np.ndarray) -> Distribution | None:
    scores = np.where(scores > NOTHING, scores, np.nan)
    is_there = np.isfinite(scores).any(axis=0)
    return Distribution.of_places(scores[:, is_there]) if is_there.any() else None


def _asked(signature, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """What a signature answers to rows, a batch at a time."""
    rows = len(next(iter(inputs.values())))
    parts = [
        signature(*(tf.constant(values[start : start + _BATCH]) for values in inputs.values()))
        for start in range(0, rows, _BATCH)
    ]
    return {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]}
