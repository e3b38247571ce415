"""Watches what a server answers for drift, beside its work: a request pays for a copy of a few rows, if at all."""

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.model_drift import ITEM_INPUTS, USER_INPUTS, DriftReport, ModelDrift
from mmrec_tf.serving.model_store import ModelStore
from mmrec_tf.serving.model_version import GraphError, ModelVersion
from mmrec_tf.serving.reference import Reference

logger = logging.getLogger(__name__)

_ROWS = 8
_COLUMNS = 10
# Of one signature at most one call in so many seconds.
_SAMPLE_SECONDS = 0.05
# Samples that wait for the thread: those of some fifty signatures at that rate.
_MOST_SAMPLES = 1000
_DRAIN_SECONDS = 1.0
_EMBEDDED_USERS = 32
_EMBED = "embed_user"
_TAKEN_INPUTS = (*USER_INPUTS, *ITEM_INPUTS)
_TAKEN_OUTPUTS = ("item_id", "score", "embedding")


class DriftMonitor:
    """Samples the calls of all versions that have a `Reference`, and measures each against its own.

    Of each signature, at most 20 calls a second and 8 rows of each are copied; a thread counts them once a second.
    Clients seldom ask for the query embeddings that retrieval compares items to, so that the thread embeds up to 32 of
    the users who asked for anything itself. What is kept is counts and hashes; ids are dropped when they are counted.

    Args:
        seconds: float. Length of the sliding window.
        sample_seconds: float. From one sampled call of a signature to the next, at least. Defaults to 0.05.
    """

    def __init__(self, seconds: float, sample_seconds: float = _SAMPLE_SECONDS):
        self.seconds = seconds
        self._sample_seconds = sample_seconds
        self._due: dict[tuple[str, int, str], float] = {}
        self._samples: deque[tuple] = deque(maxlen=_MOST_SAMPLES)
        # By the version itself, so that what is measured of one goes with it; None for one that has no reference.
        self._watched: weakref.WeakKeyDictionary[ModelVersion, ModelDrift | None] = weakref.WeakKeyDictionary()
        self._store: ModelStore | None = None
        self._counting = threading.Lock()
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def sample(
        self,
        model: ModelVersion,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Mapping[str, np.ndarray],
    ) -> None:
        """Takes note of a call that was answered, or not; what a `BatchScheduler` reports. Safe from several threads.

        Args:
            model: that was called.
            signature: str. Its signature.
            inputs, outputs: arrays by name.
        """
        key, now = (model.name, model.version, signature), time.monotonic()
        if now < self._due.get(key, 0.0):
            return
        self._due[key] = now + self._sample_seconds
        taken = _copied(inputs, _TAKEN_INPUTS), _copied(outputs, _TAKEN_OUTPUTS)
        if taken[0] or taken[1]:
            self._samples.append((weakref.ref(model), signature, *taken))

    def watch(self, store: ModelStore) -> None:
        """Finds there the versions that embed users, whatever model these have asked."""
        self._store = store

    def start(self) -> None:
        """Starts the thread that counts."""
        self._is_over.clear()
        self._thread = threading.Thread(target=self._work, name="mmrec-drift", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join(5)
            self._thread = None

    def count(self) -> None:
        """Counts what has been sampled; what the thread does once a second, and each report before it is made."""
        with self._counting:
            users: list[np.ndarray] = []
            for _ in range(len(self._samples)):
                ref, signature, inputs, outputs = self._samples.popleft()
                model = ref()
                drift = None if model is None else self._drift_of(model)
                if drift is not None:
                    drift.add(signature, inputs, outputs)
                    if signature != _EMBED and "user_id" in inputs:
                        users.append(inputs["user_id"].ravel())
            model = None
            if users:
                self._embed(np.concatenate(users)[-_EMBEDDED_USERS:])

    def reports(self) -> list[tuple[str, int, DriftReport]]:
        """The name, version and measures of every version that has a reference and was asked."""
        self.count()
        with self._counting:
            watched = [(model.name, model.version, drift) for model, drift in list(self._watched.items()) if drift]
            return [(name, version, drift.report()) for name, version, drift in sorted(watched, key=lambda w: w[:2])]

    def document(self) -> dict:
        """The same as JSON."""
        reports = self.reports()
        with self._counting:
            lacking = sorted((model.name, model.version) for model, drift in list(self._watched.items()) if not drift)
        return {
            "window_seconds": self.seconds,
            "models": [{"model": name, "version": number, **asdict(report)} for name, number, report in reports],
            "without_reference": [{"model": name, "version": number} for name, number in lacking],
        }

    def _embed(self, users: np.ndarray) -> None:
        for name in [] if self._store is None else self._store.names:
            model = self._store.find_loaded(name)
            drift = None if model is None else self._drift_of(model)
            if drift is None or _EMBED not in drift.reference.embedding_signatures:
                continue
            try:
                drift.add_embeddings(model.call(_EMBED, {"user_id": users})["embedding"])
            except GraphError as error:
                logger.warning("%s version %d cannot be watched: %s", model.name, model.version, error)

    def _drift_of(self, model: ModelVersion) -> ModelDrift | None:
        if model not in self._watched:
            try:
                reference = Reference.load(model.path)
            except ServingError as error:
                logger.warning("%s version %d is not watched for drift: %s", model.name, model.version, error)
                reference = None
            self._watched[model] = None if reference is None else ModelDrift(reference, self.seconds)
        return self._watched[model]

    def _work(self) -> None:
        while not self._is_over.wait(_DRAIN_SECONDS):
            try:
                self.count()
            # Whatever it is, requests are answered on, and what comes next is measured.
            except Exception:
                logger.exception("answers could not be measured for drift")


def _copied(arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> dict[str, np.ndarray]:
    # Copies, so that the arrays of a whole batch are not kept for a few of its rows. The width of an embedding stays.
    taken = {name: arrays[name] for name in names if name in arrays and arrays[name].ndim}
    return {
        name: (values[:_ROWS] if values.ndim == 1 or name == "embedding" else values[:_ROWS, :_COLUMNS]).copy()
        for name, values in taken.items()
    }
