"""A Grafana dashboard of the server's metrics, and what makes Grafana show it."""

import json

DATASOURCE = "mmrec-prometheus"
"""The uid by which the dashboard finds Prometheus."""

_COUNT = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency_bucket"
_MODEL = 'model_name=~"$model"'
_WIDTH, _HEIGHT = 8, 8
_OWN = "Told by the embedded server alone."
_DRIFT = f"{_OWN} Nothing is shown for a window with too few answers."


def dashboard() -> str:
    """The dashboard as JSON, to be provisioned or imported.

    Requests, errors and latencies are shown for TensorFlow Serving and for the embedded server; the rest, which
    TensorFlow Serving does not tell, for the embedded server.

    Source: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
    """
    by_model = "sum by (model_name)"
    panels = [
        _panel("Requests", "reqps", (f"{by_model} (rate({_COUNT}{{{_MODEL}}}[$__rate_interval]))", "{{model_name}}")),
        _panel(
            "Errors",
            "percentunit",
            (
                f'sum by (model_name, status) (rate({_COUNT}{{{_MODEL},status!="OK"}}[$__rate_interval]))'
                f" / on (model_name) group_left () {by_model} (rate({_COUNT}{{{_MODEL}}}[$__rate_interval]))",
                "{{model_name}} {{status}}",
            ),
            description="Share of the requests, by status. INVALID_ARGUMENT and NOT_FOUND are mistakes of clients.",
        ),
        _panel("Latency", "µs", *(_quantile(share) for share in (0.5, 0.95, 0.99))),
        _panel(
            "Rows of a call",
            "short",
            (_mean("mmrec_batch_rows"), "rows, {{model_name}}"),
            (_mean("mmrec_batch_requests"), "requests, {{model_name}}"),
            description=f"What is answered together. {_OWN}",
        ),
        _panel(
            "Requests in flight",
            "short",
            ("sum by (instance) (mmrec_requests_in_flight)", "{{instance}}"),
            ("sum by (reason) (rate(mmrec_refused_total[$__rate_interval]))", "refused a second: {{reason}}"),
            description=_OWN,
        ),
        _panel(
            "Versions",
            "short",
            (f'mmrec_model_version_state{{{_MODEL},state="AVAILABLE"}}', "{{model_name}} {{version}}"),
            (f'mmrec_model_version_state{{{_MODEL},state!="AVAILABLE"}}', "{{model_name}} {{version}}: {{state}}"),
            description=f"1 for each version in its state. {_OWN}",
        ),
        _panel("Memory", "bytes", ("process_resident_memory_bytes", "{{instance}}"), description=_OWN),
        _panel(
            "Shift of scores and embeddings",
            "short",
            (f"mmrec_score_psi{{{_MODEL}}}", "scores, {{model_name}} {{version}}"),
            (f"mmrec_embedding_psi{{{_MODEL}}}", "embeddings, {{model_name}} {{version}}"),
            description=f"Population stability index against the export: above 0.2 is a shift. {_DRIFT}",
            threshold=0.2,
        ),
        _panel(
            "Coverage of the catalogue",
            "percentunit",
            (f"mmrec_catalogue_coverage{{{_MODEL}}}", "{{model_name}} {{version}}"),
            (f"mmrec_catalogue_coverage_expected{{{_MODEL}}}", "expected, {{model_name}} {{version}}"),
            description=f"Share of the items that were recommended in the window. {_DRIFT}",
        ),
        _panel(
            "Unknown ids",
            "percentunit",
            (f"mmrec_unknown_id_ratio{{{_MODEL}}}", "{{kind}}, {{model_name}} {{version}}"),
            description=f"Share of the ids in requests that the model does not know. {_DRIFT}",
            threshold=0.2,
        ),
    ]
    for place, panel in enumerate(panels):
        row, column = divmod(place, 24 // _WIDTH)
        panel["id"] = place + 1
        panel["gridPos"] = {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}
    document = {
        "uid": "mmrec",
        "title": "Recommendations",
        "tags": ["mmrec"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_MODEL_VARIABLE]},
        "panels": panels,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def datasource() -> str:
    """The provisioning file by which Grafana finds the Prometheus of the compose file."""
    return (
        "apiVersion: 1\ndatasources:\n"
        f"  - name: Prometheus\n    uid: {DATASOURCE}\n    type: prometheus\n    access: proxy\n"
        "    url: http://prometheus:9090\n    isDefault: true\n"
    )


def dashboard_provider(folder: str) -> str:
    """The provisioning file by which Grafana finds dashboards in a folder."""
    return (
        "apiVersion: 1\nproviders:\n"
        f"  - name: mmrec\n    type: file\n    allowUiUpdates: false\n    options:\n      path: {folder}\n"
    )


def _panel(
    title: str, unit: str, *queries: tuple[str, str], description: str = "", threshold: float | None = None
) -> dict:
    source = {"type": "prometheus", "uid": DATASOURCE}
    defaults: dict = {"unit": unit, "min": 0, "custom": {"lineWidth": 1, "fillOpacity": 5, "showPoints": "never"}}
    if threshold is not None:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": threshold}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        defaults["custom"]["thresholdsStyle"] = {"mode": "line"}
    return {
        "title": title,
        "type": "timeseries",
        "description": description,
        "datasource": source,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": source, "expr": expression, "legendFormat": legend}
            for place, (expression, legend) in enumerate(queries)
        ],
    }


def _quantile(share: float) -> tuple[str, str]:
    rates = f"sum by (model_name, le) (rate({_LATENCY}{{{_MODEL}}}[$__rate_interval]))"
    return f"histogram_quantile({share}, {rates})", f"p{share * 100:g} {{{{model_name}}}}"


def _mean(metric: str) -> str:
    sums, counts = (
        f"sum by (model_name) (rate({metric}_{part}{{{_MODEL}}}[$__rate_interval]))" for part in ("sum", "count")
    )
    return f"{sums} / {counts}"


_MODEL_VARIABLE = {
    "name": "model",
    "label": "Model",
    "type": "query",
    "datasource": {"type": "prometheus", "uid": DATASOURCE},
    "query": {"query": f"label_values({_COUNT}, model_name)", "refId": "models"},
    "includeAll": True,
    "multi": True,
    "allValue": ".*",
    "current": {"text": "All", "value": "$__all"},
    "refresh": 2,
}
