"""What one version of a model has answered over a sliding window, compared with its reference."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mmrec_tf.serving.drift import count_in_bins, expected_distinct, population_stability_index
from mmrec_tf.serving.id_sketches import DistinctIds, hash_ids
from mmrec_tf.serving.reference import Reference

USER_INPUTS = ("user_id",)
ITEM_INPUTS = ("item_id", "item_ids", "history_item_ids")
"""Inputs that name what the model may not know. What is to be excluded says nothing of it."""

LEAST_ROWS = 300
"""Rows, places or ids of a window from which on a measure is told: of fewer, an index of 0.1 can be chance."""

_SLICES = 12
_NOTHING = float(np.finfo(np.float32).min)


class _Slice:
    """A part of the window: counts and hashes, nothing of any one request."""

    def __init__(self, reference: Reference):
        self.scores = None if reference.scores is None else np.zeros_like(reference.scores.counts)
        self.embeddings = None if reference.embeddings is None else np.zeros_like(reference.embeddings.counts)
        self.rows = {"scores": 0, "embeddings": 0}
        self.listed = DistinctIds(reference.catalogue_size)
        self.picks = 0
        self.ids = dict.fromkeys(reference.known, 0)
        self.unknown = dict.fromkeys(reference.known, 0)

    def join(self, other: "_Slice") -> None:
        for name in ("scores", "embeddings"):
            if getattr(self, name) is not None:
                getattr(self, name)[...] += getattr(other, name)
            self.rows[name] += other.rows[name]
        self.listed.join(other.listed)
        self.picks += other.picks
        for kind in self.ids:
            self.ids[kind] += other.ids[kind]
            self.unknown[kind] += other.unknown[kind]


@dataclass(frozen=True)
class DriftReport:
    """The measures of a window; None for what it holds too little of, or the model does not answer.

    Args:
        score_rows, embedding_rows: int. Answers that were looked at.
        score_psi: float. Of the scores, places of the list weighed as they were asked for.
        score_expected, score_observed: shares by bin.
        embedding_psi: float. Of the embeddings, the mean over their dimensions.
        embedding_psi_largest: float. Of the dimension that has moved most.
        picks: int. Places of lists that were looked at.
        coverage: float. Share of the catalogue that was in any list.
        coverage_expected: float. The share that as many places of the reference's lists cover.
        ids: kind -> ids that were named.
        unknown: kind -> the share of them that the model does not know.
    """

    score_rows: int
    score_psi: float | None
    score_expected: list[float] | None
    score_observed: list[float] | None
    embedding_rows: int
    embedding_psi: float | None
    embedding_psi_largest: float | None
    picks: int
    coverage: float | None
    coverage_expected: float | None
    ids: dict[str, int]
    unknown: dict[str, float | None]


class ModelDrift:
    """Counts answers over a sliding window, in memory that does not grow; not for several threads at once.

    The window moves on by a twelfth of its length at a time.

    Args:
        reference: what is expected.
        seconds: float. Length of the window.
        clock: seconds of a clock that never goes back.
    """

    def __init__(self, reference: Reference, seconds: float, clock: Callable[[], float] = time.monotonic):
        self.reference = reference
        self._seconds = seconds
        self._clock = clock
        self._slices: deque[tuple[int, _Slice]] = deque()

    def add(self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
        """Takes a call.

        Args:
            signature: str. Its name.
            inputs: arrays by name, strings as bytes; of other inputs than those with ids nothing is taken.
            outputs: `item_id`, `score` and `embedding`, where there are any.
        """
        part = self._slice()
        for kind, names in (("user", USER_INPUTS), ("item", ITEM_INPUTS)):
            for name in names:
                if name in inputs and inputs[name].dtype == object:
                    hashes = hash_ids(inputs[name])
                    part.ids[kind] += len(hashes)
                    part.unknown[kind] += int(np.sum(~self.reference.known[kind].are_known(hashes)))
        if signature in self.reference.score_signatures and "score" in outputs:
            self._add_scores(part, outputs)
        if signature in self.reference.embedding_signatures and "embedding" in outputs:
            self.add_embeddings(outputs["embedding"])

    def add_embeddings(self, embeddings: np.ndarray) -> None:
        """Takes `[n, dim]` embeddings of the kind that the reference has."""
        part, expected = self._slice(), self.reference.embeddings
        if expected is not None and embeddings.ndim == 2 and embeddings.shape[1] == len(expected.edges):
            part.embeddings += count_in_bins(expected.edges, embeddings)
            part.rows["embeddings"] += len(embeddings)

    def report(self) -> DriftReport:
        """The measures at this time."""
        self._forget()
        window = _Slice(self.reference)
        for _, part in self._slices:
            window.join(part)
        is_enough = {name: rows >= LEAST_ROWS for name, rows in window.rows.items()}
        score, expected, observed = self._score_psi(window) if is_enough["scores"] else (None, None, None)
        mean, largest = self._embedding_psi(window) if is_enough["embeddings"] else (None, None)
        size, covers = self.reference.catalogue_size, window.picks >= LEAST_ROWS
        times, items = self.reference.listed_times, self.reference.listed_items
        return DriftReport(
            score_rows=window.rows["scores"],
            score_psi=score,
            score_expected=expected,
            score_observed=observed,
            embedding_rows=window.rows["embeddings"],
            embedding_psi=mean,
            embedding_psi_largest=largest,
            picks=window.picks,
            coverage=min(1.0, window.listed.count / size) if covers else None,
            coverage_expected=min(1.0, expected_distinct(times, items, window.picks) / size) if covers else None,
            ids=window.ids,
            unknown={
                kind: window.unknown[kind] / ids if ids >= LEAST_ROWS else None for kind, ids in window.ids.items()
            },
        )

    def _add_scores(self, part: _Slice, outputs: Mapping[str, np.ndarray]) -> None:
        scores, expected = outputs["score"].astype(np.float64), self.reference.scores
        scores = np.where(scores > _NOTHING, scores, np.nan)
        if "item_id" in outputs and outputs["item_id"].ndim == 2:
            names = outputs["item_id"][:, : self.reference.list_length]
            listed = hash_ids(names)
            part.listed.add(listed)
            part.picks += len(listed)
        else:
            scores = scores.reshape(-1, 1)
        if expected is not None and scores.ndim == 2:
            # A list may be shorter than those of the reference, and longer.
            width = min(scores.shape[1], len(expected.edges))
            part.scores[:width] += count_in_bins(expected.edges[:width], scores[:, :width])
            part.rows["scores"] += int(np.isfinite(scores[:, :width]).any(axis=1).sum())

    def _score_psi(self, window: _Slice) -> tuple[float, list[float], list[float]]:
        shares = self.reference.scores.counts / self.reference.scores.counts.sum(axis=1, keepdims=True)
        # Of lists that are cut short the places that they have, so that a smaller k is no shift.
        expected, observed = window.scores.sum(axis=1) @ shares, window.scores.sum(axis=0)
        psi = float(population_stability_index(expected, observed))
        return psi, (expected / expected.sum()).tolist(), (observed / observed.sum()).tolist()

    def _embedding_psi(self, window: _Slice) -> tuple[float | None, float | None]:
        expected = self.reference.embeddings
        psi = population_stability_index(expected.counts, window.embeddings)[expected.varies]
        psi = psi[np.isfinite(psi)]
        return (float(psi.mean()), float(psi.max())) if len(psi) else (None, None)

    def _slice(self) -> _Slice:
        number = self._number()
        if not self._slices or self._slices[-1][0] != number:
            self._forget()
            self._slices.append((number, _Slice(self.reference)))
        return self._slices[-1][1]

    def _forget(self) -> None:
        while self._slices and self._slices[0][0] <= self._number() - _SLICES:
            self._slices.popleft()

    def _number(self) -> int:
        return int(self._clock() * _SLICES / self._seconds)
