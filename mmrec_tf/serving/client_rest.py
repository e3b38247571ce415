"""Asking over REST, with the standard library alone."""

import base64
import http.client
import json
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import quote

import numpy as np

from mmrec_tf.serving.client_errors import Internal, InvalidArgument, Unavailable, error_of_http
from mmrec_tf.serving.client_metadata import (
    ModelMetadata,
    ModelStatus,
    SignatureInfo,
    Target,
    metadata_from_json,
    status_from_json,
)
from mmrec_tf.serving.client_retry import Deadline, Retryable
from mmrec_tf.serving.client_values import from_json

# Too many requests, a proxy that does not reach the server, a server that is not ready or overloaded.
_PASSING = (429, 502, 503)
_CHUNK_BYTES = 2**16


class RestTransport:
    """Talks to one server, on connections that are kept open and used again; safe from several threads.

    Args:
        host: str.
        port: int.
        prefix: str. Path before `/v1`, for a server behind a proxy.
        context: `ssl.SSLContext` for https, or None for http.
        headers: sent with every request.
        pool_size: int. Connections that are kept while nobody uses them.
    """

    def __init__(
        self,
        host: str,
        port: int,
        prefix: str,
        context: ssl.SSLContext | None,
        headers: Mapping[str, str],
        pool_size: int,
    ):
        self.address = f"{'http' if context is None else 'https'}://{host}:{port}"
        self._host, self._port, self._prefix, self._context = host, port, prefix.rstrip("/"), context
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}
        self._pool_size = pool_size
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def predict(
        self,
        target: Target,
        signature_name: str,
        signature: SignatureInfo,
        inputs: Mapping[str, np.ndarray],
        deadline: Deadline,
    ) -> dict[str, np.ndarray]:
        """Asks once."""
        columns = {name: _to_json(array, name) for name, array in inputs.items()}
        body = json.dumps({"signature_name": signature_name, "inputs": columns}, ensure_ascii=False).encode()
        answer = self._ask("POST", f"{self._path(target)}:predict", body, deadline)
        if not isinstance(answer, dict) or "outputs" not in answer:
            raise Internal(f"{self.address} answered without 'outputs'; is it TensorFlow Serving's REST API?")
        outputs = answer["outputs"]
        # A single output goes unnamed.
        if len(signature.outputs) == 1:
            outputs = dict.fromkeys(signature.outputs, outputs)
        if not isinstance(outputs, dict) or set(outputs) != set(signature.outputs):
            raise Internal(f"The server's answer does not fit its metadata: outputs are {list(signature.outputs)}.")
        return {name: from_json(outputs[name], info, name, _to_bytes) for name, info in signature.outputs.items()}

    def metadata(self, target: Target, deadline: Deadline) -> ModelMetadata:
        """Asks once for the signatures."""
        return metadata_from_json(self._ask("GET", f"{self._path(target)}/metadata", None, deadline))

    def status(self, target: Target, deadline: Deadline) -> list[ModelStatus]:
        """Asks once for the states of the versions."""
        return status_from_json(self._ask("GET", self._path(target), None, deadline))

    def close(self) -> None:
        """Closes the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _path(self, target: Target) -> str:
        for name in (target.model, target.label or ""):
            # Servers take these for a part of the path, even when they are escaped.
            if "/" in name or ":" in name:
                raise InvalidArgument(f"{name!r} cannot be asked over REST: no model or label has '/' or ':' in it.")
        path = f"{self._prefix}/v1/models/{quote(target.model, safe='')}"
        if target.version is not None:
            path += f"/versions/{target.version}"
        if target.label is not None:
            path += f"/labels/{quote(target.label, safe='')}"
        return path

    def _ask(self, method: str, path: str, body: bytes | None, deadline: Deadline) -> object:
        status, headers, content = self._send(method, path, body, deadline)
        if status != 200:
            error = error_of_http(status, _message(status, content))
            raise Retryable(error, _retry_after(headers)) if status in _PASSING else error
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise Internal(f"{self.address} answered with something else than JSON: {content[:80]!r}.") from error

    def _send(self, method: str, path: str, body: bytes | None, deadline: Deadline) -> tuple:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            is_used = connection is not None
            connection = connection or self._connection()
            try:
                answer = self._exchange(connection, method, path, body, deadline)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                # Ours has no number; that of the system, for a host that does not answer at all, has.
                if isinstance(error, TimeoutError) and error.errno is None:
                    raise deadline.exceeded(self.address) from error
                if isinstance(error, ssl.SSLCertVerificationError):
                    reason = f"{self.address} has a certificate that is not trusted: {error.verify_message}."
                    raise Unavailable(f"{reason} Give the one that signed it as ca_file.") from error
                # The server may have closed a connection while nobody used it: that says nothing of how it is.
                if not is_used:
                    reason = f"{self.address} cannot be reached: {error or type(error).__name__}."
                    raise Retryable(Unavailable(f"{reason} Is the server running there?")) from error
            except BaseException:
                # What is left of an answer must not be taken for the next one.
                connection.close()
                raise
            else:
                return answer

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port)
        return http.client.HTTPSConnection(self._host, self._port, context=self._context)

    def _exchange(self, connection, method: str, path: str, body: bytes | None, deadline: Deadline) -> tuple:
        connection.timeout = deadline.require(self.address)
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        try:
            connection.request(method, path, body, self._headers)
        except (BrokenPipeError, ConnectionResetError):
            # A server that refuses a large body has answered before it has read it.
            if connection.sock is None:
                raise
        # Kept here, because the connection lets go of it when the server is to close it.
        sock = connection.sock
        sock.settimeout(deadline.require(self.address))
        response = connection.getresponse()
        chunks = []
        # In pieces, because a timeout of the socket is one for each piece, and the deadline is one for all.
        while chunk := response.read1(_CHUNK_BYTES):
            chunks.append(chunk)
            sock.settimeout(deadline.require(self.address))
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)
        will_close = response.will_close
        # The connection takes no other request before.
        response.close()
        if will_close:
            connection.close()
        else:
            self._keep(connection)
        return response.status, response.headers, b"".join(chunks)

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < self._pool_size:
                self._idle.append(connection)
                return
        connection.close()


def _to_json(array: np.ndarray, name: str) -> object:
    if array.dtype == object:
        values = np.empty(array.size, object)
        values[:] = [_string(value) for value in array.ravel()]
        return values.reshape(array.shape).tolist()
    if array.dtype.kind == "c":
        raise InvalidArgument(f"Input '{name}' takes {array.dtype}, which JSON has no form for; ask over gRPC.")
    # Types of other libraries, such as bfloat16, are floats to JSON.
    return (array.astype(np.float32) if array.dtype.kind == "V" else array).tolist()


def _string(value: bytes) -> object:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _to_bytes(value: object) -> bytes:
    return base64.b64decode(value["b64"])


def _message(status: int, content: bytes) -> str:
    try:
        said = json.loads(content)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        said = content[:200].decode("utf-8", "replace").strip()
    return f"{said}" if said else f"HTTP status {status} ({http.client.responses.get(status, 'unknown')})"


def _retry_after(headers) -> float:
    said = headers.get("Retry-After", "").strip()
    # The other form of it, a date, is not worth a clock that both agree on.
    return float(said) if said.isascii() and said.isdigit() and len(said) < 7 else 0.0
