"""Calls of models from an event loop: nothing here keeps other requests waiting."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

import numpy as np
from starlette.concurrency import run_in_threadpool

from mmrec_tf.serving.batching import Job
from mmrec_tf.serving.http_gate import RequestRecord
from mmrec_tf.serving.json_tensors import RequestError
from mmrec_tf.serving.model_store import ModelStore
from mmrec_tf.serving.model_version import ModelVersion


class ClientGoneError(Exception):
    """The client closed the connection before its request had arrived."""


class AsyncCalls:
    """Finds and calls models for coroutines, and reads the bodies of requests, within limits.

    Args:
        store: the models.
        request_seconds: float. Longest time for a call.
        max_body_bytes: int. Largest body.
        max_pending_bytes: int. Most bytes of bodies that are held at a time.
    """

    def __init__(self, store: ModelStore, request_seconds: float, max_body_bytes: int, max_pending_bytes: int):
        self._store = store
        self._seconds = request_seconds
        self._max_body_bytes = max_body_bytes
        self._max_pending_bytes = max_pending_bytes
        self._pending_bytes = 0
        self._answers: deque[tuple] = deque()
        self._is_due = False
        self._jobs: list[Job] = []
        self._loading: dict[tuple, asyncio.Future] = {}

    async def find(self, name: str, version: int | None = None, label: str | None = None) -> ModelVersion:
        """As `ModelStore.find`; one that has to be loaded first is loaded on another thread."""
        loaded = self._store.find_loaded(name, version, label)
        if loaded is not None:
            return loaded
        # One thread loads a version for all who wait for it.
        key = name, version, label
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.ensure_future(run_in_threadpool(self._store.find, *key))
            loading.add_done_callback(lambda task: self._forget(key, task))
        try:
            return await asyncio.wait_for(asyncio.shield(loading), self._seconds)
        except asyncio.TimeoutError as error:
            raise self._too_late(f"{name} was still being loaded") from error

    async def call(
        self, model: ModelVersion, signature: str, inputs: Mapping[str, np.ndarray], record: RequestRecord | None = None
    ) -> dict[str, np.ndarray]:
        """As `ModelVersion.run`.

        Args:
            record: gets the rows of the call that answered.

        Raises:
            GraphError: if the graph refuses the inputs or fails.
            RequestError: 504 if there is no answer in time.
        """
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def done(outputs, error):
            self._answers.append((future, outputs, error))
            # One wake-up of the loop serves all answers of a call.
            if not self._is_due:
                self._is_due = True
                try:
                    loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:
                    # The loop is closed: the server has stopped, and nobody waits.
                    self._is_due = False

        job = self._store.batches.job(model, signature, inputs, done)
        if not self._jobs:
            # After the requests that the loop has read by now, which then share a call from the first.
            loop.call_soon(self._submit)
        self._jobs.append(job)
        timer = loop.call_later(self._seconds, self._expire, future)
        try:
            return await future
        finally:
            timer.cancel()
            job.is_cancelled = True
            if record is not None:
                record.batch_rows = job.batch_rows

    async def read_body(self, scope: dict, receive: Callable, use: Callable) -> object:
        """Reads a request's body and passes it to the coroutine function `use`, whose result it returns.

        Raises:
            RequestError: 413 for a body above the limit, 503 where too many bytes are held already.
            ClientGoneError: if the client left.
        """
        declared = dict(scope["headers"]).get(b"content-length", b"")
        # Refused by its header where it has one: a client that waits for "100 Continue" then never sends the body.
        self._check_size(int(declared) if declared.isdigit() and len(declared) < 20 else 0)
        chunks, size = [], 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                chunk = message.get("body", b"")
                size += len(chunk)
                self._pending_bytes += len(chunk)
                self._check_size(size)
                chunks.append(chunk)
                if not message.get("more_body", False):
                    break
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            return await use(body)
        finally:
            self._pending_bytes -= size

    def _forget(self, key: tuple, task: asyncio.Future) -> None:
        del self._loading[key]
        if not task.cancelled():
            # Looked at, so that a failure that all have stopped waiting for is not reported as forgotten.
            task.exception()

    def _check_size(self, size: int) -> None:
        if size > self._max_body_bytes:
            raise RequestError(f"The body is larger than {self._max_body_bytes} bytes, the most that is read", 413)
        if self._pending_bytes > self._max_pending_bytes:
            raise RequestError("The server holds as many bytes of requests as it takes; try later", 503)

    def _submit(self) -> None:
        jobs, self._jobs = self._jobs, []
        self._store.batches.submit_all(jobs)

    def _deliver(self) -> None:
        self._is_due = False
        while self._answers:
            future, outputs, error = self._answers.popleft()
            if future.done():
                continue
            if error is None:
                future.set_result(outputs)
            else:
                future.set_exception(error)

    def _expire(self, future: asyncio.Future) -> None:
        if not future.done():
            future.set_exception(self._too_late("The request was not answered"))

    def _too_late(self, what: str) -> RequestError:
        return RequestError(f"{what} within {self._seconds:g} s, the longest that the server waits", 504)
