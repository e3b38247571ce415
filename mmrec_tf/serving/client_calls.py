"""Calls of a server: again where that may help, and by the signatures that the server has at the moment."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mmrec_tf.serving.client_errors import Internal, InvalidArgument, NotFound
from mmrec_tf.serving.client_metadata import DEFAULT_SIGNATURE, ModelMetadata, ModelStatus, SignatureInfo, Target
from mmrec_tf.serving.client_retry import Deadline, Retries

if TYPE_CHECKING:
    from mmrec_tf.serving.client_grpc import GrpcTransport
    from mmrec_tf.serving.client_rest import RestTransport

METADATA_SECONDS = 60.0
"""How long signatures are kept. A server may swap in a version with other ones, which a mistake brings to light."""


class Calls:
    """Calls over one transport; safe from several threads.

    Args:
        transport: `RestTransport` or `GrpcTransport`.
        timeout: float. Seconds that a call may take with all its repetitions, where the caller does not say.
        retries: int. How often a call is repeated at most.

    Raises:
        InvalidArgument: for a timeout or a number of retries that is none.
    """

    def __init__(self, transport: "RestTransport | GrpcTransport", timeout: float, retries: int):
        self._transport = transport
        self._timeout = _checked_timeout(timeout)
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise InvalidArgument(f"retries is how often a call is repeated, 0 or more; got {retries!r}.")
        self._retries = Retries(retries)
        self._metadata: dict[Target, tuple[float, ModelMetadata]] = {}
        self._lock = threading.Lock()

    def ask(
        self,
        target: Target,
        name: str | None,
        build: Callable[[SignatureInfo], dict[str, np.ndarray]],
        timeout: float | None,
    ) -> dict[str, np.ndarray]:
        """Calls a signature.

        Args:
            target: whom to ask.
            name: str or None for the default signature.
            build: function of the signature that returns an array for each input.
            timeout: float. Seconds, or None for the usual.

        Raises:
            ClientError: if there is no answer.
        """
        deadline = self._deadline(timeout)
        name = DEFAULT_SIGNATURE if name is None else name
        with self._lock:
            since, metadata = self._metadata.get(target, (0.0, None))
        is_kept = metadata is not None and time.monotonic() - since < METADATA_SECONDS
        if not is_kept:
            metadata = self._fetch(target, deadline)
        while True:
            try:
                return self._call(target, name, metadata.signature(name), build, deadline)
            except (InvalidArgument, NotFound, Internal):
                if not is_kept:
                    raise
                is_kept, earlier = False, metadata
                metadata = self._fetch(target, deadline)
                if metadata.signatures == earlier.signatures:
                    raise

    def status(self, target: Target, timeout: float | None) -> list[ModelStatus]:
        """The states of the versions."""
        return self._retries.run(lambda left: self._transport.status(target, left), self._deadline(timeout))

    def metadata(self, target: Target, timeout: float | None) -> ModelMetadata:
        """The signatures, asked anew."""
        return self._fetch(target, self._deadline(timeout))

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def _call(self, target, name, signature, build, deadline) -> dict[str, np.ndarray]:
        inputs = build(signature)
        return self._retries.run(lambda left: self._transport.predict(target, name, signature, inputs, left), deadline)

    def _fetch(self, target: Target, deadline: Deadline) -> ModelMetadata:
        metadata = self._retries.run(lambda left: self._transport.metadata(target, left), deadline)
        with self._lock:
            self._metadata[target] = time.monotonic(), metadata
        return metadata

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self._timeout if timeout is None else _checked_timeout(timeout))


def _checked_timeout(timeout: float) -> float:
    # NaN is not above 0 either.
    if not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise InvalidArgument(f"A timeout is a number of seconds above 0, got {timeout!r}.")
    return float(timeout)
