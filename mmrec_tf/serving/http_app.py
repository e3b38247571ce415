"""The web application: TensorFlow Serving's REST API, a small one of our own, health and metrics."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import mmrec_tf
from mmrec_tf.errors import ServingError
from mmrec_tf.serving.server_files import DRIFT_PATH, METRICS_PATH
from mmrec_tf.serving.server_options import ServerOptions

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app(
    export_dir: Path,
    models: Sequence[str] | None = None,
    options: ServerOptions | None = None,
    catalogue: Path | None = None,
) -> "FastAPI":
    """Builds the web application and loads the models; any ASGI server can run it.

    Args:
        export_dir: Path. Folder of `<name>/<integer version>/saved_model.pb`.
        models: names to serve. Defaults to every model of the folder.
        options: limits and additions. Defaults to `ServerOptions()`.
        catalogue: Path. Table of titles and pictures for `/recommend`, a run's `items.parquet`; None, the default, for
            ids alone.

    Returns:
        A FastAPI application; its `state.model_store` is the `ModelStore`, `state.metrics` the `ServerMetrics`, and
        `state.is_draining` makes `/readyz` say no.

    Raises:
        ServingError: if the folder holds no model or lacks one of `models`, or if FastAPI is not installed. A model
            that cannot be loaded raises nothing: its status call says what is wrong with it.
    """
    try:
        import prometheus_client  # noqa: F401
        from fastapi import FastAPI, Request, Response
        from starlette.exceptions import HTTPException
    except ImportError as error:
        raise missing_library(error) from error
    # They need Starlette, whose absence is to be told in words.
    from mmrec_tf.serving.async_calls import AsyncCalls
    from mmrec_tf.serving.catalogue import Catalogue
    from mmrec_tf.serving.drift_monitor import DriftMonitor
    from mmrec_tf.serving.http_errors import error_body
    from mmrec_tf.serving.http_gate import HttpGate
    from mmrec_tf.serving.model_store import ModelStore
    from mmrec_tf.serving.native_api import add_native_routes
    from mmrec_tf.serving.openapi import openapi_document
    from mmrec_tf.serving.rest_api import RestApi
    from mmrec_tf.serving.rest_codec import encode_json
    from mmrec_tf.serving.server_metrics import CONTENT_TYPE, ServerMetrics
    from mmrec_tf.serving.version_watch import VersionWatch

    options = options or ServerOptions()
    metrics = ServerMetrics()
    drift = DriftMonitor(options.drift_seconds) if options.drift_seconds else None
    sample = None if drift is None else drift.sample
    limits = options.num_versions, options.max_batch_size
    store = ModelStore(export_dir, models, *limits, metrics.observe_call, sample, options.models_config)
    metrics.watch(store)
    if drift is not None:
        drift.watch(store)
        metrics.watch_drift(drift)
    calls = AsyncCalls(store, options.request_seconds, options.max_body_bytes, options.max_pending_bytes)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        watch = VersionWatch(store, options.poll_seconds) if options.poll_seconds else None
        if watch is not None:
            watch.start()
        if drift is not None:
            drift.start()
        yield
        if drift is not None:
            drift.stop()
        if watch is not None:
            watch.stop()
        store.close()

    app = FastAPI(
        title="mmrec_tf",
        version=mmrec_tf.__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.model_store = store
    app.state.metrics = metrics
    app.state.is_draining = False

    def json_response(document: object, status: int = 200) -> Response:
        return Response(encode_json(document), status, media_type="application/json")

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        content = error_body(f"{error.detail}: {request.method} {request.url.path}")
        return Response(content, error.status_code, error.headers, "application/json")

    @app.get("/")
    async def index() -> Response:
        return json_response({"models": {name: [v.version for v in store.versions(name)] for name in store.names}})

    @app.get("/healthz")
    async def health() -> Response:
        return json_response({"status": "ok"})

    @app.get("/readyz")
    async def readiness() -> Response:
        if app.state.is_draining:
            return json_response({"error": "The server is being stopped"}, 503)
        if missing := [name for name in store.names if store.find_loaded(name) is None]:
            return json_response({"error": f"No version is available of: {', '.join(missing)}"}, 503)
        return json_response({"status": "ready"})

    @app.get(METRICS_PATH)
    def prometheus() -> Response:
        return Response(metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    @app.get(DRIFT_PATH)
    def drifted() -> Response:
        if drift is None:
            return json_response({"error": "Drift is not measured: the server was started with a window of 0 s"}, 404)
        return json_response(drift.document())

    @app.get("/openapi.json")
    def openapi() -> Response:
        return json_response(openapi_document(store, options, catalogue is not None))

    add_native_routes(app, calls, None if catalogue is None else Catalogue(catalogue))
    # The last that is added is the outermost.
    app.add_middleware(RestApi, store=store, calls=calls, metrics=metrics)
    app.add_middleware(HttpGate, options=options, metrics=metrics)
    return app


def missing_library(error: ImportError) -> ServingError:
    """What to say when a library of the server is not there."""
    return ServingError(
        f"The embedded server needs FastAPI, uvicorn and prometheus-client, but {error.name} is not installed. "
        "Install them: pip install fastapi uvicorn prometheus-client"
    )
