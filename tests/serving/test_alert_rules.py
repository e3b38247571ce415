"""The rules against Prometheus's schema of rule files, and against the metrics that there are."""

import re

import pytest
import yaml

from mmrec_tf.serving.alert_rules import alert_rules
from tests.serving.shown_metrics import PROMETHEUS_OWN, is_balanced, metric_names, shown_metrics

GROUPS = yaml.safe_load(alert_rules())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]


def test_the_file_has_prometheuss_structure():
    assert list(yaml.safe_load(alert_rules())) == ["groups"]
    assert len({group["name"] for group in GROUPS}) == len(GROUPS)
    for group in GROUPS:
        assert set(group) == {"name", "rules"} and group["rules"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_has_prometheuss_structure(rule):
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", rule["alert"])
    assert re.fullmatch(r"([0-9]+(ms|[smhdwy]))+", rule["for"])
    assert rule["labels"]["severity"] in ("warning", "critical")
    for text in rule["annotations"].values():
        assert isinstance(text, str) and text.count("{{") == text.count("}}")
        # What a template names is there: the labels that the expression leaves, and its value.
        for named in re.findall(r"\$labels\.(\w+)", text):
            assert named in {"instance", "model_name", "version", "kind"}
    assert is_balanced(rule["expr"])


def test_what_is_watched():
    assert [rule["alert"].removeprefix("Mmrec") for rule in RULES] == [
        "ServerDown", "NoVersionAvailable", "ErrorRate", "SlowAnswers",
        "ScoreDrift", "EmbeddingDrift", "CoverageFall", "UnknownIds",
    ]  # fmt: skip
    found = {rule["alert"]: rule["expr"] for rule in RULES}
    assert found["MmrecScoreDrift"] == "mmrec_score_psi > 0.2"


def test_labels_that_are_named_survive_the_sums():
    for rule in RULES:
        kept = re.findall(r"by \(([^)]*)\)", rule["expr"])
        for named in re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())):
            assert all(named in labels for labels in kept), rule["alert"]


def test_every_metric_is_shown_by_the_server():
    named = {name for rule in RULES for name in metric_names(rule["expr"])}
    assert len(named) >= 8
    assert named <= shown_metrics() | PROMETHEUS_OWN


def test_statuses_are_those_of_the_server():
    from mmrec_tf.serving.http_errors import STATUS_OF_CODE

    (expression,) = (rule["expr"] for rule in RULES if rule["alert"] == "MmrecErrorRate")
    (left_out,) = re.findall(r'status!~"([^"]*)"', expression)
    assert set(left_out.split("|")) <= set(STATUS_OF_CODE)
    # A server that fails, is too slow or has too much to do is not left out.
    assert not {"INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED"} & set(left_out.split("|"))
