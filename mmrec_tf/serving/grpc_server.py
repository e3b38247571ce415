"""TensorFlow Serving's gRPC API for the embedded server: PredictionService and ModelService.

A client written for TensorFlow Serving's port 8500 works unchanged. Requests come in as bytes and are parsed here, not
by the gRPC library, so that a malformed one is told what is wrong with it instead of ending in the library's log.
"""

import hmac
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.access_log import REQUEST_ID, log_access, request_id_of
from mmrec_tf.serving.model_store import ModelNotFoundError, ModelStore
from mmrec_tf.serving.model_version import GraphError
from mmrec_tf.serving.rpc_failure import RpcFailure
from mmrec_tf.serving.server_options import ServerOptions

if TYPE_CHECKING:
    import grpc

logger = logging.getLogger(__name__)

API_KEY_METADATA = "x-api-key"
"""The metadata entry that carries the API key."""

# Threads wait for the batches that their requests are answered in, so there are more of them than of processors.
_THREADS = 64
_MESSAGE_BYTES = 2000


class GrpcServer:
    """Answers gRPC for a `ModelStore`, on threads of its own.

    A call is answered within its own deadline and within `options.request_seconds`, whichever comes first. One that
    nobody waits for any more, and that has not started, is left out of its batch.

    Args:
        store: the models.
        address: str. `host:port` to listen on, `[host]:port` for IPv6; port 0 takes a free one.
        options: limits, API keys, TLS and the access log; see `ServerOptions`. `max_body_bytes` bounds a request, and
            what a tensor in it may unpack to; `max_requests` the calls that are answered or wait at a time: the others
            are refused by the library, and leave no line in the log.
        observe: called after each call with (model name, call, status, seconds, `"GRPC"`), such as
            `ServerMetrics.observe_request`. The name is `""` for calls that ask no model that is served; the call is
            its name in lower case, for example `"predict"`.

    Attributes:
        port: int. The port, which is taken from creation on.

    Raises:
        ServingError: if the address cannot be used, a file of TLS cannot be read, or grpcio or tensorflow-serving-api
            is not installed.

    Example:

        >>> with GrpcServer(ModelStore("demo/run/export"), "127.0.0.1:8500") as server:  # doctest: +SKIP
        ...     print(server.port)
    """

    def __init__(
        self,
        store: ModelStore,
        address: str,
        options: ServerOptions | None = None,
        observe: Callable[[str, str, str, float, str], None] | None = None,
    ):
        self._grpc, self._services = _import_services()
        self._store = store
        self._options = options or ServerOptions()
        self._observe = observe
        self._keys = [key.encode() for key in self._options.api_keys]
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mmrec-grpc")
        self._server = self._grpc.server(
            self._threads,
            options=[
                ("grpc.max_receive_message_length", self._options.max_body_bytes),
                ("grpc.max_send_message_length", -1),
                # Else a second server would share the port in silence, and each get some of the calls.
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=self._options.max_requests,
        )
        for service, calls in self._services.SERVICES.items():
            handlers = {name: self._handler(f"/{service}/{name}", *call) for name, call in calls.items()}
            handler = self._grpc.method_handlers_generic_handler(service, handlers)
            self._server.add_generic_rpc_handlers([handler])
        self.port = self._listen(address)

    def start(self) -> None:
        """Starts to answer."""
        self._server.start()
        logger.info("answering gRPC on port %d", self.port)

    def stop(self, grace: float | None = None) -> None:
        """Takes no more calls, and returns when those under way have ended.

        Args:
            grace: float. Seconds that they get; what is not answered then is cancelled. Defaults to
                `options.grace_seconds`.
        """
        self._server.stop(self._options.grace_seconds if grace is None else grace).wait()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> "GrpcServer":
        self.start()
        return self

    def __exit__(self, *error) -> None:
        self.stop()

    def _listen(self, address: str) -> int:
        credentials = self._credentials()
        # The library takes the port modulo 65536.
        _, _, port = address.rpartition(":")
        if not port.isdecimal() or int(port) > 65535:
            raise ServingError(f"{address!r} is no address for gRPC. Write host:port, with a port from 0 to 65535.")
        try:
            if credentials is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, credentials)
        except RuntimeError:
            port = 0
        # Old versions of the library return 0 where others raise.
        if port == 0:
            raise ServingError(
                f"Cannot listen for gRPC on {address!r}. Either another program has the port, or it is no address "
                "(host:port) of this machine, or the TLS certificate and key are none. Take another port (0 takes a "
                "free one), or mend the others."
            )
        return port

    def _credentials(self) -> "grpc.ServerCredentials | None":
        options = self._options
        if options.tls_certificate is None:
            return None
        try:
            pair = options.tls_key.read_bytes(), options.tls_certificate.read_bytes()
        except OSError as error:
            raise ServingError(f"The TLS certificate or its key cannot be read: {error}.") from error
        return self._grpc.ssl_server_credentials([pair])

    def _handler(self, path: str, request_class: type, answer: Callable) -> "grpc.RpcMethodHandler":
        codes, name = self._grpc.StatusCode, path.rpartition("/")[2]

        def handle(content: bytes, context: "grpc.ServicerContext") -> bytes:
            start = time.perf_counter()
            given = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
            request_id = request_id_of(given.get(REQUEST_ID, ""))
            context.set_trailing_metadata([(REQUEST_ID, request_id)])
            call = self._services.Call(self._store, self._options, context)
            code, message, asked = "OK", "", ""
            try:
                self._check_key(given)
                request = self._services.parse(request_class, content)
                asked = self._services.asked_model(request)
                return answer(request, call).SerializeToString()
            except (RpcFailure, ModelNotFoundError, GraphError) as error:
                code, message = error.code, str(error)
            # Whatever a request brings about, the client is answered, and told no more than that.
            except Exception:
                logger.exception("a gRPC call of %s failed", name)
                code, message = "INTERNAL", "The server failed; its log says why"
            finally:
                seconds = time.perf_counter() - start
                if self._observe is not None:
                    self._observe(call.model_name, name.lower(), code, seconds, "GRPC")
                if self._options.access_log:
                    log_access(
                        protocol="GRPC",
                        request_id=request_id,
                        client=_host(context.peer()),
                        method=name,
                        path=path,
                        model=call.model_name or asked,
                        version=call.version,
                        status=code,
                        seconds=seconds,
                        batch_rows=call.batch_rows,
                    )
            # It travels in a header, which may hold 8 KB; three for each byte that is not plain.
            said = message.encode(errors="replace")[:_MESSAGE_BYTES].decode(errors="ignore")
            context.abort(getattr(codes, code, codes.UNKNOWN), said)

        return self._grpc.unary_unary_rpc_method_handler(handle)

    def _check_key(self, given: Mapping[str, str]) -> None:
        if not self._keys:
            return
        key = given.get(API_KEY_METADATA, "").strip()
        scheme, _, token = given.get("authorization", "").partition(" ")
        if not key and scheme.lower() == "bearer":
            key = token.strip()
        # All are compared, each in the same time, so that the time taken tells nothing about a key.
        if not any([hmac.compare_digest(key.encode(), known) for known in self._keys]):
            raise RpcFailure(
                "UNAUTHENTICATED",
                f"An API key is needed: send it as metadata '{API_KEY_METADATA}: KEY' or 'authorization: Bearer KEY'",
            )


def _host(peer: str) -> str:
    # ipv4:127.0.0.1:40000, ipv6:%5B::1%5D:40000, unix:...
    kind, _, address = unquote(peer).partition(":")
    return address.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else address


def _import_services():
    try:
        import grpc

        from mmrec_tf.serving import grpc_services
    except ImportError as error:
        raise ServingError(
            f"gRPC needs grpcio and tensorflow-serving-api, but {error.name} is not installed. "
            "Install them: pip install 'mmrec-tf[grpc]'"
        ) from error
    return grpc, grpc_services
