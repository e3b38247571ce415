"""Malformed gRPC requests: none stops the server, is taken for an error of ours, or costs memory."""

import resource
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from google.protobuf import descriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
)

from tests.asked_models import is_repeated

CALLS = {
    "PredictionService/Predict": predict_pb2.PredictRequest,
    "PredictionService/Classify": classification_pb2.ClassificationRequest,
    "PredictionService/MultiInference": inference_pb2.MultiInferenceRequest,
    "PredictionService/GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
    "ModelService/GetModelStatus": get_model_status_pb2.GetModelStatusRequest,
}
# What a request can bring about; INTERNAL and UNKNOWN would be failures of the server.
FORESEEN = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED"}
TRIES = settings(
    max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def good_requests():
    for index in ([0], [2, 1]):
        request = predict_pb2.PredictRequest(output_filter=["score"])
        request.model_spec.name, request.model_spec.signature_name = "echo", "pick"
        request.inputs["index"].CopyFrom(tf.make_tensor_proto(index, tf.int64))
        yield "PredictionService/Predict", request
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "retrieval", "similar_items"
    request.model_spec.version.value = 1
    request.inputs["item_id"].CopyFrom(tf.make_tensor_proto(["a", "é"]))
    request.inputs["k"].CopyFrom(tf.make_tensor_proto([2, 2]))
    yield "PredictionService/Predict", request
    example = tf.train.Example()
    example.features.feature["number"].float_list.value.append(1.0)
    request = classification_pb2.ClassificationRequest(input={"example_list": {"examples": [example]}})
    request.model_spec.name, request.model_spec.signature_name = "examples", "classify"
    yield "PredictionService/Classify", request
    multi = inference_pb2.MultiInferenceRequest(input=request.input)
    multi.tasks.add(model_spec=request.model_spec, method_name="tensorflow/serving/classify")
    yield "PredictionService/MultiInference", multi
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "recommend"
    request.model_spec.version_label = "latest"
    yield "PredictionService/GetModelMetadata", request
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "echo"})
    yield "ModelService/GetModelStatus", request


GOOD = [(name, request.SerializeToString(deterministic=True)) for name, request in good_requests()]


@pytest.fixture(scope="module")
def ask(small_grpc):
    with grpc.insecure_channel(small_grpc) as channel:
        calls = {name: channel.unary_unary(f"/tensorflow.serving.{name}") for name in CALLS}

        def ask(name, content):
            try:
                calls[name](content, timeout=20)
            except grpc.RpcError as error:
                return error.code().name
            return "OK"

        yield ask


def test_the_requests_are_good_before_they_are_spoilt(ask):
    assert {ask(*request) for request in GOOD} == {"OK"}


@TRIES
@given(name=st.sampled_from(list(CALLS)), content=st.binary(max_size=200))
def test_any_bytes(ask, name, content):
    assert ask(name, content) in FORESEEN


@TRIES
@given(data=st.data())
def test_good_requests_with_bytes_changed(ask, data):
    name, content = data.draw(st.sampled_from(GOOD))
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(len(content) // 2, len(content)))
    assert ask(name, bytes(content[:end])) in FORESEEN


SIZES = st.one_of(st.integers(0, 3), st.sampled_from([-1, -(2**63), 2**31, 2**40, 2**62, 2**63 - 1]))
NUMBERS = {
    descriptor.FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    descriptor.FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    descriptor.FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    descriptor.FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    descriptor.FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
    descriptor.FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
    descriptor.FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    descriptor.FieldDescriptor.CPPTYPE_STRING: st.binary(max_size=4),
}
VALUES = {
    field.name: NUMBERS[field.cpp_type]
    for field in tensor_pb2.TensorProto.DESCRIPTOR.fields
    if field.name.endswith("_val") and is_repeated(field) and field.cpp_type in NUMBERS
}


@st.composite
def tensors(draw, dtypes):
    message = tensor_pb2.TensorProto(dtype=draw(dtypes))
    for size in draw(st.lists(SIZES, max_size=3)):
        message.tensor_shape.dim.add(size=size)
    message.tensor_shape.unknown_rank = draw(st.integers(0, 9)) == 0
    for name in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=2, unique=True)):
        getattr(message, name).extend(draw(st.lists(VALUES[name], max_size=4)))
    if draw(st.booleans()):
        message.tensor_content = draw(st.binary(max_size=24))
    return message


# Signature -> its inputs, with the number of the type that each takes.
SIGNATURES = {
    ("echo", "pick"): {"index": 9},
    ("echo", "strings"): {"text": 7, "blob": 7},
    ("echo", "scaled"): {"factor": 1, "value": 1},
    ("ranking", "rank"): {"user_id": 7, "item_ids": 7},
    ("echo", "wide"): {"half_in": 19, "bfloat16_in": 14, "complex64_in": 8, "complex128_in": 18},
}


@settings(TRIES, max_examples=400)
@given(data=st.data())
def test_any_tensors(ask, data):
    (model, signature), inputs = data.draw(st.sampled_from(sorted(SIGNATURES.items())))
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, number in inputs.items():
        # Mostly the right type, so that more than its check is reached.
        dtypes = st.one_of(st.just(number), st.just(number), st.just(number), st.integers(-1, 130))
        request.inputs[name].CopyFrom(data.draw(tensors(dtypes)))
    assert ask("PredictionService/Predict", request.SerializeToString()) in FORESEEN


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.slow
def test_memory_does_not_grow(ask):
    name, good = GOOD[2]
    requests = [good, good[:-3], b"\xff" * 50, good.replace(b"similar_items", b"similar_thing")]
    # Two megabytes each, of which nothing may stay.
    requests.append(good + predict_pb2.PredictRequest(output_filter=["x" * 2_000_000]).SerializeToString())
    for _ in range(100):
        for request in requests:
            ask(name, request)
    before = resident_bytes()
    for _ in range(800):
        for request in requests:
            ask(name, request)
    # What 800 requests of two megabytes left behind would be 1,600 MB.
    assert resident_bytes() - before < 40_000_000
