"""What every request passes on its way in and out: key, limits, request id, access log.

It is plain ASGI, because each layer of a web framework costs more than the recommendation itself.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mmrec_tf.serving.access_log import REQUEST_ID, log_access, request_id_of
from mmrec_tf.serving.http_errors import describe_error, error_body
from mmrec_tf.serving.server_files import METRICS_PATH
from mmrec_tf.serving.server_metrics import ServerMetrics
from mmrec_tf.serving.server_options import ServerOptions

OPEN_PATHS = ("/healthz", "/readyz")
"""Answered without a key and however many requests there are."""

Send = Callable[[dict], Awaitable[None]]


@dataclass
class RequestRecord:
    """What is known of a request when it has been answered; in the ASGI scope under `RECORD`.

    Args:
        request_id: str. The client's `X-Request-ID`, or one made up.
        model, version, api: of the model API; empty or 0 for other requests.
        status: int. HTTP status; 0 where nothing was sent.
        batch_rows: int. Rows of the call that answered.
    """

    request_id: str
    model: str = ""
    version: int = 0
    api: str = ""
    status: int = 0
    batch_rows: int = 0


RECORD = "mmrec_tf.request"

_REQUEST_ID = REQUEST_ID.encode()


class HttpGate:
    """ASGI middleware: the outermost layer of the application.

    Args:
        app: the application within.
        options: limits and keys.
        metrics: gets responses, refusals and requests in flight.
    """

    def __init__(self, app: Callable, options: ServerOptions, metrics: ServerMetrics):
        self._app = app
        self._options = options
        self._metrics = metrics
        self._keys = [key.encode() for key in options.api_keys]
        self._in_flight = 0
        metrics.in_flight.set_function(lambda: self._in_flight)

    async def __call__(self, scope: dict, receive: Callable, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        headers = dict(scope["headers"])
        record = scope[RECORD] = RequestRecord(request_id_of(headers.get(_REQUEST_ID, b"").decode("latin-1")))

        async def send_marked(message: dict) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message.get("headers", ()), (_REQUEST_ID, record.request_id.encode())]
            await send(message)

        self._in_flight += 1
        try:
            refusal = None if scope["path"] in OPEN_PATHS else self._refusal(scope["path"], headers)
            if refusal is not None:
                await send_json(send_marked, *refusal)
            else:
                await self._answer(scope, receive, send_marked, record)
        finally:
            self._in_flight -= 1
            self._metrics.count_response(record.status)
            if self._options.access_log:
                log_access(
                    protocol="HTTP",
                    request_id=record.request_id,
                    client=(scope.get("client") or ("",))[0],
                    method=scope["method"],
                    path=scope["path"],
                    model=record.model,
                    version=record.version,
                    status=record.status or 499,
                    seconds=time.perf_counter() - start,
                    batch_rows=record.batch_rows,
                )

    def _refusal(self, path: str, headers: dict[bytes, bytes]) -> tuple | None:
        if self._keys and not self._has_key(headers):
            self._metrics.refused.labels("key").inc()
            message = "An API key is needed: send it as 'X-API-Key: KEY' or 'Authorization: Bearer KEY'"
            return 401, error_body(message), [(b"www-authenticate", b"Bearer")]
        # Under a load that it cannot bear, a server is looked at most.
        if self._in_flight > self._options.max_requests and path != METRICS_PATH:
            self._metrics.refused.labels("requests").inc()
            message = f"The server has {self._options.max_requests} requests to answer, as many as it takes; try later"
            return 503, error_body(message), [(b"retry-after", b"1")]
        return None

    def _has_key(self, headers: dict[bytes, bytes]) -> bool:
        given = headers.get(b"x-api-key", b"").strip()
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if not given and scheme.lower() == b"bearer":
            given = token.strip()
        # All are compared, each in the same time, so that the time taken tells nothing about a key.
        return any([hmac.compare_digest(given, key) for key in self._keys])

    async def _answer(self, scope: dict, receive: Callable, send: Send, record: RequestRecord) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            raise
        # Whatever a request brings about, the client gets an answer, and the connection stays in order.
        except Exception as error:
            if record.status:
                raise
            status, _, message = describe_error(error)
            await send_json(send, status, error_body(message))


async def send_json(send: Send, status: int, content: bytes, headers: list[tuple[bytes, bytes]] = ()) -> None:
    """Sends a whole JSON response."""
    length = str(len(content)).encode()
    fixed = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": content})
