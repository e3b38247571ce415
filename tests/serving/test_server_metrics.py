"""What Prometheus reads, parsed by Prometheus's own library."""

import json

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from mmrec_tf.serving.http_app import create_app
from mmrec_tf.serving.server_options import ServerOptions
from tests.served_models import save_shelf

URL = "/v1/models/shelf:predict"


@pytest.fixture
def client(tmp_path):
    save_shelf(tmp_path / "shelf" / "1")
    (tmp_path / "shelf" / "2").mkdir()
    return TestClient(create_app(tmp_path, options=ServerOptions(poll_seconds=0)))


def samples(client):
    response = client.get("/monitoring/prometheus/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(response.text))
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def ask(client, instances, path=URL):
    return client.post(path, content=json.dumps({"instances": instances})).status_code


def test_requests_under_tensorflow_servings_names(client):
    assert [ask(client, [0]), ask(client, [1, 2]), ask(client, [9]), ask(client, "x")] == [200, 200, 400, 400]
    assert ask(client, [0], "/v1/models/shoes:predict") == 404
    # Written out, because the library's parser, like its writer, would end the name in `_total`.
    lines = client.get("/monitoring/prometheus/metrics").text.splitlines()
    name = ":tensorflow:serving:request_count"
    assert f"# TYPE {name} counter" in lines
    assert f'{name}{{model_name="shelf",status="OK"}} 2.0' in lines
    assert f'{name}{{model_name="shelf",status="INVALID_ARGUMENT"}} 2.0' in lines
    # A client cannot make up names of models, of which each would take memory for ever.
    assert f'{name}{{model_name="",status="NOT_FOUND"}} 1.0' in lines
    found = samples(client)
    labels = (("API", "predict"), ("entrypoint", "REST"), ("model_name", "shelf"))
    assert found[(":tensorflow:serving:request_latency_count", *labels)] == 4
    # Microseconds: nothing takes less than ten of them, nor four requests more than four times ten seconds.
    assert 40 < found[(":tensorflow:serving:request_latency_sum", *labels)] < 4e7
    # The two answers, and the metrics that were read before.
    assert found[("mmrec_http_responses_total", ("status", "200"))] == 3
    assert found[("mmrec_http_responses_total", ("status", "404"))] == 1


def test_calls_and_their_rows(client):
    ask(client, [0])
    ask(client, [1, 2, 3])
    found = samples(client)
    labels = (("API", "Predict"), ("model_name", "shelf"), ("runtime", "TF1"))
    assert found[(":tensorflow:serving:runtime_latency_count", *labels)] == 2
    assert found[("mmrec_batch_rows_sum", ("model_name", "shelf"))] == 4
    assert found[("mmrec_batch_requests_sum", ("model_name", "shelf"))] == 2


def test_versions_memory_and_requests_in_flight(client):
    found = samples(client)
    state = "mmrec_model_version_state"
    assert found[(state, ("model_name", "shelf"), ("state", "AVAILABLE"), ("version", "1"))] == 1
    assert found[(state, ("model_name", "shelf"), ("state", "END"), ("version", "2"))] == 1
    # The request for the metrics is the one in flight; TensorFlow alone takes more than 100 MB.
    assert found[("mmrec_requests_in_flight",)] == 1
    assert found[("process_resident_memory_bytes",)] > 1e8


def test_each_server_counts_for_itself(client, tmp_path):
    ask(client, [0])
    other = TestClient(create_app(tmp_path, options=ServerOptions(poll_seconds=0)))
    assert not [key for key in samples(other) if key[0].startswith(":tensorflow:serving:request_count")]
