"""Which signatures classify and regress take, and that both ways of asking say the same."""

import json
import urllib.error
import urllib.request

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, prediction_service_pb2_grpc, regression_pb2

from mmrec_tf.serving.example_signatures import CLASSIFY, REGRESS, why_unsuited
from mmrec_tf.serving.model_version import Signature
from tests.serving.test_grpc_server import examples_of

EXAMPLES = {"inputs": tf.TensorSpec([None], tf.string)}


def signature(inputs, outputs, method_name="tensorflow/serving/predict"):
    definition = meta_graph_pb2.SignatureDef(method_name=method_name)
    for name in outputs:
        definition.outputs[name].name = name
    return Signature(inputs, definition)


@pytest.mark.parametrize(
    ("method", "outputs"),
    [(CLASSIFY, ["classes"]), (CLASSIFY, ["scores"]), (CLASSIFY, ["scores", "classes"]), (CLASSIFY, ["scores", "x"]),
     (REGRESS, ["outputs"])],
)  # fmt: skip
@pytest.mark.parametrize("name", ["tensorflow/serving/predict", "tensorflow/serving/regress", ""])
def test_what_suits_whatever_its_method_name(method, outputs, name):
    assert why_unsuited(method, signature(EXAMPLES, outputs, name)) is None
    assert why_unsuited(method, signature({"inputs": tf.TensorSpec(None, tf.string)}, outputs, name)) is None


@pytest.mark.parametrize(
    ("method", "inputs", "outputs", "code", "message"),
    [
        (CLASSIFY, {}, ["classes"], "INVALID_ARGUMENT", "Expected one input Tensor"),
        (REGRESS, {**EXAMPLES, "more": EXAMPLES["inputs"]}, ["outputs"], "INVALID_ARGUMENT", "takes 'inputs', 'more'"),
        (CLASSIFY, {"x": EXAMPLES["inputs"]}, ["classes"], "FAILED_PRECONDITION", "No classification inputs found"),
        (REGRESS, {"x": EXAMPLES["inputs"]}, ["outputs"], "FAILED_PRECONDITION", "No regression inputs found"),
        (REGRESS, {"inputs": tf.TensorSpec([None], tf.int64)}, ["outputs"], "INVALID_ARGUMENT", "takes int64"),
        (REGRESS, {"inputs": tf.TensorSpec([], tf.string)}, ["outputs"], "INVALID_ARGUMENT", "takes string ()"),
        (CLASSIFY, EXAMPLES, [], "INVALID_ARGUMENT", "Expected one or two output Tensors, found 0"),
        (CLASSIFY, EXAMPLES, ["classes", "scores", "x"], "INVALID_ARGUMENT", "two output Tensors, found 3"),
        (CLASSIFY, EXAMPLES, ["outputs"], "FAILED_PRECONDITION", 'at least one of "classes" or "scores"'),
        (REGRESS, EXAMPLES, ["outputs", "x"], "INVALID_ARGUMENT", "Expected one output Tensor. The signature gives"),
        (REGRESS, EXAMPLES, ["scores"], "FAILED_PRECONDITION", "No regression outputs found in SignatureDef"),
    ],
)  # fmt: skip
def test_what_does_not_suit(method, inputs, outputs, code, message):
    found, said = why_unsuited(method, signature(inputs, outputs))
    assert found == code and message in said


@pytest.mark.parametrize(
    ("model", "name", "suits"),
    [
        ("examples", "classify", (True, False)),
        ("examples", "regress", (False, True)),
        ("ranking", "rank", (False, False)),
        ("retrieval", "embed_user", (False, False)),
        ("echo", "types", (False, False)),
    ],
)
def test_rest_and_grpc_take_and_refuse_the_same(small_rest, small_grpc, model, name, suits):
    body = json.dumps({"signature_name": name, "examples": [{"number": 2.0}]}).encode()
    requests = {
        CLASSIFY: classification_pb2.ClassificationRequest(),
        REGRESS: regression_pb2.RegressionRequest(),
    }
    with grpc.insecure_channel(small_grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for (method, request), suited in zip(requests.items(), suits, strict=True):
            request.model_spec.name, request.model_spec.signature_name = model, name
            request.input.example_list.examples.extend(examples_of(2.0))
            call = stub.Classify if method == CLASSIFY else stub.Regress
            url = f"{small_rest}/v1/models/{model}:{method}"
            if suited:
                assert call(request, timeout=20).result is not None
                assert urllib.request.urlopen(url, body, timeout=20).status == 200
                continue
            with pytest.raises(grpc.RpcError) as refused:
                call(request, timeout=20)
            with pytest.raises(urllib.error.HTTPError) as answered:
                urllib.request.urlopen(url, body, timeout=20)
            assert answered.value.code == 400
            assert refused.value.code().name in ("INVALID_ARGUMENT", "FAILED_PRECONDITION")
            assert json.load(answered.value)["error"] == f"{refused.value.details()}; signature {name} of {model}"
