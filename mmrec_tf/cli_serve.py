"""`mmrec serve`: the embedded server, for a run or for an export folder alone."""

import logging
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from mmrec_tf.cli_output import console, quiet_tensorflow
from mmrec_tf.errors import ServingError


def serve(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory, or an export folder.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of REST.")] = 8501,
    grpc_port: Annotated[Optional[int], typer.Option(help="Port of gRPC; none by default.")] = None,
    model: Annotated[Optional[list[str]], typer.Option(help="A model to serve; all by default.")] = None,
    batching: Annotated[bool, typer.Option(help="Answer waiting requests together.")] = True,
    max_batch_size: Annotated[Optional[int], typer.Option(min=1, help="Rows of a batch.")] = None,
    num_versions: Annotated[
        Optional[int], typer.Option(min=1, help="Newest versions of a model to serve; else as models.config says.")
    ] = None,
    models_config: Annotated[
        Optional[Path], typer.Option(help="In place of the export's models.config: versions to serve, labels.")
    ] = None,
    poll_seconds: Annotated[float, typer.Option(min=0, help="How often to look for versions; 0: never.")] = 2,
    max_body_mb: Annotated[int, typer.Option(min=1, help="Largest request, in MiB.")] = 64,
    max_requests: Annotated[int, typer.Option(min=1, help="Requests at a time; more get 503.")] = 512,
    max_connections: Annotated[int, typer.Option(min=1, help="Connections at a time; more get 503.")] = 900,
    request_seconds: Annotated[float, typer.Option(help="Longest time for an answer.")] = 30,
    header_seconds: Annotated[float, typer.Option(help="Longest time for a request's head to arrive.")] = 10,
    body_seconds: Annotated[
        float, typer.Option(help="Longest time for a body to arrive, or an answer to be read.")
    ] = 60,
    drain_seconds: Annotated[float, typer.Option(min=0, help="After SIGTERM, not ready but answering.")] = 1,
    api_key_file: Annotated[Optional[Path], typer.Option(help="Text file of accepted keys, one a line.")] = None,
    tls_cert: Annotated[Optional[Path], typer.Option(help="PEM certificate, for HTTPS.")] = None,
    tls_key: Annotated[Optional[Path], typer.Option(help="Its key, PEM.")] = None,
    drift_seconds: Annotated[float, typer.Option(min=0, help="Window of the measures of drift; 0: none.")] = 3600,
    access_log: Annotated[bool, typer.Option("--access-log", help="One JSON line for each request.")] = False,
):
    """Serve a run's SavedModels over TensorFlow Serving's REST API, and gRPC where a port is given."""
    from mmrec_tf.run import Run

    catalogue = None
    if not folder.is_dir() or (folder / "config.yaml").is_file():
        run = Run.open(folder)
        catalogue = run.folder / "items.parquet"
        folder = run.export_folder
    if not batching and max_batch_size not in (None, 1):
        raise ServingError("--no-batching and --max-batch-size do not go together: leave one of them out.")
    from mmrec_tf.serving.server import serve as serve_models
    from mmrec_tf.serving.server_options import ServerOptions, read_api_keys

    options = ServerOptions(
        num_versions=num_versions,
        models_config=models_config,
        poll_seconds=poll_seconds,
        max_batch_size=max_batch_size if batching else 1,
        max_body_bytes=max_body_mb * 2**20,
        max_pending_bytes=4 * max_body_mb * 2**20,
        max_requests=max_requests,
        max_connections=max_connections,
        request_seconds=request_seconds,
        header_seconds=header_seconds,
        body_seconds=body_seconds,
        drain_seconds=drain_seconds,
        api_keys=tuple(read_api_keys(api_key_file)) if api_key_file else (),
        access_log=access_log,
        drift_seconds=drift_seconds,
        tls_certificate=tls_cert,
        tls_key=tls_key,
    )
    quiet_tensorflow()
    _log_to_the_terminal(access_log)
    scheme = "http" if tls_cert is None else "https"
    also = "" if grpc_port is None else f", gRPC on port {grpc_port}"
    place = f"{scheme}://{host}:{port}/v1/models{also}"
    console.print(f"serving {folder} on {place}  (Ctrl-C to stop)", highlight=False, soft_wrap=True)
    serve_models(folder, host, port, model, options, catalogue, grpc_port)


def _log_to_the_terminal(access_log: bool) -> None:
    """What the server does goes to standard error; one JSON line for each request to standard output."""
    to_errors = logging.StreamHandler(sys.stderr)
    to_errors.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    serving = logging.getLogger("mmrec_tf.serving")
    serving.addHandler(to_errors)
    serving.setLevel(logging.INFO)
    if access_log:
        access = logging.getLogger("mmrec_tf.access")
        access.addHandler(logging.StreamHandler(sys.stdout))
        access.setLevel(logging.INFO)
        access.propagate = False
