"""Alerts for Prometheus: when somebody should look at the server or at the model."""

import yaml

ERROR_SHARE = 0.05
SLOW_MICROSECONDS = 500_000
SHIFTED_PSI = 0.2
COVERAGE_SHARE = 0.5
UNKNOWN_SHARE = 0.2

_COUNT = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency_bucket"
# What a client does wrong is no failure of the server.
_CLIENTS = "OK|INVALID_ARGUMENT|NOT_FOUND|CANCELLED"


def alert_rules() -> str:
    """A rule file of Prometheus, in YAML.

    The measures of drift, and the state of versions, are told by the embedded server alone; rules about what a server
    does not tell never fire.

    Source: https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/
    """
    failed = f'sum by (instance, model_name) (rate({_COUNT}{{status!~"{_CLIENTS}"}}[5m]))'
    asked = f"sum by (instance, model_name) (rate({_COUNT}[5m]))"
    slowest = f"histogram_quantile(0.99, sum by (instance, model_name, le) (rate({_LATENCY}[5m])))"
    states = "count by (instance, model_name) (mmrec_model_version_state"
    server = [
        _rule(
            "ServerDown",
            "up == 0",
            "2m",
            "critical",
            "{{ $labels.instance }} does not answer",
            "Prometheus has not reached it for two minutes. Look at its log, and whether its machine runs.",
        ),
        _rule(
            "NoVersionAvailable",
            f'{states}) unless {states}{{state="AVAILABLE"}})',
            "2m",
            "critical",
            "{{ $labels.model_name }} has no version that can be asked",
            "GET /v1/models/{{ $labels.model_name }} says why its versions do not load.",
        ),
        _rule(
            "ErrorRate",
            f"{failed} / {asked} > {ERROR_SHARE}",
            "5m",
            "critical",
            "{{ $value | humanizePercentage }} of the requests to {{ $labels.model_name }} fail",
            "Mistakes of clients are not counted. The server's log says what has failed.",
        ),
        _rule(
            "SlowAnswers",
            f"{slowest} > {SLOW_MICROSECONDS}",
            "10m",
            "warning",
            "1 % of the requests to {{ $labels.model_name }} take longer than half a second",
            "Look at requests in flight and rows of a call: add servers, or export with the index ivf (export.index).",
        ),
    ]
    model = [
        _rule(
            "ScoreDrift",
            f"mmrec_score_psi > {SHIFTED_PSI}",
            "30m",
            "warning",
            "The scores of {{ $labels.model_name }} have shifted (PSI {{ $value | humanize }})",
            "Other users ask, or the catalogue has changed: GET /monitoring/drift shows the shares. Train again.",
        ),
        _rule(
            "EmbeddingDrift",
            f"mmrec_embedding_psi > {SHIFTED_PSI}",
            "30m",
            "warning",
            "The users who ask {{ $labels.model_name }} are others than those it was exported with",
            "PSI of the query embeddings: {{ $value | humanize }}. See whether many are unknown, and train again.",
        ),
        _rule(
            "CoverageFall",
            f"mmrec_catalogue_coverage < {COVERAGE_SHARE} * mmrec_catalogue_coverage_expected",
            "30m",
            "warning",
            "{{ $labels.model_name }} recommends less than half of the items that it should",
            "{{ $value | humanizePercentage }} of the catalogue is left. A few users may ask all the time, or many be "
            "unknown, who all get what is popular.",
        ),
        _rule(
            "UnknownIds",
            f"mmrec_unknown_id_ratio > {UNKNOWN_SHARE}",
            "30m",
            "warning",
            "{{ $value | humanizePercentage }} of the {{ $labels.kind }} ids are unknown to {{ $labels.model_name }}",
            "Clients may write ids in another way. If they are new, add items (mmrec index RUN --add) or train again.",
        ),
    ]
    groups = [{"name": "mmrec_server", "rules": server}, {"name": "mmrec_model", "rules": model}]
    return _HEADER + yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000)


def _rule(name: str, expression: str, duration: str, severity: str, summary: str, description: str) -> dict:
    return {
        "alert": f"Mmrec{name}",
        "expr": expression,
        "for": duration,
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "description": description},
    }


_HEADER = (
    "# Read by Prometheus (rule_files in prometheus.yml). Thresholds are a start: set them by what your traffic is.\n"
)
