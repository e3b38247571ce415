"""What TensorFlow Serving is started with, written beside the models from what the export folder holds."""

import os
from collections.abc import Iterator
from pathlib import Path

from mmrec_tf.folders import replacing
from mmrec_tf.serving.alert_rules import alert_rules
from mmrec_tf.serving.dashboard import dashboard, dashboard_provider, datasource
from mmrec_tf.serving.op_check import needed_libraries

METRICS_PATH = "/monitoring/prometheus/metrics"
"""Where TensorFlow Serving shows its metrics to Prometheus."""

DRIFT_PATH = "/monitoring/drift"
"""Where the embedded server tells how far answers have moved; TensorFlow Serving has no such path."""

_IN_CONTAINER = "/models"
_DASHBOARDS = "/etc/grafana/dashboards"
_SERVED_VERSIONS = 2
_LARGEST_BATCH = 64
_SCORES_IN_A_BATCH = 2**24
# The first request of a batch waits for the last: with a million items, each adds a few milliseconds.


def write_server_files(folder: Path, items: int) -> list[Path]:
    """Writes the files that serve every model of an export folder; each takes its place in one rename.

    - `models.config`: the models, their two newest versions, and the labels `latest` and `previous`.
    - `batching_parameters.txt`: how requests are batched, by the size of the catalogue.
    - `monitoring.config`, `prometheus.yml`, `alerts.yml`: metrics, who collects them, and when somebody should look.
    - `grafana_dashboard.json`, `grafana_datasource.yml`, `grafana_dashboards.yml`: what Grafana shows of them.
    - `docker-compose.yml`: TensorFlow Serving, Prometheus and Grafana, started with these files: `docker compose up`.

    Args:
        folder: the export folder.
        items: int. Size of the catalogue.

    Returns:
        The files.
    """
    files = {
        "batching_parameters.txt": batching_parameters(items),
        "monitoring.config": f'prometheus_config {{\n  enable: true\n  path: "{METRICS_PATH}"\n}}\n',
        "prometheus.yml": _PROMETHEUS,
        "alerts.yml": alert_rules(),
        "grafana_dashboard.json": dashboard(),
        "grafana_datasource.yml": datasource(),
        "grafana_dashboards.yml": dashboard_provider(_DASHBOARDS),
    }
    for name, content in files.items():
        _write(folder / name, content)
    # Written last, and again where another export has added a version meanwhile, which may have written its own before:
    # `latest` is the newest in the end, whoever writes last.
    of_versions = {"models.config": models_config, "docker-compose.yml": _compose}
    written = {}
    while written != (now := {name: content_of(folder) for name, content_of in of_versions.items()}):
        for name, content in now.items():
            _write(folder / name, content)
        written = now
    return [folder / name for name in (*of_versions, *files)]


def _write(path: Path, content: str) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text(content, encoding="utf-8")


def models_config(folder: Path) -> str:
    """A `ModelServerConfig` in text form: every model of the folder that has a version."""
    models = []
    for model, numbers in _versions(folder):
        labels = "".join(map(_label, zip(("latest", "previous"), reversed(numbers))))
        models.append(_MODEL.format(name=model.name, base=_IN_CONTAINER, versions=_SERVED_VERSIONS, labels=labels))
    return _MODELS_HEADER + "model_config_list {\n" + "".join(models) + "}\n"


