"""The embedded server against what TensorFlow Serving's REST API answers, in process and over a real socket."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import tensorflow as tf
from fastapi.testclient import TestClient

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.http_app import create_app
from mmrec_tf.serving.server import running_server, serve
from mmrec_tf.serving.server_options import ServerOptions


def string_input(name):
    return tf.TensorSpec([None], tf.string, name=name)


class Shop(tf.Module):
    """User "ann" has number 1, "bob" 2, anyone else 0; item "p", "q", "r" have the scores 0.5, 0.25, 0.1 plus bonus."""

    def __init__(self, bonus):
        super().__init__()
        self.numbers = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(["ann", "bob"], tf.constant([1, 2], tf.int64)), default_value=0
        )
        self.scores = tf.Variable([0.5, 0.25, 0.1])
        self.bonus = tf.Variable(bonus)

    @tf.function(input_signature=[string_input("user_id"), tf.TensorSpec([None, None], tf.string, name="exclude_ids")])
    def recommend(self, user_id, exclude_ids):
        items = tf.tile([["p", "q", "r"]], [tf.shape(user_id)[0], 1])
        excluded = tf.reduce_any(items[:, :, None] == exclude_ids[:, None, :], axis=-1)
        scores = tf.where(excluded, -1.0, self.scores[None, :] + self.bonus)
        top_scores, positions = tf.math.top_k(scores, k=2)
        return {
            "item_id": tf.gather(items, positions, batch_dims=1),
            "score": top_scores,
            "user_number": self.numbers.lookup(user_id),
        }

    @tf.function(input_signature=[string_input("user_id")])
    def number(self, user_id):
        return {"number": self.numbers.lookup(user_id)}

    @tf.function(input_signature=[string_input("data")])
    def store(self, data):
        return {"data_bytes": data, "length": tf.strings.length(data)}

    @tf.function(input_signature=[string_input("data")])
    def raw(self, data):
        return {"data": data}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="pair")])
    def divide(self, pair):
        return {"quotient": pair[:, 0] / pair[:, 1]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="index")])
    def pick(self, index):
        return {"score": tf.gather(self.scores, index)}

    @tf.function(input_signature=[string_input("user_id"), tf.TensorSpec([], tf.int64, name="factor")])
    def total(self, user_id, factor):
        return {"total": factor * tf.reduce_sum(self.numbers.lookup(user_id))}


def save_shop(folder, bonus):
    shop = Shop(bonus)
    names = {"serving_default": "recommend"} | {n: n for n in ("number", "store", "raw", "divide", "pick", "total")}
    signatures = {name: getattr(shop, method).get_concrete_function() for name, method in names.items()}
    tf.saved_model.save(shop, str(folder), signatures=signatures)


@pytest.fixture(scope="session")
def export_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "export"
    save_shop(folder / "shop" / "1", bonus=0.0)
    save_shop(folder / "shop" / "2", bonus=1.0)
    # The newest version of "patched" is corrupt, the one before it sound.
    shutil.copytree(folder / "shop" / "1", folder / "patched" / "7")
    (folder / "patched" / "8").mkdir()
    (folder / "patched" / "8" / "saved_model.pb").write_bytes(b"not a SavedModel")
    (folder / "hollow" / "1").mkdir(parents=True)
    # Its graph is there and its weights are not, as after a copy that stopped half-way.
    shutil.copytree(folder / "shop" / "1", folder / "weightless" / "1")
    shutil.rmtree(folder / "weightless" / "1" / "variables")
    # None of these is a version of a model.
    (folder / "notes").mkdir()
    (folder / "shop" / ".3-half-written").mkdir()
    (folder / "shop" / "latest").mkdir()
    (folder / "models.config").write_text("")
    (folder.parent / "secret" / "1").mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def client(export_dir):
    with TestClient(create_app(export_dir)) as client:
        yield client


def predict(client, body, path="/v1/models/shop:predict", status=200):
    response = client.post(path, content=body if isinstance(body, bytes | str) else json.dumps(body))
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


def error_of(response, status):
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert "Traceback" not in response.text
    return response.json()["error"]


class TestPredict:
    # Version 2 adds 1 to every score: p 1.5, q 1.25, r 1.1.

    def test_rows(self, client):
        rows = [{"user_id": "bob", "exclude_ids": ["p"]}, {"user_id": "zoe", "exclude_ids": ["r"]}]
        assert predict(client, {"instances": rows}) == {
            "predictions": [
                {"item_id": ["q", "r"], "score": [1.25, 1.1], "user_number": 2},
                {"item_id": ["p", "q"], "score": [1.5, 1.25], "user_number": 0},
            ]
        }

    def test_columns(self, client):
        body = {"signature_name": "serving_default", "inputs": {"user_id": ["ann", "bob"], "exclude_ids": [[], []]}}
        assert predict(client, body) == {
            "outputs": {"item_id": [["p", "q"]] * 2, "score": [[1.5, 1.25]] * 2, "user_number": [1, 2]}
        }

    def test_version_in_the_path(self, client):
        body = {"instances": [{"user_id": "ann", "exclude_ids": []}]}
        assert predict(client, body, "/v1/models/shop/versions/1:predict") == {
            "predictions": [{"item_id": ["p", "q"], "score": [0.5, 0.25], "user_number": 1}]
        }

    def test_single_output_is_bare(self, client):
        assert predict(client, {"signature_name": "number", "instances": ["ann", "zoe"]}) == {"predictions": [1, 0]}
        assert predict(client, {"signature_name": "number", "inputs": ["bob"]}) == {"outputs": [2]}
        assert predict(client, {"signature_name": "number", "inputs": {"user_id": ["bob"]}}) == {"outputs": [2]}

    def test_bytes_in_and_out(self, client):
        # "AP8Q" is base64 of the bytes 00 ff 10.
        body = {"signature_name": "store", "instances": [{"b64": "AP8Q"}, "ab"]}
        assert predict(client, body) == {
            "predictions": [
                {"data_bytes": {"b64": "AP8Q"}, "length": 3},
                {"data_bytes": {"b64": "YWI="}, "length": 2},
            ]
        }

    def test_text_is_utf8(self, client):
        response = client.post("/v1/models/shop:predict", content='{"signature_name": "raw", "instances": ["Zoë ☕"]}')
        assert response.content == '{"predictions":["Zoë ☕"]}'.encode()

    def test_non_finite_numbers(self, client):
        body = '{"signature_name": "divide", "instances": [[1, 0], [-1, 0], [0, 0], [1, 4], [NaN, 1]]}'
        response = client.post("/v1/models/shop:predict", content=body)
        assert response.content == b'{"predictions": [Infinity, -Infinity, NaN, 0.25, NaN]}'

    def test_scalars_in_columns(self, client):
        # 10 * (1 + 2)
        body = {"signature_name": "total", "inputs": {"user_id": ["ann", "bob"], "factor": 10}}
        assert predict(client, body) == {"outputs": 30}

    def test_content_type_does_not_matter(self, client):
        # What `curl -d` sends by default.
        response = client.post(
            "/v1/models/shop:predict",
            content='{"signature_name": "number", "instances": ["ann"]}',
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        assert response.json() == {"predictions": [1]}

    def test_many_at_once(self, client):
        def ask(number):
            user, expected = (("ann", 1), ("bob", 2), ("zoe", 0))[number % 3]
            return predict(client, {"signature_name": "number", "instances": [user] * 3}) == {
                "predictions": [expected] * 3
            }

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(60)))


ROW = {"user_id": "ann", "exclude_ids": []}


class TestPredictErrors:
    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("/v1/models/shoes:predict", r"Servable not found for request: Latest\(shoes\); models here: .*shop"),
            ("/v1/models/shoes/versions/1:predict", r"Specific\(shoes, 1\)"),
            ("/v1/models/shop/versions/9:predict", r"Specific\(shop, 9\); versions of shop: 2, 1"),
            ("/v1/models/hollow:predict", r"Latest\(hollow\); version 1 cannot be loaded \(NOT_FOUND: "),
            (
                "/v1/models/patched/versions/8:predict",
                r"Specific\(patched, 8\); version 8 cannot be loaded \(DATA_LOSS",
            ),
        ],
    )
    def test_unknown_model_or_version_is_404(self, client, path, message):
        error = error_of(client.post(path, content=b"not even JSON"), 404)
        assert re.search(message, error), error

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"", "The body is empty"),
            (b"{", "not valid JSON"),
            (b"\xff\xfe", "not UTF-8"),
            (b"[" * 50_000, "nested too deeply"),
            ({"rows": [ROW]}, "Send either 'instances' (rows) or 'inputs' (columns)"),
            ({"instances": []}, "Empty batch"),
            ({"instances": [{"user_id": "ann"}]}, "lacks 'exclude_ids'"),
            ({"instances": [ROW | {"k": 3}]}, "unknown 'k'"),
            ({"instances": [ROW | {"user_id": 7}]}, "Input 'user_id' takes strings"),
            ({"instances": [ROW, ROW | {"exclude_ids": ["p"]}]}, "not rectangular"),
            ({"inputs": {"user_id": ["ann"], "exclude_ids": [[], []]}}, "Batch sizes differ"),
            ({"inputs": {"user_id": ["ann"], "exclude_ids": []}}, "Input 'exclude_ids' has the shape [0]"),
            ({"instances": ["ann"]}, "must be an object"),
            ({"signature_name": "number", "instances": [{"b64": "?"}]}, "not base64"),
            (
                {"signature_name": "divide", "instances": [[1, 2, 3]]},
                "has the shape [1, 3], but the signature takes [-1, 2]",
            ),
            ({"signature_name": "divide", "instances": [["1", 2]]}, "takes numbers (float32), got a string"),
            ({"signature_name": "pick", "instances": [1.5]}, "takes whole numbers (int64), got a number: 1.5"),
            (
                {"signature_name": "rank", "instances": [1]},
                'Serving signature name: "rank" not found in signature def; ',
            ),
            ({"signature_name": "\ud800", "instances": [1]}, "not found in signature def"),
            ({"signature_name": 1, "instances": [1]}, "'signature_name' must be a string"),
            ({"signature_name": "__saved_model_init_op", "instances": [1]}, "no inputs"),
            ({"signature_name": "total", "inputs": {"user_id": ["ann"], "factor": [1]}}, "takes []"),
            # The graph itself refuses this one: there are three scores.
            ({"signature_name": "pick", "instances": [5]}, "indices[0] = 5 is not in [0, 3)"),
            # 00 ff is not UTF-8, and the output's name does not end in _bytes.
            ({"signature_name": "raw", "instances": [{"b64": "AP8="}]}, "Output 'data' holds bytes that are not UTF-8"),
            # A scalar has no rows.
            (
                {"signature_name": "total", "instances": [{"user_id": "ann", "factor": 1}]},
                "Input 'factor' has the shape [1]",
            ),
        ],
    )
    def test_mistakes_are_400(self, client, body, message):
        content = body if isinstance(body, bytes) else json.dumps(body)
        assert message in error_of(client.post("/v1/models/shop:predict", content=content), 400)

    def test_graph_error_says_what_the_op_said_and_no_more(self, client):
        body = {"signature_name": "pick", "instances": [5]}
        assert predict(client, body, status=400) == {"error": "indices[0] = 5 is not in [0, 3)"}

    def test_body_above_the_limit_is_413(self, export_dir):
        body = json.dumps({"signature_name": "number", "instances": ["ann"]}).encode()
        client = TestClient(create_app(export_dir, ["shop"], ServerOptions(max_body_bytes=len(body))))
        assert predict(client, body) == {"predictions": [1]}
        assert "larger than" in error_of(client.post("/v1/models/shop:predict", content=body + b" "), 413)
        # An iterator is sent in chunks, without a Content-Length header.
        chunks = (b" " * 10 for _ in range(len(body)))
        assert "larger than" in error_of(client.post("/v1/models/shop:predict", content=chunks), 413)

    def test_body_of_fifty_megabytes_is_read(self, client):
        body = {"signature_name": "store", "instances": ["x" * 50_000_000]}
        response = client.post("/v1/models/shop:predict", content=json.dumps(body))
        assert response.json()["predictions"][0]["length"] == 50_000_000

    def test_a_million_ids(self, client):
        row = {"user_id": "ann", "exclude_ids": ["p"] * 999_999 + ["q"]}
        assert predict(client, {"instances": [row]})["predictions"][0]["item_id"][0] == "r"

    def test_deep_json_in_a_key_that_is_not_looked_at(self, client):
        body = '{"signature_name": "number", "instances": ["ann"], "x": ' + "[" * 900 + "]" * 900 + "}"
        assert predict(client, body) == {"predictions": [1]}
        assert "nested too deeply" in error_of(client.post("/v1/models/shop:predict", content='{"a":' * 100_000), 400)

    def test_no_answer_in_time_is_504(self, export_dir, monkeypatch):
        app = create_app(export_dir, ["shop"], ServerOptions(request_seconds=0.05))
        released = threading.Event()
        version = app.state.model_store.find("shop")
        call = version.call
        monkeypatch.setattr(version, "call", lambda *asked: released.wait(10) and call(*asked))
        client = TestClient(app)
        body = json.dumps({"signature_name": "number", "instances": ["ann"]})
        assert "within 0.05 s" in error_of(client.post("/v1/models/shop:predict", content=body), 504)
        # The threads are free for others again.
        released.set()
        assert version.run("number", {"user_id": [b"ann"]})["number"].tolist() == [1]

    def test_unforeseen_failure_is_500_without_details(self, export_dir, monkeypatch):
        app = create_app(export_dir, ["shop"])
        monkeypatch.setattr(app.state.model_store, "find_loaded", lambda *asked: {}["private detail"])
        with TestClient(app, raise_server_exceptions=False) as client:
            error = error_of(client.post("/v1/models/shop:predict", content=b"{}"), 500)
        assert "private detail" not in error


class TestPaths:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/v1/models/shop:predict"),
            ("GET", "/v1/foo"),
            ("POST", "/v1/models"),
            ("POST", "/v1/models/shop"),
            ("POST", "/v1/models/shop/metadata"),
            ("POST", "/v1/models/shop:generate"),
            ("POST", "/v1/models/shop/labels/:predict"),
            ("POST", "/v1/models/shop/versions/x:predict"),
            ("POST", "/v1/models/shop/versions/1/versions/2:predict"),
            ("GET", "/v1/models/shop/versions/-1"),
            ("GET", "/v1/models/shop/versions/1/labels/stable"),
            ("PUT", "/v1/models/shop"),
            ("DELETE", "/v1/models/shop:predict"),
            ("OPTIONS", "/v1/models/shop:predict"),
        ],
    )
    def test_malformed_is_400(self, client, method, path):
        assert f"Malformed request: {method} {path}" in error_of(client.request(method, path), 400)

    def test_no_model_name_is_400(self, client):
        assert "Missing model name" in error_of(client.get("/v1/models"), 400)

    @pytest.mark.parametrize("version", [str(2**63), "9" * 5000])
    def test_version_beyond_int64_is_400(self, client, version):
        assert "Failed to convert version" in error_of(client.get(f"/v1/models/shop/versions/{version}"), 400)

    def test_outside_the_api(self, client):
        assert error_of(client.get("/nothing"), 404) == "Not Found: GET /nothing"
        assert error_of(client.post("/healthz"), 405) == "Method Not Allowed: POST /healthz"

    @pytest.mark.parametrize(
        "name", ["..%2Fsecret", "%2e%2e%2fsecret", "..", "shop%2F..%2F..%2Fsecret", "%00", "notes"]
    )
    def test_nothing_outside_the_models_is_reached(self, client, name):
        for response in (client.get(f"/v1/models/{name}"), client.post(f"/v1/models/{name}:predict", content=b"{}")):
            error_of(response, 400 if "Malformed" in response.text else 404)

    def test_index_and_health(self, client):
        assert client.get("/").json() == {
            "models": {"hollow": [1], "patched": [8, 7], "shop": [2, 1], "weightless": [1]}
        }
        assert client.get("/healthz").json() == {"status": "ok"}


def status_of(version, state="AVAILABLE", code="OK", message=""):
    return {"version": version, "state": state, "status": {"error_code": code, "error_message": message}}


class TestStatus:
    def test_versions_highest_first_and_loaded_when_asked_for(self, export_dir):
        with TestClient(create_app(export_dir, ["shop"], ServerOptions(poll_seconds=0))) as client:
            assert client.get("/v1/models/shop").json() == {
                "model_version_status": [status_of("2"), status_of("1", state="START")]
            }
            predict(client, {"instances": [ROW]}, "/v1/models/shop/versions/1:predict")
            assert client.get("/v1/models/shop/versions/1").json() == {"model_version_status": [status_of("1")]}

    @pytest.mark.parametrize(
        ("name", "version", "code"),
        [("hollow", "1", "NOT_FOUND"), ("patched", "8", "DATA_LOSS"), ("weightless", "1", "NOT_FOUND")],
    )
    def test_version_that_does_not_load(self, client, name, version, code):
        (status,) = client.get(f"/v1/models/{name}/versions/{version}").json()["model_version_status"]
        assert status["version"] == version and status["state"] == "END"
        assert status["status"]["error_code"] == code and status["status"]["error_message"]

    def test_version_before_a_broken_one_is_served(self, client):
        assert client.get("/v1/models/patched/versions/7").json() == {"model_version_status": [status_of("7")]}
        assert predict(client, {"signature_name": "number", "instances": ["bob"]}, "/v1/models/patched:predict") == {
            "predictions": [2]
        }

    def test_both_versions_are_loaded_soon(self, export_dir):
        with TestClient(create_app(export_dir, ["shop"])) as client:
            deadline = time.monotonic() + 20
            while client.get("/v1/models/shop").json() != {"model_version_status": [status_of("2"), status_of("1")]}:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def test_unknown_is_404(self, client):
        assert "Could not find any versions of model shoes" in error_of(client.get("/v1/models/shoes"), 404)
        assert "Could not find version 9 of model shop" in error_of(client.get("/v1/models/shop/versions/9"), 404)


class TestMetadata:
    def test_signatures(self, client):
        metadata = client.get("/v1/models/shop/metadata").json()
        assert metadata["model_spec"] == {"name": "shop", "signature_name": "", "version": "2"}
        signatures = metadata["metadata"]["signature_def"]["signature_def"]
        expected = {"serving_default", "number", "store", "raw", "divide", "pick", "total", "__saved_model_init_op"}
        assert set(signatures) == expected
        assert signatures["divide"]["inputs"] == {
            "pair": {
                "dtype": "DT_FLOAT",
                "tensor_shape": {"dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}], "unknown_rank": False},
                "name": "divide_pair:0",
            }
        }
        assert signatures["divide"]["method_name"] == "tensorflow/serving/predict"
        assert signatures["divide"]["defaults"] == {}
        outputs = signatures["serving_default"]["outputs"]
        assert {name: info["dtype"] for name, info in outputs.items()} == {
            "item_id": "DT_STRING",
            "score": "DT_FLOAT",
            "user_number": "DT_INT64",
        }
        assert signatures["total"]["inputs"]["factor"]["tensor_shape"] == {"dim": [], "unknown_rank": False}

    def test_version_in_the_path(self, client):
        assert client.get("/v1/models/shop/versions/1/metadata").json()["model_spec"]["version"] == "1"

    def test_unknown_is_404(self, client):
        assert "Latest(shoes)" in error_of(client.get("/v1/models/shoes/metadata"), 404)
        assert "Specific(hollow, 1)" in error_of(client.get("/v1/models/hollow/versions/1/metadata"), 404)


LABELS = """model_config_list { config { name: "shop"
  model_version_policy { all {} } version_labels { key: "latest" value: 2 } version_labels { key: "previous" value: 1 }
  version_labels { key: "lost" value: 9 } } }"""


class TestLabels:
    @pytest.fixture(scope="class")
    def client(self, export_dir, tmp_path_factory):
        folder = tmp_path_factory.mktemp("labels")
        shutil.copytree(export_dir / "shop", folder / "shop")
        (folder / "models.config").write_text(LABELS)
        return TestClient(create_app(folder, options=ServerOptions(poll_seconds=0)))

    @pytest.mark.parametrize(("label", "score"), [("latest", 1.5), ("previous", 0.5)])
    def test_a_version_by_its_label(self, client, label, score):
        answer = predict(client, {"instances": [ROW]}, f"/v1/models/shop/labels/{label}:predict")
        assert answer["predictions"][0]["score"][0] == score
        version = {"latest": "2", "previous": "1"}[label]
        assert client.get(f"/v1/models/shop/labels/{label}").json() == {"model_version_status": [status_of(version)]}
        metadata = client.get(f"/v1/models/shop/labels/{label}/metadata").json()
        assert metadata["model_spec"] == {"name": "shop", "signature_name": "", "version": version}

    @pytest.mark.parametrize("suffix", ["", "/metadata"])
    def test_an_unknown_label_is_400_as_in_tensorflow_serving(self, client, suffix):
        error = error_of(client.get(f"/v1/models/shop/labels/stable{suffix}"), 400)
        assert error == "Unrecognized servable version label: stable; labels of shop: latest, previous, lost"
        assert error_of(client.post("/v1/models/shoes/labels/latest:predict"), 400).startswith("Unrecognized")

    def test_a_label_of_a_version_that_is_not_there_is_404(self, client):
        assert "Could not find version 9" in error_of(client.get("/v1/models/shop/labels/lost"), 404)
        assert "Specific(shop, 9)" in error_of(client.post("/v1/models/shop/labels/lost:predict", content="{}"), 404)


class TestRealServer:
    def test_answers_over_a_socket(self, export_dir):
        with running_server(export_dir, models=["shop"]) as url:
            request = urllib.request.Request(
                f"{url}/v1/models/shop:predict", data=json.dumps({"instances": [ROW]}).encode()
            )
            with urllib.request.urlopen(request, timeout=10) as response:
                assert json.load(response) == {
                    "predictions": [{"item_id": ["p", "q"], "score": [1.5, 1.25], "user_number": 1}]
                }
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"{url}/v1/models/shoes", timeout=10)
            assert caught.value.code == 404 and "error" in json.load(caught.value)
            port = int(url.rsplit(":", 1)[1])
            with pytest.raises(ServingError, match=f"Port {port} on 127.0.0.1 is in use"):
                serve(export_dir, port=port)
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(url, timeout=2)
        # The port is free again.
        with running_server(export_dir, port=port, models=["shop"]) as url:
            assert urllib.request.urlopen(f"{url}/healthz", timeout=10).status == 200

    def test_answers_do_not_wait_for_acknowledgements(self, export_dir):
        # Packets held back until the client acknowledges the one before cost 40 ms each, once a connection has warmed
        # up; the quickest of thirty answers shows it however busy the machine is.
        with running_server(export_dir, models=["shop"]) as url:
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
            seconds = []
            for _ in range(60):
                start = time.perf_counter()
                connection.request("GET", "/healthz")
                assert connection.getresponse().read() == b'{"status": "ok"}'
                seconds.append(time.perf_counter() - start)
            connection.close()
        assert min(seconds[30:]) < 0.03

    def test_ctrl_c_ends_serve_in_good_order(self, export_dir):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        code = (
            "from pathlib import Path; from mmrec_tf.serving.server import serve; "
            f"serve(Path({str(export_dir)!r}), port={port}, models=['shop']); print('left')"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        try:
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30)
                    break
                except urllib.error.URLError:
                    time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 0 and out == "left\n", err
        assert "Traceback" not in err

    def test_grpc_beside_rest(self, export_dir):
        grpc = pytest.importorskip("grpc")
        predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
        service = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with running_server(export_dir, models=["shop"], grpc_port=port) as url:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                request = predict_pb2.PredictRequest()
                request.model_spec.name, request.model_spec.signature_name = "shop", "number"
                request.inputs["user_id"].CopyFrom(tf.make_tensor_proto(["bob"]))
                answer = service.PredictionServiceStub(channel).Predict(request, timeout=20)
            assert tf.make_ndarray(answer.outputs["number"]).tolist() == [2]
            metrics = urllib.request.urlopen(f"{url}/monitoring/prometheus/metrics", timeout=10).read().decode()
            # One set of metrics for both.
            assert re.search('request_latency_count{API="predict",entrypoint="GRPC",model_name="shop"} 1.0', metrics)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.RpcError):
                service.PredictionServiceStub(channel).Predict(request, timeout=2)

    @pytest.mark.parametrize(
        ("host", "port", "message"),
        [("127.0.0.1", 70_000, "ports are 0 to 65535"), ("192.0.2.1", 0, "Cannot listen on 192.0.2.1")],
    )
    def test_address_that_cannot_be_used(self, export_dir, host, port, message):
        with pytest.raises(ServingError, match=message):
            serve(export_dir, host=host, port=port)

    def test_folder_without_model_is_refused(self, tmp_path):
        with pytest.raises(ServingError, match="holds no model"):
            serve(tmp_path, port=0)
