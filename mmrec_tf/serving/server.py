"""An embedded server that answers TensorFlow Serving's APIs for an export folder.

Someone who has just trained a model wants to ask it over HTTP without installing TensorFlow Serving, and to change
nothing in the client when TensorFlow Serving takes over. Paths, JSON, error shape and status codes are therefore
TensorFlow Serving's: 404 for a model or version that is not there, 400 for any other mistake in a request, an unknown
signature and a wrong method under `/v1` included. Its own additions: `/` lists the models, `/healthz` answers when the
server runs and `/readyz` when it has models, `/recommend/{user}` adds titles and pictures, `/monitoring/drift` tells
how far answers have moved, `/openapi.json` describes it all, and limits are told by 401, 408, 413, 503 and 504.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

import errno
import gc
import logging
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.http_app import create_app, missing_library
from mmrec_tf.serving.server_options import ServerOptions

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

logger = logging.getLogger(__name__)

# As many connections may wait to be accepted: those of a few hundred clients that all come at once.
_BACKLOG = 2048
_IDLE_SECONDS = 30
# How long a thread that has work may be kept from it by another; Python's own 5 ms are a whole request long.
_SWITCH_SECONDS = 0.0005


def serve(
    export_dir: Path,
    host: str = "127.0.0.1",
    port: int = 8501,
    models: Sequence[str] | None = None,
    options: ServerOptions | None = None,
    catalogue: Path | None = None,
    grpc_port: int | None = None,
) -> None:
    """Serves an export folder until it is stopped, then lets requests under way end.

    After SIGTERM `/readyz` says no, and requests are still taken for `drain_seconds`, so that a load balancer can look
    elsewhere; after Ctrl-C they are not. A second signal ends the server at once.

    Args:
        export_dir: Path. Folder of `<name>/<integer version>/saved_model.pb`.
        host: str. Address to listen on; `"0.0.0.0"` for every network of the machine. Defaults to this machine alone.
        port: int. Port to listen on. Defaults to 8501, TensorFlow Serving's; 0 takes a free one.
        models: names to serve. Defaults to every model of the folder.
        options: limits and additions. Defaults to `ServerOptions()`.
        catalogue: Path. Table of titles and pictures for `/recommend`, a run's `items.parquet`.
        grpc_port: int. Port of gRPC, 8500 for TensorFlow Serving's, 0 for a free one; None, the default, for no gRPC.

    Raises:
        ServingError: if a port cannot be used, the folder holds no model, or a library or a file of TLS is missing.
    """
    options = options or ServerOptions()
    sys.setswitchinterval(_SWITCH_SECONDS)
    # The port first: it is found out at once, while loading may take long.
    with closing(_listen(host, port)) as listener:
        # What is there already stays: collecting garbage does not look at it again while requests wait.
        gc.freeze()
        app = create_app(export_dir, models, options, catalogue)
        server = _uvicorn_server(app, options)
        with _grpc_server(app, host, grpc_port, options):
            logger.info("answering at %s", _url(listener, options))
            server.run(sockets=[listener])
        logger.info("stopped")


@contextmanager
def running_server(
    export_dir: Path,
    port: int = 0,
    models: Sequence[str] | None = None,
    options: ServerOptions | None = None,
    catalogue: Path | None = None,
    grpc_port: int | None = None,
) -> Iterator[str]:
    """Serves an export folder from a background thread while the `with` block runs; for demos and tests.

    Args:
        export_dir: Path. Folder of `<name>/<integer version>/saved_model.pb`.
        port: int. Port on this machine. Defaults to 0, a free one.
        models: names to serve. Defaults to every model of the folder.
        options: limits and additions. Defaults to `ServerOptions()`.
        catalogue: Path. Table of titles and pictures for `/recommend`, a run's `items.parquet`.
        grpc_port: int. Port of gRPC; None, the default, for no gRPC.

    Yields:
        str. Base URL, for example `http://127.0.0.1:40123`; the server answers from then on.

    Raises:
        ServingError: as `serve` does.
    """
    options = options or ServerOptions()
    with closing(_listen("127.0.0.1", port)) as listener:
        app = create_app(export_dir, models, options, catalogue)
        server = _uvicorn_server(app, options)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="mmrec-server", daemon=True)
        url = _url(listener, options)
        with _grpc_server(app, "127.0.0.1", grpc_port, options):
            thread.start()
            try:
                while not server.started:
                    if not thread.is_alive():
                        raise ServingError(f"The server at {url} did not start; its log says why.")
                    time.sleep(0.01)
                yield url
            finally:
                server.should_exit = True
                thread.join(options.grace_seconds + 5)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise ServingError(f"Port {port} does not exist: ports are 0 to 65535 (0 takes a free one).")
    # The protocol is named because asyncio turns Nagle's algorithm off only where it is: with it on, the second packet
    # of every answer waits some 40 ms for the client's acknowledgement of the first.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        # Listening at once, not when the models are loaded, is what makes the port ours.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ServingError(
                f"Port {port} on {host} is in use by another program. Stop it, or serve on another port (0 takes a "
                "free one)."
            ) from error
        raise ServingError(f"Cannot listen on {host}, port {port}: {error.strerror or error}.") from error
    return listener


def _url(listener: socket.socket, options: ServerOptions) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "http" if options.tls_certificate is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@contextmanager
def _grpc_server(app: "FastAPI", host: str, port: int | None, options: ServerOptions) -> Iterator[None]:
    """A gRPC server of the same models while the block runs, where there is a port for it."""
    if port is None:
        yield
        return
    from mmrec_tf.serving.grpc_server import GrpcServer

    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    server = GrpcServer(app.state.model_store, address, options, app.state.metrics.observe_request)
    server.start()
    try:
        yield
    finally:
        server.stop(options.grace_seconds)


def _uvicorn_server(app: "FastAPI", options: ServerOptions) -> "uvicorn.Server":
    try:
        import uvicorn
    except ImportError as error:
        raise missing_library(error) from error
    from mmrec_tf.serving.http_protocol import guarded_protocol

    class Server(uvicorn.Server):
        """uvicorn's, but ready to be looked past before it stops, and ended by a signal without an error."""

        _stops_at: float | None = None

        def handle_exit(self, number: int, frame: object) -> None:
            if app.state.is_draining:
                self.should_exit = self.force_exit = True
            app.state.is_draining = True
            self._stops_at = time.monotonic() + (options.drain_seconds if number == signal.SIGTERM else 0)

        async def on_tick(self, counter: int) -> bool:
            if self._stops_at is not None and time.monotonic() >= self._stops_at:
                self.should_exit = True
            return await super().on_tick(counter)

    metrics = app.state.metrics
    config = uvicorn.Config(
        app,
        http=guarded_protocol(options, lambda reason: metrics.refused.labels(reason).inc()),
        ws="none",
        log_level="error",
        access_log=False,
        backlog=_BACKLOG,
        server_header=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=options.grace_seconds,
        ssl_certfile=options.tls_certificate,
        ssl_keyfile=options.tls_key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ServingError(
            f"TLS cannot be set up with {options.tls_certificate} and {options.tls_key}: {error}. Both are PEM files, "
            "and the key is the certificate's."
        ) from error
    return Server(config)
