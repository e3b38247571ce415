"""The names that the server's registry shows, and those that an expression of Prometheus asks for."""

import functools
import re

PROMETHEUS_OWN = {"up"}
"""What Prometheus makes itself."""

_WORDS = {"sum", "by", "rate", "count", "unless", "on", "group_left", "histogram_quantile"}


@functools.cache
def shown_metrics() -> frozenset[str]:
    """Sample names, with those of metrics that have no sample yet."""
    from mmrec_tf.serving.drift_monitor import DriftMonitor
    from mmrec_tf.serving.server_metrics import ServerMetrics

    class Store:
        names = ()

    metrics = ServerMetrics()
    metrics.watch(Store())
    metrics.watch_drift(DriftMonitor(60))
    metrics.observe_request("m", "predict", "OK", 0.1)
    metrics.observe_call("m", "s", 1, 1, 0.1)
    metrics.refused.labels("key").inc()
    text = metrics.exposition().decode()
    # Not by the library's parser, which ends the name of every counter in `_total`; TensorFlow Serving's has no ending.
    written = set(re.findall(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)[{ ]", text, re.MULTILINE))
    gauges = set(re.findall(r"^# TYPE (\S+) gauge$", text, re.MULTILINE))
    return frozenset(written | gauges)


def metric_names(expression: str) -> list[str]:
    """Names of metrics in an expression."""
    plain = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|on|group_left) \([^)]*\)", " ", expression)
    return [name for name in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", plain) if name not in _WORDS]


def is_balanced(expression: str) -> bool:
    """Whether each bracket outside of quotes has its partner."""
    open_ones = []
    for character in re.sub(r'"[^"]*"', "", expression):
        if character in "([{":
            open_ones.append(")]}"["([{".index(character)])
        elif character in ")]}" and (not open_ones or open_ones.pop() != character):
            return False
    return not open_ones and expression.count('"') % 2 == 0
