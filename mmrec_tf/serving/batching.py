"""Dynamic batching: requests that arrive while a call runs are answered together by the next one.

A score against every item reads the whole item table, for one user or for thirty; thirty requests in one call cost
little more than one. Nothing is ever waited for: a request that finds its signature idle is run at once, alone.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from queue import SimpleQueue

import numpy as np
import tensorflow as tf

from mmrec_tf.serving.model_version import GraphError, ModelVersion

logger = logging.getLogger(__name__)

WIDTH_INPUTS = ("k",)
"""Inputs whose largest value sets the width of every row's answer: only requests that agree on it share a call."""

Outputs = dict[str, np.ndarray]
Done = Callable[[Outputs | None, Exception | None], None]


class Job:
    """One request that waits for its answer.

    Attributes:
        is_cancelled: bool. Set it when nobody waits any more: a job that has not started is then left out.
        batch_rows: int. Rows of the call that answered it; 0 before.
        group: equal for those that may share a call.
    """

    __slots__ = ("_done", "batch_rows", "group", "inputs", "is_cancelled", "model", "rows", "signature")

    def __init__(self, model: ModelVersion, signature: str, inputs: Mapping[str, np.ndarray], rows: int, done: Done):
        self.model = model
        self.signature = signature
        self.inputs = inputs
        self.rows = rows
        self.is_cancelled = False
        self.batch_rows = 0
        self.group: object = None
        self._done = done

    def finish(self, outputs: Outputs | None, error: Exception | None, batch_rows: int) -> None:
        self.batch_rows = batch_rows
        self._done(outputs, error)


