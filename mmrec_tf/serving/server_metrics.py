"""What Prometheus is told: under TensorFlow Serving's names where it has one, so that one dashboard fits both."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily

from mmrec_tf.serving.drift_monitor import DriftMonitor
from mmrec_tf.serving.model_store import ModelStore

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# TensorFlow Serving's: 33 buckets from 10 microseconds, each 1.8 times the one before.
_MICROSECONDS = [10 * 1.8**power for power in range(33)]
_ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
_PREFIX = ":tensorflow:serving:"
# The library ends every counter in `_total`; TensorFlow Serving has one that does not.
_REQUEST_COUNT = f"{_PREFIX}request_count"


class ServerMetrics:
    """The metrics of one server; each has a registry of its own, so that several may run in a process.

    - `:tensorflow:serving:request_count{model_name, status}`: requests by TensorFlow's status code.
    - `:tensorflow:serving:request_latency{model_name, API, entrypoint}`, microseconds: a request, all in all.
    - `:tensorflow:serving:runtime_latency{model_name, API, runtime}`, microseconds: a call of the graph.
    - `mmrec_batch_rows`, `mmrec_batch_requests` `{model_name}`: what is answered in one call.
    - `mmrec_requests_in_flight`, `mmrec_refused_total{reason}`, `mmrec_http_responses_total{status}`.
    - `mmrec_model_version_state{model_name, version, state}`: 1 for the state that each version is in.
    - `mmrec_score_psi`, `mmrec_embedding_psi`, `mmrec_catalogue_coverage`, `mmrec_catalogue_coverage_expected`
      `{model_name, version}`, `mmrec_unknown_id_ratio{model_name, version, kind}`: see `DriftReport`; a measure of too
      few answers is not shown.
    - `process_*`: memory, processor time and open files.
    """

    def __init__(self):
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(_REQUEST_COUNT, "Requests by status.", ["model_name", "status"], registry=registry)
        self._latency = Histogram(
            f"{_PREFIX}request_latency",
            "Wall time of requests, in microseconds.",
            ["model_name", "API", "entrypoint"],
            buckets=_MICROSECONDS,
            registry=registry,
        )
        self._runtime = Histogram(
            f"{_PREFIX}runtime_latency",
            "Wall time of the graph's calls, in microseconds.",
            ["model_name", "API", "runtime"],
            buckets=_MICROSECONDS,
            registry=registry,
        )
        self._batch_rows = Histogram(
            "mmrec_batch_rows", "Rows of a call.", ["model_name"], buckets=_ROWS, registry=registry
        )
        self._batch_requests = Histogram(
            "mmrec_batch_requests", "Requests answered by a call.", ["model_name"], buckets=_ROWS, registry=registry
        )
        self.in_flight = Gauge("mmrec_requests_in_flight", "Requests that wait or are answered.", registry=registry)
        self.refused = Counter("mmrec_refused", "Requests refused by a limit.", ["reason"], registry=registry)
        self._responses = Counter("mmrec_http_responses", "Responses by HTTP status.", ["status"], registry=registry)
        ProcessCollector(registry=registry)
        # Looking a child up by its labels costs more than counting.
        self._children: dict[tuple, object] = {}

    def watch(self, store: ModelStore) -> None:
        """Shows the states of a store's versions."""
        self.registry.register(_Versions(store))

    def watch_drift(self, monitor: DriftMonitor) -> None:
        """Shows what a monitor measures."""
        self.registry.register(_Drift(monitor))

    def observe_request(self, model: str, api: str, status: str, seconds: float, entrypoint: str = "REST") -> None:
        """Counts a request.

        Args:
            model: str. The model's name; of one that is not served, `""`, so that requests cannot make up names.
            api: str. `"predict"`, `"classify"` or `"regress"`.
            status: str. TensorFlow's code, `"OK"` for an answer.
            seconds: float. How long it took.
            entrypoint: str. `"REST"` or `"GRPC"`.
        """
        self._child(self._requests, model, status).inc()
        self._child(self._latency, model, api, entrypoint).observe(seconds * 1e6)

    def observe_call(self, model: str, signature: str, rows: int, requests: int, seconds: float) -> None:
        """Counts a call of a graph; what a `BatchScheduler` reports."""
        self._child(self._runtime, model, "Predict", "TF1").observe(seconds * 1e6)
        self._child(self._batch_rows, model).observe(rows)
        self._child(self._batch_requests, model).observe(requests)

    def count_response(self, status: int) -> None:
        """Counts a response by its HTTP status; 0 for a client that left before."""
        self._child(self._responses, str(status or 499)).inc()

    def exposition(self) -> bytes:
        """All of it, in Prometheus's text format."""
        text = generate_latest(self.registry)
        return text.replace(f"{_REQUEST_COUNT}_total".encode(), _REQUEST_COUNT.encode())

    def _child(self, metric: Counter | Histogram, *labels: str):
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child


class _Versions:
    def __init__(self, store: ModelStore):
        self._store = store

    def collect(self):
        states = GaugeMetricFamily(
            "mmrec_model_version_state", "1 for the state of a version.", labels=["model_name", "version", "state"]
        )
        for name in self._store.names:
            for version in self._store.versions(name):
                states.add_metric([name, str(version.version), version.state], 1)
        yield states


class _Drift:
    """Measures are computed when they are asked for."""

    _HELP = {
        "score_psi": "Population stability index of the scores against the model's reference.",
        "embedding_psi": "The same of the query embeddings, the mean over their dimensions.",
        "catalogue_coverage": "Share of the catalogue that was recommended in the window.",
        "catalogue_coverage_expected": "Share that as many places of the reference's lists cover.",
    }

    def __init__(self, monitor: DriftMonitor):
        self._monitor = monitor

    def describe(self):
        # Named without being measured, so that registering costs nothing.
        return self._families().values()

    def collect(self):
        families = self._families()
        for model, version, report in self._monitor.reports():
            labels = [model, str(version)]
            measured = {
                "score_psi": report.score_psi,
                "embedding_psi": report.embedding_psi,
                "catalogue_coverage": report.coverage,
                "catalogue_coverage_expected": report.coverage_expected,
            }
            for name, value in measured.items():
                if value is not None:
                    families[name].add_metric(labels, value)
            for kind, share in report.unknown.items():
                if share is not None:
                    families["unknown_id_ratio"].add_metric([*labels, kind], share)
        yield from families.values()

    def _families(self) -> dict[str, GaugeMetricFamily]:
        labels = ["model_name", "version"]
        families = {name: GaugeMetricFamily(f"mmrec_{name}", said, labels=labels) for name, said in self._HELP.items()}
        said = "Share of the ids in requests that the model does not know, by kind: user or item."
        families["unknown_id_ratio"] = GaugeMetricFamily("mmrec_unknown_id_ratio", said, labels=[*labels, "kind"])
        return families
