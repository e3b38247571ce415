"""The dashboard against the metrics that there are, and against what makes Grafana show it."""

import json
import re

import pytest
import yaml

from mmrec_tf.serving.dashboard import DATASOURCE, dashboard, dashboard_provider, datasource
from tests.serving.shown_metrics import is_balanced, metric_names, shown_metrics

DASHBOARD = json.loads(dashboard())
TARGETS = [(panel["title"], target) for panel in DASHBOARD["panels"] for target in panel["targets"]]


def test_what_is_shown():
    assert [panel["title"] for panel in DASHBOARD["panels"]] == [
        "Requests", "Errors", "Latency", "Rows of a call", "Requests in flight", "Versions", "Memory",
        "Shift of scores and embeddings", "Coverage of the catalogue", "Unknown ids",
    ]  # fmt: skip
    latency = [target["legendFormat"] for title, target in TARGETS if title == "Latency"]
    assert latency == ["p50 {{model_name}}", "p95 {{model_name}}", "p99 {{model_name}}"]


def test_panels_have_a_place_of_their_own():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        # Grafana's grid is 24 wide.
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize(("title", "target"), TARGETS)
def test_a_query(title, target):
    assert is_balanced(target["expr"])
    assert set(metric_names(target["expr"])) <= shown_metrics() and metric_names(target["expr"])
    assert target["datasource"] == {"type": "prometheus", "uid": DATASOURCE}
    # What the legend names is a label that the query leaves.
    for kept in re.findall(r"by \(([^)]*)\)", target["expr"])[:1]:
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= set(kept.split(", "))


def test_letters_of_a_panels_queries_differ():
    for panel in DASHBOARD["panels"]:
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == ["A", "B", "C"][: len(letters)]


def test_the_model_is_chosen_from_a_label_that_there_is():
    (variable,) = DASHBOARD["templating"]["list"]
    metric, label = re.fullmatch(r"label_values\((\S+), (\w+)\)", variable["query"]["query"]).groups()
    assert metric in shown_metrics() and label == "model_name" and variable["name"] == "model"


def test_grafana_finds_prometheus_and_the_dashboard():
    (source,) = yaml.safe_load(datasource())["datasources"]
    assert source["uid"] == DATASOURCE and source["type"] == "prometheus" and source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load(dashboard_provider("/somewhere"))["providers"]
    assert provider["type"] == "file" and provider["options"]["path"] == "/somewhere"