class BatchScheduler:
    """Runs the calls of all models on a few threads, joined where they can be.

    Requests share a call when they ask the same signature of the same version, all their inputs agree in every
    dimension but the first, and so does what `WIDTH_INPUTS` come to: what a request gets never depends on whom it
    shared a call with. Where a joint call fails, each of its requests is run on its own, so that a bad one spoils
    nobody else's. One call of such a group runs at a time; groups take turns.

    Args:
        max_batch_size: int. Most rows of a joint call; a larger request runs alone. 1 joins nothing.
        threads: int. Calls that run at a time. Defaults to the number of processors, and at least 2, so that a long
            call does not stop all others.
        observe: called after each call with (model name, signature, rows, requests, seconds).
        sample: called after each call that was answered with (model, signature, inputs, outputs), to look at and not
            to keep.
    """

    def __init__(
        self,
        max_batch_size: int = 64,
        threads: int | None = None,
        observe: Callable[[str, str, int, int, float], None] | None = None,
        sample: Callable[[ModelVersion, str, Mapping[str, np.ndarray], Outputs], None] | None = None,
    ):
        self.max_batch_size = max_batch_size
        self.threads = threads or max(2, os.cpu_count() or 1)
        self.observe = observe
        self.sample = sample
        self._waiting: dict[tuple | object, deque[Job]] = {}
        self._ready: SimpleQueue = SimpleQueue()
        self._lock = threading.Lock()
        self._workers: list[threading.Thread] = []

    def submit(self, model: ModelVersion, signature: str, inputs: Mapping[str, np.ndarray], done: Done) -> Job:
        """Takes a request and returns at once.

        Args:
            model: an available version.
            signature: str. One of its signatures.
            inputs: arrays, or what becomes one, as `ModelVersion.run` takes them.
            done: called once, from one of the threads, with (outputs, None) or (None, error).
        """
        job = self.job(model, signature, inputs, done)
        self.submit_all([job])
        return job

    def job(self, model: ModelVersion, signature: str, inputs: Mapping[str, np.ndarray], done: Done) -> Job:
        """A request for `submit_all`, with the arguments of `submit`."""
        specs = model.signatures[signature].inputs
        inputs = {name: _array(inputs[name], specs[name].dtype) for name in specs}
        is_joined = self.max_batch_size > 1 and model.signatures[signature].is_batched
        first = next(iter(inputs.values()))
        rows = first.shape[0] if first.ndim else 1
        job = Job(model, signature, inputs, rows, done)
        job.group = _group(job) if is_joined and rows < self.max_batch_size else object()
        return job

    def submit_all(self, jobs: Iterable[Job]) -> None:
        """Takes several requests before a thread looks at any, so that they can share a call from the first."""
        with self._lock:
            if not self._workers:
                self._start()
            groups = []
            for job in jobs:
                waiting = self._waiting.get(job.group)
                if waiting is None:
                    self._waiting[job.group] = deque([job])
                    groups.append(job.group)
                else:
                    waiting.append(job)
            # Before `close` can end the threads.
            for group in groups:
                self._ready.put(group)

    def run(self, model: ModelVersion, signature: str, inputs: Mapping[str, np.ndarray]) -> Outputs:
        """As `submit`, and waits for the answer.

        Raises:
            GraphError: if the graph refuses the inputs or fails.
        """
        answered = threading.Event()
        answer = []

        def done(*outcome):
            answer.extend(outcome)
            answered.set()

        self.submit(model, signature, inputs, done)
        answered.wait()
        outputs, error = answer
        if error is not None:
            raise error
        return outputs

    def close(self) -> None:
        """Ends the threads once what waits is answered; a later request starts them again."""
        with self._lock:
            workers, self._workers = self._workers, []
        for _ in workers:
            self._ready.put(None)
        for worker in workers:
            worker.join(10)

    def _start(self) -> None:
        self._workers = [
            threading.Thread(target=self._work, name=f"mmrec-batches-{number}", daemon=True)
            for number in range(self.threads)
        ]
        for worker in self._workers:
            worker.start()

    def _work(self) -> None:
        while (key := self._ready.get()) is not None:
            while self._answer_some(key):
                pass
            # A thread that waits for work holds no model that is not kept any more.
            key = None

    def _answer_some(self, key) -> bool:
        """Answers those of a group that fit in one call; whether this thread is to go on with it."""
        with self._lock:
            jobs = self._take(self._waiting[key])
        if jobs:
            self._answer(jobs)
        with self._lock:
            if not self._waiting[key]:
                del self._waiting[key]
                return False
            if self._workers:
                self._ready.put(key)
                return False
        # Once closed, the others end before they come to it.
        return True

    def _take(self, waiting: deque[Job]) -> list[Job]:
        jobs, rows = [], 0
        while waiting and (not jobs or rows + waiting[0].rows <= self.max_batch_size):
            job = waiting.popleft()
            if not job.is_cancelled:
                jobs.append(job)
                rows += job.rows
        return jobs

    def _answer(self, jobs: list[Job]) -> None:
        if len(jobs) > 1:
            rows = sum(job.rows for job in jobs)
            inputs = {name: np.concatenate([job.inputs[name] for job in jobs]) for name in jobs[0].inputs}
            try:
                outputs = self._call(jobs[0], inputs, rows, len(jobs))
            # Whatever it is, it meets the one request that brought it when each runs on its own.
            except Exception:  # noqa: BLE001
                outputs = None
            if outputs is not None and all(len(values) == rows for values in outputs.values()):
                start = 0
                for job in jobs:
                    end = start + job.rows
                    job.finish({name: values[start:end] for name, values in outputs.items()}, None, rows)
                    start = end
                return
        for job in jobs:
            if job.is_cancelled:
                continue
            try:
                outputs, failure = self._call(job, job.inputs, job.rows, 1), None
            except GraphError as error:
                outputs, failure = None, error
            # The thread has to live on for the others; the one who asked gets the error.
            except Exception as error:
                logger.exception("%s version %d: %s failed", job.model.name, job.model.version, job.signature)
                outputs, failure = None, error
            job.finish(outputs, failure, job.rows)

    def _call(self, job: Job, inputs: Mapping[str, np.ndarray], rows: int, requests: int) -> Outputs:
        start = time.perf_counter()
        try:
            outputs = job.model.call(job.signature, inputs)
            if self.sample is not None:
                self.sample(job.model, job.signature, inputs, outputs)
            return outputs
        finally:
            if self.observe is not None:
                self.observe(job.model.name, job.signature, rows, requests, time.perf_counter() - start)


def _array(values: object, dtype: tf.DType) -> np.ndarray:
    return values if isinstance(values, np.ndarray) else np.array(values, dtype.as_numpy_dtype)


def _group(job: Job) -> tuple:
    shapes = tuple(values.shape[1:] for values in job.inputs.values())
    widths = tuple(int(job.inputs[name].max()) for name in WIDTH_INPUTS if _is_width(job.inputs.get(name)))
    return job.model, job.signature, shapes, widths


def _is_width(values: np.ndarray | None) -> bool:
    return values is not None and values.dtype.kind in "iu" and values.size > 0