def batching_parameters(items: int) -> str:
    """`BatchingParameters` in text form.

    Batches are smaller where the catalogue is large, and never waited for: a request that finds a thread free is
    answered alone, and those that come meanwhile make the next batch.
    """
    threads = max(1, os.cpu_count() or 1)
    return _BATCHING.format(batch=min(_LARGEST_BATCH, max(1, _SCORES_IN_A_BATCH // items)), threads=threads)


def _versions(folder: Path) -> Iterator[tuple[Path, list[int]]]:
    """The folder of each model that has a version, and the versions' numbers in ascending order."""
    for model in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        numbers = sorted(int(path.name) for path in model.iterdir() if path.name.isdigit() and path.is_dir())
        if numbers:
            yield model, numbers


def _compose(folder: Path) -> str:
    served = [model / str(number) for model, numbers in _versions(folder) for number in numbers[-_SERVED_VERSIONS:]]
    libraries = sorted({library for version in served for library in needed_libraries(version)})
    return _COMPOSE.replace(_IMAGE, _OTHER_IMAGE.format(" and ".join(libraries))) if libraries else _COMPOSE


def _label(label: tuple[str, int]) -> str:
    return f'    version_labels {{\n      key: "{label[0]}"\n      value: {label[1]}\n    }}\n'


_MODELS_HEADER = f"""\
# Read by tensorflow_model_server --model_config_file. Paths are those inside the container, where the export folder is
# mounted as {_IN_CONTAINER}. A version is asked for by number, by the labels, or not at all, which gives the newest.
"""
_MODEL = """\
  config {{
    name: "{name}"
    base_path: "{base}/{name}"
    model_platform: "tensorflow"
    model_version_policy {{
      latest {{
        num_versions: {versions}
      }}
    }}
{labels}  }}
"""
_BATCHING = """\
# Read by tensorflow_model_server --batching_parameters_file. Requests that meet in a batch need lists of one length
# (exclude_ids, history_item_ids, ...): fill them with "" to a length of your own.
max_batch_size {{ value: {batch} }}
batch_timeout_micros {{ value: 0 }}
max_enqueued_batches {{ value: 1000 }}
# One for each processor of the machine that exported.
num_batch_threads {{ value: {threads} }}
pad_variable_length_inputs: false
"""
_PROMETHEUS = f"""\
global:
  scrape_interval: 15s
rule_files: ["alerts.yml"]
scrape_configs:
  - job_name: tensorflow_serving
    metrics_path: {METRICS_PATH}
    static_configs:
      - targets: ["serving:8501"]
      # `mmrec serve RUN --host 0.0.0.0 --port 8511` on this machine, which tells of drift, batches and versions too:
      # - targets: ["host.docker.internal:8511"]
"""
_IMAGE = "tensorflow/serving:${TF_SERVING_VERSION:-2.16.1}"
# Compose ends with this message where no image is named.
_OTHER_IMAGE = '"${{TF_SERVING_IMAGE:?the models use ops of {}, so name an image of a server that is built with them}}"'
_COMPOSE = f"""\
# TensorFlow Serving on 8500 (gRPC) and 8501 (REST), Prometheus on 9090, Grafana on 3000. Start it here:
#   docker compose up
services:
  serving:
    image: {_IMAGE}
    restart: unless-stopped
    ports: ["8500:8500", "8501:8501"]
    volumes: [".:{_IN_CONTAINER}:ro"]
    command:
      - --model_config_file={_IN_CONTAINER}/models.config
      - --model_config_file_poll_wait_seconds=60
      # The labels name versions that are still loading when the server starts.
      - --allow_version_labels_for_unavailable_models=true
      - --enable_batching=true
      - --batching_parameters_file={_IN_CONTAINER}/batching_parameters.txt
      - --monitoring_config_file={_IN_CONTAINER}/monitoring.config
    healthcheck:
      test: ["CMD-SHELL", "bash -c '</dev/tcp/127.0.0.1/8501'"]
      interval: 10s
      start_period: 60s
  prometheus:
    image: prom/prometheus:${{PROMETHEUS_VERSION:-v2.53.0}}
    restart: unless-stopped
    ports: ["9090:9090"]
    volumes:
      - ./prometheus.yml:/etc/prometheus/prometheus.yml:ro
      - ./alerts.yml:/etc/prometheus/alerts.yml:ro
    extra_hosts: ["host.docker.internal:host-gateway"]
    depends_on: [serving]
  grafana:
    image: grafana/grafana:${{GRAFANA_VERSION:-11.1.0}}
    restart: unless-stopped
    # For this machine alone: whoever comes first sets the password (admin, admin).
    ports: ["127.0.0.1:3000:3000"]
    volumes:
      - ./grafana_dashboard.json:{_DASHBOARDS}/mmrec.json:ro
      - ./grafana_datasource.yml:/etc/grafana/provisioning/datasources/mmrec.yml:ro
      - ./grafana_dashboards.yml:/etc/grafana/provisioning/dashboards/mmrec.yml:ro
    depends_on: [prometheus]
"""
