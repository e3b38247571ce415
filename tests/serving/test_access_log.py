"""The line that a request leaves in the log, over gRPC; over REST in `test_http_gate`."""

import json
import logging
import time

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from mmrec_tf.serving import access_log
from mmrec_tf.serving.access_log import log_access, request_id_of
from mmrec_tf.serving.grpc_server import GrpcServer, _host
from mmrec_tf.serving.server_options import ServerOptions
from tests.serving.test_grpc_server import pick, predict_request, slow_request

FIELDS = dict(
    protocol="GRPC",
    request_id="r",
    client="::1",
    method="Predict",
    path="/s/Predict",
    model="m",
    version=3,
    status="OK",
    seconds=0.0125,
    batch_rows=4,
)


@pytest.fixture
def lines(caplog):
    """What has been logged, as dictionaries; a line is written when its answer is on its way."""

    def read(count):
        end = time.monotonic() + 5
        while True:
            found = [json.loads(one.message) for one in caplog.records if one.name == "mmrec_tf.access"]
            if len(found) >= count or time.monotonic() > end:
                assert len(found) == count
                return found
            time.sleep(0.01)

    with caplog.at_level(logging.INFO, "mmrec_tf.access"):
        yield read


@pytest.fixture
def served(small_store, request):
    options = ServerOptions(access_log=True, **getattr(request, "param", {}))
    with GrpcServer(small_store, "127.0.0.1:0", options) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield channel


def test_the_line(lines):
    log_access(**FIELDS)
    (line,) = lines(1)
    assert abs(line.pop("time") - time.time()) < 60
    assert line == {**{name: value for name, value in FIELDS.items() if name != "seconds"}, "ms": 12.5}


def test_what_a_client_sends_stays_on_its_line(lines):
    log_access(**{**FIELDS, "model": 'x"\n{"status": "OK"}' + "y" * 2**20, "path": "/\u2028\x00"})
    (line,) = lines(1)
    assert line["model"].startswith('x"\n{"status"') and len(line["model"]) == 256


@pytest.mark.parametrize("given", ["a", "Z-9_ {}", "x" * 128])
def test_a_request_id_that_can_be_written_is_kept(given):
    assert request_id_of(given) == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a\nb", "\u00e9", "\x00"])
def test_any_other_is_made_up_and_no_two_are_the_same(given):
    made = {request_id_of(given) for _ in range(100)}
    assert len(made) == 100 and given not in made
    assert all(one.isascii() and one.isprintable() and len(one) < 40 for one in made)


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:127.0.0.1:40123", "127.0.0.1"),
        ("ipv6:%5B::1%5D:40123", "::1"),
        ("ipv6:[2001:db8::7]:1", "2001:db8::7"),
        ("unix:/run/mmrec.sock", "/run/mmrec.sock"),
        ("", ""),
    ],
)
def test_the_other_sides_address(peer, host):
    assert _host(peer) == host


def test_a_call_leaves_the_same_fields_as_a_request_over_rest(served, lines):
    predict = prediction_service_pb2_grpc.PredictionServiceStub(served).Predict
    _, call = predict.with_call(pick(1, 2, 0), timeout=20, metadata=[("x-request-id", "r-1")])
    (line,) = lines(1)
    assert dict(call.trailing_metadata())["x-request-id"] == "r-1"
    assert line.pop("ms") > 0 and line.pop("time") > 0
    assert line == {
        "protocol": "GRPC",
        "request_id": "r-1",
        "client": "127.0.0.1",
        "method": "Predict",
        "path": "/tensorflow.serving.PredictionService/Predict",
        "model": "echo",
        "version": line["version"],
        "status": "OK",
        "batch_rows": 3,
    }
    assert line["version"] >= 1


def test_calls_that_fail_leave_a_line_too(served, lines):
    prediction = prediction_service_pb2_grpc.PredictionServiceStub(served)
    model = model_service_pb2_grpc.ModelServiceStub(served)
    several = inference_pb2.MultiInferenceRequest()
    several.tasks.add(method_name="no").model_spec.name = "echo"
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "echo"
    prediction.GetModelMetadata(metadata, timeout=20)
    calls = [
        (prediction.Predict, predict_request(model="shoes")),
        (prediction.Predict, predict_request(wrong=np.zeros(2))),
        (prediction.MultiInference, several),
        (model.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest()),
    ]
    for call, message in calls:
        with pytest.raises(grpc.RpcError):
            call(message, timeout=20)
    said = [(line["method"], line["model"], line["version"] > 0, line["status"]) for line in lines(5)]
    assert said == [
        ("GetModelMetadata", "echo", True, "OK"),
        ("Predict", "shoes", False, "NOT_FOUND"),
        ("Predict", "echo", True, "INVALID_ARGUMENT"),
        ("MultiInference", "echo", True, "INVALID_ARGUMENT"),
        ("HandleReloadConfigRequest", "", False, "UNIMPLEMENTED"),
    ]


@pytest.mark.parametrize("served", [{"api_keys": ["secret"]}], indirect=True)
def test_a_call_without_a_key_leaves_a_line_without_the_key_and_gets_its_id(served, lines):
    call = served.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff", timeout=20, metadata=[("x-request-id", "r" * 129), ("x-api-key", "guess")])
    (line,) = lines(1)
    assert (line["status"], line["model"], line["version"]) == ("UNAUTHENTICATED", "", 0)
    assert line["request_id"].startswith(access_log._STARTED)
    assert dict(caught.value.trailing_metadata())["x-request-id"] == line["request_id"]
    assert "guess" not in json.dumps(line) and "secret" not in json.dumps(line)


@pytest.mark.parametrize("served", [{"request_seconds": 0.05}], indirect=True)
def test_how_long_a_call_was_waited_for(served, lines):
    with pytest.raises(grpc.RpcError):
        prediction_service_pb2_grpc.PredictionServiceStub(served).Predict(slow_request(200_000), timeout=20)
    (line,) = lines(1)
    assert line["status"] == "DEADLINE_EXCEEDED" and line["ms"] >= 50


def test_off_by_default(small_grpc, lines):
    with grpc.insecure_channel(small_grpc) as channel:
        prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(pick(1), timeout=20)
    lines(0)
