"""An embedded server that answers TensorFlow Serving's REST API for an export folder.

Someone who has just trained a model wants to ask it over HTTP without installing TensorFlow Serving, and to change
nothing in the client when TensorFlow Serving takes over. Paths, JSON, error shape and status codes are therefore
TensorFlow Serving's: 404 for a model or version that is not there, 400 for any other mistake in a request, an unknown
signature and a wrong method under `/v1` included. Its own additions: `/` lists the models, `/healthz` answers when the
server runs, and a body above `MAX_BODY_BYTES` gets 413.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

import errno
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import mmrec_tf
from mmrec_tf.errors import ServingError
from mmrec_tf.serving.json_tensors import RequestError
from mmrec_tf.serving.model_store import DEFAULT_SIGNATURE, MAX_VERSION, GraphError, ModelNotFoundError, ModelStore
from mmrec_tf.serving.rest_codec import (
    decode_inputs,
    encode_json,
    encode_metadata,
    encode_outputs,
    encode_status,
    parse_predict_request,
)

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI, Request

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 2**20
"""Largest request body, in bytes, that is read."""

# Seconds that requests under way have to end once the server is told to stop.
_GRACE_SECONDS = 10
_STATUS_OF_CODE = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}


def create_app(export_dir: Path, models: Sequence[str] | None = None) -> "FastAPI":
    """Builds the web application and loads the models; any ASGI server can run it.

    Args:
        export_dir: Path. Folder of `<name>/<integer version>/saved_model.pb`.
        models: names to serve. Defaults to every model of the folder.

    Returns:
        A FastAPI application; its `state.model_store` is the `ModelStore`.

    Raises:
        ServingError: if the folder holds no model or lacks one of `models`, or if FastAPI is not installed. A model
            that cannot be loaded raises nothing: its status call says what is wrong with it.
    """
    try:
        from fastapi import FastAPI, Request, Response
        from starlette.concurrency import run_in_threadpool
        from starlette.exceptions import HTTPException
        from starlette.requests import ClientDisconnect
    except ImportError as error:
        raise _missing_library(error) from error

    store = ModelStore(export_dir, models)
    app = FastAPI(title="mmrec_tf", version=mmrec_tf.__version__, docs_url=None, redoc_url=None)
    app.state.model_store = store

    def json_response(content: bytes, status: int = 200) -> Response:
        return Response(content, status, media_type="application/json")

    @app.exception_handler(RequestError)
    async def request_error(request: Request, error: RequestError) -> Response:
        return json_response(encode_json({"error": str(error)}), error.status)

    @app.exception_handler(ModelNotFoundError)
    async def model_not_found(request: Request, error: ModelNotFoundError) -> Response:
        return json_response(encode_json({"error": str(error)}), 404)

    @app.exception_handler(GraphError)
    async def graph_error(request: Request, error: GraphError) -> Response:
        return json_response(encode_json({"error": str(error)}), _STATUS_OF_CODE.get(error.code, 500))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        message = f"{error.detail}: {request.method} {request.url.path}"
        return json_response(encode_json({"error": message}), error.status_code)

    @app.exception_handler(Exception)
    async def unexpected_error(request: Request, error: Exception) -> Response:
        return json_response(encode_json({"error": "The server failed; its log says why"}), 500)

    @app.get("/")
    def index() -> Response:
        return json_response(encode_json({"models": {n: [v.version for v in store.versions(n)] for n in store.names}}))

    @app.get("/healthz")
    async def health() -> Response:
        return json_response(encode_json({"status": "ok"}))

    @app.get("/v1/models")
    async def no_model() -> Response:
        raise RequestError(f"Missing model name in request; models here: {', '.join(store.names)}")

    @app.get("/v1/models/{name}")
    @app.get("/v1/models/{name}/versions/{version}")
    def status(request: Request) -> Response:
        name, number = _target(request)
        versions = [v for v in store.versions(name) if number is None or v.version == number]
        if not versions:
            wanted = f"any versions of model {name}" if number is None else f"version {number} of model {name}"
            raise ModelNotFoundError(f"Could not find {wanted}; models here: {', '.join(store.names)}")
        return json_response(encode_status(versions))

    @app.get("/v1/models/{name}/metadata")
    @app.get("/v1/models/{name}/versions/{version}/metadata")
    def metadata(request: Request) -> Response:
        return json_response(encode_metadata(store.find(*_target(request))))

    @app.post("/v1/models/{name}:predict")
    @app.post("/v1/models/{name}/versions/{version}:predict")
    async def predict(request: Request) -> Response:
        name, number = _target(request)
        declared = request.headers.get("content-length", "")
        # Refused by its header where it has one: a client that waits for "100 Continue" then never sends the body.
        _check_size(int(declared) if declared.isdecimal() else 0)
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                _check_size(len(body))
        except ClientDisconnect:
            return json_response(encode_json({"error": "The client closed the connection"}), 499)
        return json_response(await run_in_threadpool(_predict, store, name, number, bytes(body)))

    # HEAD and OPTIONS too: TensorFlow Serving answers 400 to every method that it does not know for a path.
    @app.api_route("/v1/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
    async def malformed(request: Request) -> Response:
        raise _malformed(request)

    return app


def serve(export_dir: Path, host: str = "127.0.0.1", port: int = 8501, models: Sequence[str] | None = None) -> None:
    """Serves an export folder until it is interrupted (Ctrl-C or SIGTERM), then lets requests under way end.

    Args:
        export_dir: Path. Folder of `<name>/<integer version>/saved_model.pb`.
        host: str. Address to listen on; `"0.0.0.0"` for every network of the machine. Defaults to this machine alone.
        port: int. Port to listen on. Defaults to 8501, TensorFlow Serving's; 0 takes a free one.
        models: names to serve. Defaults to every model of the folder.

    Raises:
        ServingError: if the port cannot be used, the folder holds no model, or FastAPI or uvicorn is not installed.
    """
    # The port first: it is found out at once, while loading may take long.
    with closing(_listen(host, port)) as listener:
        server = _uvicorn_server(create_app(export_dir, models))
        logger.info("answering at %s", _url(listener))
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            # uvicorn has stopped by then, and raises Ctrl-C again for its caller.
            logger.info("stopped")


@contextmanager
def running_server(export_dir: Path, port: int = 0, models: Sequence[str] | None = None) -> Iterator[str]:
    """Serves an export folder from a background thread while the `with` block runs; for demos and tests.

    Args:
        export_dir: Path. Folder of `<name>/<integer version>/saved_model.pb`.
        port: int. Port on this machine. Defaults to 0, a free one.
        models: names to serve. Defaults to every model of the folder.

    Yields:
        str. Base URL, for example `http://127.0.0.1:40123`; the server answers from then on.

    Raises:
        ServingError: as `serve` does.
    """
    with closing(_listen("127.0.0.1", port)) as listener:
        server = _uvicorn_server(create_app(export_dir, models))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="mmrec-server", daemon=True)
        url = _url(listener)
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise ServingError(f"The server at {url} did not start; its log says why.")
                time.sleep(0.01)
            yield url
        finally:
            server.should_exit = True
            thread.join(_GRACE_SECONDS + 5)


def _predict(store: ModelStore, name: str, version: int | None, body: bytes) -> bytes:
    # The model comes first, as in TensorFlow Serving: an unknown one is 404 whatever the body says.
    model = store.find(name, version)
    request = parse_predict_request(body)
    signature_name = request.signature_name or DEFAULT_SIGNATURE
    if signature_name not in model.signatures:
        raise RequestError(
            f'Serving signature name: "{signature_name}" not found in signature def; '
            f"signatures of {name}: {', '.join(s for s in model.signatures if not s.startswith('__'))}"
        )
    inputs = decode_inputs(request, model.signatures[signature_name].inputs)
    return encode_outputs(model.run(signature_name, inputs), request.is_row_form)


def _target(request: "Request") -> tuple[str, int | None]:
    name, version = request.path_params["name"], request.path_params.get("version")
    if ":" in name or (version is not None and not re.fullmatch("[0-9]+", version)):
        raise _malformed(request)
    if version is None:
        return name, None
    # Digits are counted first because Python refuses to convert thousands of them.
    if len(version) > 30 or int(version) > MAX_VERSION:
        raise RequestError(f"Failed to convert version: {version[:30]} to numeric; it is above {MAX_VERSION}")
    return name, int(version)


def _check_size(size: int) -> None:
    if size > MAX_BODY_BYTES:
        raise RequestError(f"The body is larger than {MAX_BODY_BYTES} bytes, the most that is read", 413)


def _malformed(request: "Request") -> RequestError:
    return RequestError(
        f"Malformed request: {request.method} {request.url.path}; known are "
        "GET /v1/models/NAME[/versions/V][/metadata] and POST /v1/models/NAME[/versions/V]:predict"
    )


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
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ServingError(
                f"Port {port} on {host} is in use by another program. Stop it, or serve on another port (0 takes a "
                "free one)."
            ) from error
        raise ServingError(f"Cannot listen on {host}, port {port}: {error.strerror or error}.") from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _uvicorn_server(app: "FastAPI") -> "uvicorn.Server":
    try:
        import uvicorn
    except ImportError as error:
        raise _missing_library(error) from error
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=_GRACE_SECONDS)
    return uvicorn.Server(config)


def _missing_library(error: ImportError) -> ServingError:
    return ServingError(
        f"The embedded server needs FastAPI and uvicorn, but {error.name} is not installed. "
        "Install them: pip install fastapi uvicorn"
    )
