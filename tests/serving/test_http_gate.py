"""What every request passes: keys, request ids, the access log, how many there may be."""

import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.http_app import create_app
from mmrec_tf.serving.server_options import ServerOptions, read_api_keys
from tests.served_models import save_shelf

PICK = json.dumps({"instances": [1, 2]})


@pytest.fixture(scope="module")
def export_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gate")
    save_shelf(folder / "shelf" / "3")
    return folder


def client_of(export_dir, **options):
    return TestClient(create_app(export_dir, options=ServerOptions(poll_seconds=0, **options)))


class TestKeys:
    @pytest.fixture(scope="class")
    def client(self, export_dir):
        return client_of(export_dir, api_keys=["first-key", "second-key"])

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-API-Key": "first-key"},
            {"X-API-Key": "second-key"},
            {"Authorization": "Bearer second-key"},
            {"authorization": "bearer first-key"},
        ],
    )
    def test_a_key_opens(self, client, headers):
        response = client.post("/v1/models/shelf:predict", content=PICK, headers=headers)
        assert response.json() == {"predictions": [3.0, 2.0]}

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"X-API-Key": "first-ke"},
            {"X-API-Key": "first-key2"},
            {"X-API-Key": ""},
            {"Authorization": "Basic first-key"},
            {"Authorization": "first-key"},
        ],
    )
    @pytest.mark.parametrize("path", ["/v1/models/shelf", "/", "/openapi.json", "/monitoring/prometheus/metrics"])
    def test_anything_else_is_401(self, client, headers, path):
        response = client.get(path, headers=headers)
        assert response.status_code == 401 and response.headers["www-authenticate"] == "Bearer"
        assert "X-API-Key" in response.json()["error"]

    def test_health_is_open(self, client):
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json() == {"status": "ready"}

    def test_keys_of_a_file(self, tmp_path):
        (tmp_path / "keys").write_text("# for the shop\nabc\n\n  def  \n")
        assert read_api_keys(tmp_path / "keys") == ["abc", "def"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [(None, "cannot be read"), (b"\n# none\n", "holds no API key"), ("a\nschl\u00fcssel".encode(), "Key 2 of")],
    )
    def test_a_file_without_keys(self, tmp_path, content, message):
        if content is not None:
            (tmp_path / "keys").write_bytes(content)
        with pytest.raises(ServingError, match=message):
            read_api_keys(tmp_path / "keys")


class TestRequestIds:
    def test_the_clients_own_comes_back(self, export_dir):
        client = client_of(export_dir)
        for path in ("/healthz", "/v1/models/shelf", "/nowhere"):
            assert client.get(path, headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"

    @pytest.mark.parametrize("given", [{}, {"X-Request-ID": "x" * 129}, {"X-Request-ID": b"\xe9"}])
    def test_one_is_made_up_otherwise(self, export_dir, given):
        client = client_of(export_dir)
        made = [client.get("/healthz", headers=given).headers["x-request-id"] for _ in range(2)]
        assert made[0] != made[1] and all(8 <= len(one) <= 40 for one in made)


class TestAccessLog:
    def test_one_line_for_each_request(self, export_dir, caplog):
        client = client_of(export_dir, access_log=True)
        with caplog.at_level(logging.INFO, "mmrec_tf.access"):
            client.post("/v1/models/shelf:predict", content=PICK, headers={"X-Request-ID": "r1"})
            client.get("/v1/models/shoes", headers={"X-Request-ID": "r2\\"})
        first, second = (json.loads(record.message) for record in caplog.records if record.name == "mmrec_tf.access")
        assert first.pop("ms") > 0 and abs(first.pop("time") - time.time()) < 60
        assert first == {
            "protocol": "HTTP",
            "request_id": "r1",
            "client": "testclient",
            "method": "POST",
            "path": "/v1/models/shelf:predict",
            "model": "shelf",
            "version": 3,
            "status": 200,
            "batch_rows": 2,
        }
        assert (second["request_id"], second["model"], second["version"], second["status"]) == ("r2\\", "shoes", 0, 404)

    def test_off_by_default(self, export_dir, caplog):
        with caplog.at_level(logging.INFO, "mmrec_tf.access"):
            client_of(export_dir).get("/healthz")
        assert not [record for record in caplog.records if record.name == "mmrec_tf.access"]


class TestLimits:
    def test_more_requests_than_allowed_are_503(self, export_dir, monkeypatch):
        client = client_of(export_dir, max_requests=3, max_batch_size=1)
        version = client.app.state.model_store.find("shelf")
        call, released = version.call, threading.Event()
        monkeypatch.setattr(version, "call", lambda *asked: released.wait(20) and call(*asked))
        with ThreadPoolExecutor(3) as pool, client:
            waiting = [pool.submit(client.post, "/v1/models/shelf:predict", content=PICK) for _ in range(3)]
            deadline = time.monotonic() + 10
            while "requests_in_flight 3.0" not in client.app.state.metrics.exposition().decode():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            response = client.get("/v1/models/shelf")
            assert response.status_code == 503 and response.headers["retry-after"] == "1"
            assert "3 requests to answer" in response.json()["error"]
            # Whoever looks after the server must always be able to.
            assert client.get("/healthz").status_code == 200
            assert client.get("/monitoring/prometheus/metrics").status_code == 200
            released.set()
            assert [answer.result().json() for answer in waiting] == [{"predictions": [3.0, 2.0]}] * 3
        assert 'mmrec_refused_total{reason="requests"} 1.0' in client.app.state.metrics.exposition().decode()

    def test_more_bytes_than_are_held_at_a_time_are_503(self, export_dir):
        client = client_of(export_dir, max_pending_bytes=10)
        response = client.post("/v1/models/shelf:predict", content=PICK)
        assert response.status_code == 503 and response.headers["retry-after"] == "1"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"max_requests": 0}, "max_requests must be at least 1, got 0"),
            ({"max_batch_size": 0}, "max_batch_size must be at least 1"),
            ({"request_seconds": 0}, "request_seconds must be above 0"),
            ({"header_seconds": float("nan")}, "header_seconds must be above 0"),
            ({"poll_seconds": -1}, "poll_seconds must be 0 or more"),
            ({"drift_seconds": -1}, "drift_seconds must be 0 or more"),
            ({"tls_key": "key.pem"}, "TLS needs a certificate and its key"),
        ],
    )
    def test_options_out_of_range(self, options, message):
        with pytest.raises(ServingError, match=message):
            ServerOptions(**options)


def test_readiness(export_dir, tmp_path):
    client = client_of(export_dir)
    assert client.get("/readyz").json() == {"status": "ready"}
    client.app.state.is_draining = True
    assert client.get("/readyz").status_code == 503 and client.get("/healthz").status_code == 200
    (tmp_path / "hollow" / "1").mkdir(parents=True)
    response = client_of(tmp_path).get("/readyz")
    assert response.status_code == 503 and response.json() == {"error": "No version is available of: hollow"}
