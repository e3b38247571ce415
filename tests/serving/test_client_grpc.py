"""The client against gRPC servers that misbehave by a script: what is asked again, and what is not."""

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from mmrec_tf.serving import (
    Aborted,
    Cancelled,
    Client,
    ClientError,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    client_retry,
)

GOOD = get_model_status_pb2.GetModelStatusResponse(model_version_status=[{"version": 3, "state": "AVAILABLE"}])


class Script(grpc.GenericRpcHandler):
    """Answers calls in turn by what it is told: a message, the name of a status with its details, or a function."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.calls = []
        self.server = grpc.server(ThreadPoolExecutor(4), handlers=[self])
        self.url = f"grpc://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def service(self, details):
        def answer(content, context):
            self.calls.append((details.method, dict(details.invocation_metadata), content))
            said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if callable(said):
                said = said()
            if isinstance(said, tuple):
                context.abort(getattr(grpc.StatusCode, said[0]), said[1])
            return said if isinstance(said, bytes) else said.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop(0)


@pytest.mark.parametrize(
    "failure", [("UNAVAILABLE", "starting"), ("RESOURCE_EXHAUSTED", "Concurrent RPC limit exceeded!")]
)
def test_what_may_pass_is_asked_again(failure):
    with Script(failure, failure, GOOD) as script, Client(script.url) as client:
        assert client.status("m")[0].version == 3 and len(script.calls) == 3


def test_enough_is_enough():
    with Script(("UNAVAILABLE", "starting")) as script, Client(script.url, retries=2) as client:
        with pytest.raises(Unavailable, match="^starting$"):
            client.status("m")
        assert len(script.calls) == 3


@pytest.mark.parametrize(
    ("status", "kind", "name"),
    [
        ("INVALID_ARGUMENT", InvalidArgument, "INVALID_ARGUMENT"),
        # REST has one status code for the three.
        ("FAILED_PRECONDITION", InvalidArgument, "INVALID_ARGUMENT"),
        ("OUT_OF_RANGE", InvalidArgument, "INVALID_ARGUMENT"),
        ("NOT_FOUND", NotFound, "NOT_FOUND"),
        ("UNAUTHENTICATED", Unauthenticated, "UNAUTHENTICATED"),
        ("PERMISSION_DENIED", PermissionDenied, "PERMISSION_DENIED"),
        ("UNIMPLEMENTED", Unimplemented, "UNIMPLEMENTED"),
        ("ABORTED", Aborted, "ABORTED"),
        ("ALREADY_EXISTS", Aborted, "ABORTED"),
        ("CANCELLED", Cancelled, "CANCELLED"),
        ("INTERNAL", Internal, "INTERNAL"),
        ("DATA_LOSS", Internal, "INTERNAL"),
        ("UNKNOWN", Internal, "INTERNAL"),
        ("DEADLINE_EXCEEDED", DeadlineExceeded, "DEADLINE_EXCEEDED"),
    ],
)
def test_what_does_not_pass_is_asked_once(status, kind, name):
    with Script((status, "no")) as script, Client(script.url) as client:
        with pytest.raises(ClientError, match="^no$") as caught:
            client.status("m")
        assert type(caught.value) is kind and caught.value.status == name and len(script.calls) == 1


def test_a_message_that_is_too_large_stays_so(small_store, monkeypatch):
    from mmrec_tf.serving.grpc_server import GrpcServer
    from mmrec_tf.serving.server_options import ServerOptions

    with GrpcServer(small_store, "127.0.0.1:0", ServerOptions(max_body_bytes=2000)) as server:
        with Client(f"grpc://127.0.0.1:{server.port}") as client:
            assert client.predict("echo", {"index": [0]}, "pick")["score"].tolist() == [0.5]
            waits = []
            monkeypatch.setattr(client_retry, "time", SimpleNamespace(monotonic=time.monotonic, sleep=waits.append))
            with pytest.raises(ResourceExhausted, match="larger than max"):
                client.predict("echo", {"index": [0] * 1000}, "pick")
            assert waits == []


def test_a_slow_server_is_asked_once():
    def late():
        time.sleep(2)
        return GOOD

    with Script(late) as script, Client(script.url) as client:
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded, match="did not answer in 0.2 s. Give it a longer timeout"):
            client.status("m", timeout=0.2)
        assert 0.2 <= time.monotonic() - start < 1.5 and len(script.calls) == 1


def test_what_is_sent():
    with Script(GOOD) as script, Client(script.url, api_key="k 1") as client:
        client.status("é", version=0)
        client.status("m", label="latest")
        (method, metadata, first), (_, _, second) = script.calls
    assert method == "/tensorflow.serving.ModelService/GetModelStatus" and metadata["x-api-key"] == "k 1"
    first, second = map(get_model_status_pb2.GetModelStatusRequest.FromString, (first, second))
    # Version 0 is asked for all the same.
    assert first.model_spec.HasField("version") and first.model_spec.name == "é"
    assert second.model_spec.version_label == "latest"


def metadata():
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    for name, tensors in (("x", signature.inputs), ("y", signature.outputs)):
        tensors[name].dtype = tf.float32.as_datatype_enum
        tensors[name].tensor_shape.dim.add(size=-1)
    # An input that the server has a value for itself.
    signature.inputs["z"].CopyFrom(signature.inputs["x"])
    signature.defaults["z"].CopyFrom(tf.make_tensor_proto([1.0]))
    response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec={"name": "m"})
    response.metadata["signature_def"].Pack(signatures)
    return response


def test_inputs_with_defaults_may_be_left_out():
    answer = predict_pb2.PredictResponse()
    answer.outputs["y"].CopyFrom(tf.make_tensor_proto([2.5]))
    with Script(metadata(), answer) as script, Client(script.url) as client:
        assert client.predict("m", {"x": [1]})["y"].tolist() == [2.5]
        request = predict_pb2.PredictRequest.FromString(script.calls[1][2])
    assert set(request.inputs) == {"x"} and tf.make_ndarray(request.inputs["x"]).tolist() == [1.0]


def test_answers_that_contradict_themselves():
    answer = predict_pb2.PredictResponse()
    answer.outputs["y"].CopyFrom(tf.make_tensor_proto([2.5, 3.5]))
    answer.outputs["y"].tensor_shape.dim[0].size = 3
    with Script(metadata(), answer, metadata()) as script, Client(script.url) as client:
        with pytest.raises(Internal, match="The server's output 'y' has 8 bytes in tensor_content"):
            client.predict("m", {"x": [1]})


def test_bytes_that_are_no_answer():
    with Script(b"\xff\xff") as script, Client(script.url) as client:
        with pytest.raises(Internal):
            client.status("m")


def test_a_closed_client():
    with Script(GOOD) as script:
        with Client(script.url) as client:
            client.status("m")
        with pytest.raises(InvalidArgument, match="The client is closed"):
            client.status("m")
