"""The gRPC server, asked with TensorFlow Serving's own stubs: every call, and every way to get it wrong."""

import sys
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

import mmrec_tf.serving
from mmrec_tf.errors import ServingError
from mmrec_tf.serving.grpc_server import GrpcServer
from mmrec_tf.serving.server_options import ServerOptions


@pytest.fixture(scope="module")
def channel(small_grpc):
    with grpc.insecure_channel(small_grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def prediction(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def model_service(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def predict_request(model="echo", signature="pick", **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        message = value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        request.inputs[name].CopyFrom(message)
    return request


def slow_request(steps):
    """Some microseconds a step."""
    return predict_request(signature="slow", steps=np.array([steps], np.int32))


def begun(store, prediction, steps):
    """A slow request that is being answered, begun when those of earlier tests had ended."""
    while store.batches._waiting:
        time.sleep(0.001)
    slow = prediction.Predict.future(slow_request(steps))
    while not store.batches._waiting:
        time.sleep(0.001)
    return slow


def pick(*indices, **model):
    return predict_request(**model, index=np.array(indices, np.int64))


def refusal(call, request, **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=20, **options)
    assert "Traceback" not in caught.value.details()
    return caught.value.code().name, caught.value.details()


def examples_of(*numbers):
    examples = [tf.train.Example() for _ in numbers]
    for example, number in zip(examples, numbers):
        if number is not None:
            example.features.feature["number"].float_list.value.append(number)
    return examples


class TestPredict:
    def test_values_are_where_clients_look_for_them(self, prediction):
        response = prediction.Predict(pick(2, 0))
        # As TensorFlow Serving does, in the field of the type.
        assert list(response.outputs["score"].float_val) == [0.125, 0.5]
        assert tf.make_ndarray(response.outputs["score"]).tolist() == [0.125, 0.5]
        assert (response.model_spec.name, response.model_spec.version.value) == ("echo", 1)
        assert response.model_spec.signature_name == "pick"

    def test_default_signature(self, prediction):
        response = prediction.Predict(predict_request("recommend", "", user_id=np.array(["Zoë"], object)))
        assert list(response.outputs["greeting"].string_val) == ["hello Zoë".encode()]
        assert response.model_spec.signature_name == "serving_default"

    def test_every_type(self, prediction):
        from tests.asked_models import Echo

        values = {name: np.array([[1, 0]], name) for name in Echo.TYPES}
        response = prediction.Predict(
            predict_request("echo", "types", **{f"{name}_in": value for name, value in values.items()})
        )
        for name, value in values.items():
            np.testing.assert_array_equal(tf.make_ndarray(response.outputs[f"{name}_out"]), value, strict=True)

    def test_types_without_json(self, prediction):
        values = {
            "half": np.array([[1.5, np.inf]], np.float16),
            "bfloat16": np.array([[1.5, -2]], tf.bfloat16.as_numpy_dtype),
            "complex64": np.array([[1 + 2j, 0]], np.complex64),
            "complex128": np.array([[1 + 2j, 0]], np.complex128),
        }
        response = prediction.Predict(predict_request("echo", "wide", **{f"{n}_in": v for n, v in values.items()}))
        for name, value in values.items():
            np.testing.assert_array_equal(tf.make_ndarray(response.outputs[f"{name}_out"]), value)

    def test_scalars(self, prediction):
        request = predict_request("echo", "scaled", factor=np.float32(2), value=np.array([1, 4], np.float32))
        outputs = prediction.Predict(request).outputs
        assert tf.make_ndarray(outputs["scaled"]).tolist() == [2, 8]
        assert tf.make_ndarray(outputs["factor_out"]).shape == ()

    @pytest.mark.parametrize(("choice", "best"), [({"version": 1}, 0.5), ({"version": 2}, 1.5), ({}, 1.5)])
    def test_version(self, prediction, choice, best):
        request = self.recommend_request()
        for version in choice.values():
            request.model_spec.version.value = version
        response = prediction.Predict(request)
        assert response.outputs["score"].float_val[0] == best
        assert response.model_spec.version.value == choice.get("version", 2)

    @pytest.mark.parametrize(("label", "version"), [("latest", 2), ("previous", 1)])
    def test_label(self, prediction, label, version):
        request = self.recommend_request()
        request.model_spec.version_label = label
        assert prediction.Predict(request).model_spec.version.value == version

    def test_output_filter(self, prediction):
        request = self.recommend_request()
        request.output_filter.append("score")
        assert set(prediction.Predict(request).outputs) == {"score"}

    def test_many_at_once_get_their_own_answers(self, prediction):
        calls = [prediction.Predict.future(pick(number % 3)) for number in range(500)]
        answers = [call.result(timeout=60).outputs["score"].float_val[0] for call in calls]
        assert answers == [[0.5, 0.25, 0.125][number % 3] for number in range(500)]

    def recommend_request(self):
        empty = np.empty((1, 0), object)
        return predict_request(
            "recommend",
            "recommend",
            user_id=np.array(["ann"], object),
            k=np.array([1], np.int32),
            exclude_ids=tf.make_tensor_proto(empty, tf.string),
            history_item_ids=tf.make_tensor_proto(empty, tf.string),
            tags=tf.make_tensor_proto(empty, tf.string),
            country=np.array([""], object),
            hour=np.empty((1, 0), np.float32),
        )


def tensor(dtype, shape, **fields):
    number = tf.as_dtype(dtype).as_datatype_enum
    return tensor_pb2.TensorProto(dtype=number, tensor_shape={"dim": [{"size": size} for size in shape]}, **fields)


class TestPredictErrors:
    @pytest.mark.parametrize(
        ("model", "version", "message"),
        [
            ("shoes", None, "Servable not found for request: Latest(shoes)"),
            ("shoes", 1, "Servable not found for request: Specific(shoes, 1)"),
            ("echo", 9, "Servable not found for request: Specific(echo, 9)"),
            ("echo", -1, "Servable not found for request: Specific(echo, -1)"),
            ("broken", None, "version 3 cannot be loaded (DATA_LOSS"),
            ("../echo", None, "Latest(../echo)"),
        ],
    )
    def test_unknown_model_or_version(self, prediction, model, version, message):
        request = pick(0, model=model)
        if version is not None:
            request.model_spec.version.value = version
        code, details = refusal(prediction.Predict, request)
        assert code == "NOT_FOUND" and message in details

    def test_unknown_label(self, prediction):
        request = pick(0)
        request.model_spec.version_label = "canary"
        code, details = refusal(prediction.Predict, request)
        assert code == "INVALID_ARGUMENT" and "Unrecognized servable version label: canary" in details

    def test_no_model_name(self, prediction):
        assert refusal(prediction.Predict, predict_pb2.PredictRequest()) == (
            "INVALID_ARGUMENT",
            "ModelSpec has no name specified.",
        )

    @pytest.mark.parametrize("signature", ["nonsense", "", "__saved_model_init_op"])
    def test_unknown_signature(self, prediction, signature):
        code, details = refusal(prediction.Predict, pick(0, signature=signature))
        # TensorFlow Serving's own word for it over gRPC; REST has 400 for both.
        assert code == "FAILED_PRECONDITION"
        assert f'Serving signature key "{signature or "serving_default"}" not found.' in details

    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ({}, "input size does not match signature: 0!=1 len({}) != len({index}). Sent extra: {}. Missing but"),
            ({"place": np.array([1], np.int64)}, "Sent extra: {place}. Missing but required: {index}."),
            ({"index": np.array([1], np.int32)}, "has the type int32, but the signature takes int64"),
            ({"index": np.array(["1"], object)}, "has the type string, but the signature takes int64"),
            ({"index": np.array(1, np.int64)}, "has the shape [], but the signature takes [-1]"),
            ({"index": np.array([[1]], np.int64)}, "has the shape [1, 1], but the signature takes [-1]"),
            ({"index": np.array([], np.int64)}, "Empty batch: 'index' has no row"),
            ({"index": np.array([3], np.int64)}, "indices[0] = 3 is not in [0, 3)"),
            ({"index": tensor(tf.int64, [2], int64_val=[0, 1, 2])}, "room for 2 values, but 3 in int64_val"),
            ({"index": tensor(tf.int64, [2], tensor_content=b"123")}, "has 3 bytes in tensor_content"),
            ({"index": tensor(tf.int64, [-1], int64_val=[0])}, "has the shape [-1]"),
            ({"index": tensor(tf.int64, [2**60])}, "takes more than the 67108864 bytes allowed"),
            ({"index": tensor(tf.int64, [2**62 + 5], int64_val=[1])}, "takes more than"),
        ],
    )
    def test_wrong_inputs(self, prediction, inputs, message):
        code, details = refusal(prediction.Predict, predict_request(**inputs))
        assert code == "INVALID_ARGUMENT" and message in details

    def test_type_numbers_that_nobody_knows(self, prediction):
        request = pick(0)
        request.inputs["index"].dtype = 4711
        code, details = refusal(prediction.Predict, request)
        assert code == "INVALID_ARGUMENT" and "has the type number 4711" in details

    def test_unknown_rank(self, prediction):
        request = pick(0)
        request.inputs["index"].tensor_shape.unknown_rank = True
        code, details = refusal(prediction.Predict, request)
        assert code == "INVALID_ARGUMENT" and "unknown rank" in details

    def test_batches_of_different_sizes_never_meet(self, prediction):
        request = predict_request(
            "retrieval", "similar_items", item_id=np.array(["a", "b"], object), k=np.array([1], np.int32)
        )
        code, details = refusal(prediction.Predict, request)
        assert code == "INVALID_ARGUMENT" and "Batch sizes differ: 'item_id' has 2, 'k' has 1" in details

    @pytest.mark.parametrize(
        ("output_filter", "message"),
        [
            (["rank"], "output tensor alias not found in signature: rank Outputs expected to be in the set {score}."),
            (["score", "score"], "duplicate output tensor alias: score"),
        ],
    )
    def test_output_filter(self, prediction, output_filter, message):
        request = pick(0)
        request.output_filter.extend(output_filter)
        assert refusal(prediction.Predict, request) == ("INVALID_ARGUMENT", message)

    @pytest.mark.parametrize(
        "content", [b"\xff", b"\x0a\xff\xff", b"\x0a\x02\x0a\xff" * 3, b"\x0a\x04\x0a\x02\xff\xfe"]
    )
    def test_bytes_that_are_no_request(self, channel, content):
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        code, details = refusal(call, content)
        assert code == "INVALID_ARGUMENT" and "tensorflow.serving.PredictRequest" in details

    @pytest.mark.parametrize("letter", ["x", "é", "𝄞"])
    def test_long_names_come_back_cut(self, prediction, letter):
        code, details = refusal(prediction.Predict, pick(0, model=letter * 100_000))
        assert code == "NOT_FOUND" and f"Latest({letter * 400}" in details and len(details) <= 2000

    def test_a_call_that_does_not_exist(self, channel):
        code, _ = refusal(channel.unary_unary("/tensorflow.serving.PredictionService/Train"), b"")
        assert code == "UNIMPLEMENTED"

    def test_what_was_not_foreseen_is_not_told(self, prediction, small_store, monkeypatch):
        monkeypatch.setattr(small_store, "find", lambda *target: {}["a secret"])
        assert refusal(prediction.Predict, pick(0)) == ("INTERNAL", "The server failed; its log says why")


class TestExamples:
    def classify(self, model="examples", signature="classify", **kind):
        request = classification_pb2.ClassificationRequest()
        request.model_spec.name, request.model_spec.signature_name = model, signature
        for name, fields in kind.items():
            getattr(request.input, name).CopyFrom(fields)
        return request

    def list_of(self, *numbers):
        return classification_pb2.ClassificationRequest(input={"example_list": {"examples": examples_of(*numbers)}})

    def test_classify(self, prediction):
        response = prediction.Classify(self.classify(example_list=self.list_of(-2.0, 3.0).input.example_list))
        found = [[(c.label, c.score) for c in row.classes] for row in response.result.classifications]
        assert found == [[("negative", -2.0)], [("positive", 3.0)]]
        assert response.model_spec.version.value == 1 and response.model_spec.signature_name == "classify"

    def test_an_example_comes_before_its_context(self, prediction):
        request = regression_pb2.RegressionRequest()
        request.model_spec.name, request.model_spec.signature_name = "examples", "regress"
        request.input.example_list_with_context.examples.extend(examples_of(None, 5.0))
        request.input.example_list_with_context.context.CopyFrom(examples_of(7.0)[0])
        response = prediction.Regress(request)
        assert [regression.value for regression in response.result.regressions] == [7.0, 5.0]

    def multi(self, *tasks, numbers=(-2.0, 3.0)):
        request = inference_pb2.MultiInferenceRequest(input=self.list_of(*numbers).input)
        for model, signature, method in tasks:
            task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
            task.model_spec.name, task.model_spec.signature_name = model, signature
        return request

    def test_multi_inference(self, prediction):
        request = self.multi(("examples", "classify", "classify"), ("examples", "regress", "regress"))
        first, second = prediction.MultiInference(request).results
        assert [row.classes[0].label for row in first.classification_result.classifications] == ["negative", "positive"]
        assert [found.value for found in second.regression_result.regressions] == [-2.0, 3.0]
        assert (first.model_spec.signature_name, second.model_spec.signature_name) == ("classify", "regress")

    @pytest.mark.parametrize(
        ("tasks", "code", "message"),
        [
            ([], "INVALID_ARGUMENT", "at least one task"),
            ([("", "classify", "classify")], "INVALID_ARGUMENT", "empty model name"),
            ([("examples", "x", "classify"), ("echo", "x", "classify")], "INVALID_ARGUMENT", "same model name"),
            ([("examples", "classify", "classify")] * 2, "INVALID_ARGUMENT", "Duplicate evaluation of signature"),
            ([("examples", "classify", "predict")], "UNIMPLEMENTED", "Unsupported signature method_name"),
            ([("examples", "regress", "classify")], "FAILED_PRECONDITION", 'at least one of "classes" or "scores"'),
            ([("examples", "nonsense", "classify")], "INVALID_ARGUMENT", "not found"),
        ],
    )
    def test_multi_inference_errors(self, prediction, tasks, code, message):
        found, details = refusal(prediction.MultiInference, self.multi(*tasks))
        assert found == code and message in details

    @pytest.mark.parametrize(
        ("model", "signature", "code", "message"),
        [
            ("examples", "nonsense", "INVALID_ARGUMENT", 'Serving signature key "nonsense" not found'),
            ("examples", "regress", "FAILED_PRECONDITION", 'at least one of "classes" or "scores"'),
            (
                "ranking",
                "rank",
                "INVALID_ARGUMENT",
                "Expected one input Tensor. The signature takes 'item_ids'",
            ),
            ("retrieval", "embed_user", "FAILED_PRECONDITION", "No classification inputs found in SignatureDef"),
            ("echo", "types", "INVALID_ARGUMENT", "Expected one input Tensor"),
        ],
    )
    def test_signatures_that_do_not_suit(self, prediction, model, signature, code, message):
        request = self.classify(model, signature, example_list=self.list_of(1.0).input.example_list)
        found, details = refusal(prediction.Classify, request)
        assert found == code and message in details

    def test_regression_of_another_signature(self, prediction):
        request = regression_pb2.RegressionRequest(input=self.list_of(1.0).input)
        request.model_spec.name, request.model_spec.signature_name = "examples", "classify"
        assert refusal(prediction.Regress, request)[0] == "INVALID_ARGUMENT"
        request.model_spec.signature_name = "other"
        code, details = refusal(prediction.Regress, request)
        assert code == "FAILED_PRECONDITION" and "No regression outputs found" in details

    def test_what_a_graph_says_of_bytes_that_are_no_text(self, prediction):
        # TensorFlow quotes the example that it cannot parse.
        request = predict_request("examples", "regress", inputs=np.array([b"\x0a\xc9"], object))
        code, details = refusal(prediction.Predict, request)
        assert code == "INVALID_ARGUMENT" and "Could not parse example input, value: " in details

    def test_no_example(self, prediction):
        assert refusal(prediction.Classify, self.classify()) == ("INVALID_ARGUMENT", "Input is empty.")
        empty = self.classify(example_list=classification_pb2.ClassificationRequest().input.example_list)
        assert refusal(prediction.Classify, empty) == ("INVALID_ARGUMENT", "Input is empty.")

    def test_an_example_without_the_feature(self, prediction):
        code, details = refusal(prediction.Classify, self.classify(example_list=self.list_of(None).input.example_list))
        assert code == "INVALID_ARGUMENT" and "number" in details


class TestMetadata:
    def request(self, model="echo", fields=("signature_def",)):
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        request.model_spec.name = model
        return request

    def test_signatures(self, prediction):
        response = prediction.GetModelMetadata(self.request())
        assert (response.model_spec.name, response.model_spec.version.value) == ("echo", 1)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        assert response.metadata["signature_def"].Unpack(signatures)
        index = signatures.signature_def["pick"].inputs["index"]
        assert index.dtype == tf.int64.as_datatype_enum and [dim.size for dim in index.tensor_shape.dim] == [-1]
        assert signatures.signature_def["pick"].method_name == "tensorflow/serving/predict"

    def test_errors(self, prediction):
        ask = prediction.GetModelMetadata
        assert refusal(ask, self.request("shoes"))[0] == "NOT_FOUND"
        assert refusal(ask, self.request(fields=()))[0] == "INVALID_ARGUMENT"
        code, details = refusal(ask, self.request(fields=("signature_def", "price")))
        assert code == "INVALID_ARGUMENT" and "Metadata field price is not supported" in details
        assert refusal(ask, get_model_metadata_pb2.GetModelMetadataRequest()) == (
            "INVALID_ARGUMENT",
            "Missing ModelSpec",
        )


class TestModelService:
    def request(self, model, version=None, label=None):
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        if version is not None:
            request.model_spec.version.value = version
        if label is not None:
            request.model_spec.version_label = label
        return request

    def test_status(self, model_service):
        (status,) = model_service.GetModelStatus(self.request("echo")).model_version_status
        assert (status.version, status.state, status.status.error_code) == (1, status.AVAILABLE, 0)
        (status,) = model_service.GetModelStatus(self.request("broken", 3)).model_version_status
        # DATA_LOSS is 15.
        assert (status.state, status.status.error_code) == (status.END, 15) and status.status.error_message
        (status,) = model_service.GetModelStatus(self.request("recommend", label="previous")).model_version_status
        assert status.version == 1
        both = model_service.GetModelStatus(self.request("recommend")).model_version_status
        assert [status.version for status in both] == [2, 1]

    def test_errors(self, model_service):
        code, details = refusal(model_service.GetModelStatus, self.request("shoes"))
        assert code == "NOT_FOUND" and "Could not find any versions of model shoes" in details
        code, details = refusal(model_service.GetModelStatus, self.request("echo", 7))
        assert code == "NOT_FOUND" and "Could not find version 7 of model echo" in details
        assert refusal(model_service.GetModelStatus, get_model_status_pb2.GetModelStatusRequest()) == (
            "INVALID_ARGUMENT",
            "Missing ModelSpec",
        )

    def test_models_cannot_be_changed(self, model_service):
        request = model_management_pb2.ReloadConfigRequest()
        code, details = refusal(model_service.HandleReloadConfigRequest, request)
        assert code == "UNIMPLEMENTED" and "serves the folder that it was started with" in details


class TestLimits:
    def serve(self, store, **options):
        self.observed = []
        server = GrpcServer(store, "127.0.0.1:0", ServerOptions(**options), lambda *seen: self.observed.append(seen))
        server.start()
        channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
        return server, prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def test_size_of_a_message(self, small_store):
        server, prediction = self.serve(small_store, max_body_bytes=1000)
        assert len(prediction.Predict(pick(*[0] * 50)).outputs["score"].float_val) == 50
        request = predict_request(index=tf.make_tensor_proto(np.arange(200)))
        code, details = refusal(prediction.Predict, request)
        assert code == "RESOURCE_EXHAUSTED" and "larger than max" in details
        # A small message may not unpack to a large tensor either.
        code, details = refusal(prediction.Predict, predict_request(index=tensor(tf.int64, [200], int64_val=[1])))
        assert code == "INVALID_ARGUMENT" and "takes more than the 1000 bytes allowed" in details
        server.stop(0)

    def test_what_is_observed(self, small_store):
        server, prediction = self.serve(small_store)
        prediction.Predict(pick(0))
        refusal(prediction.Predict, pick(0, signature="nonsense"))
        refusal(prediction.Predict, pick(0, model="shoes"))
        server.stop(0)
        assert [(name, call, code, way) for name, call, code, _, way in self.observed] == [
            ("echo", "predict", "OK", "GRPC"),
            ("echo", "predict", "FAILED_PRECONDITION", "GRPC"),
            # A name that a client made up is none of ours.
            ("", "predict", "NOT_FOUND", "GRPC"),
        ]
        assert all(0 < seconds < 20 for *_, seconds, _ in self.observed)

    def test_api_keys(self, small_store):
        server, prediction = self.serve(small_store, api_keys=["first", "second"])
        for metadata in ((("x-api-key", "second"),), (("authorization", "Bearer first"),)):
            assert prediction.Predict(pick(0), metadata=metadata).outputs["score"].float_val == [0.5]
        for metadata in (None, (("x-api-key", "third"),), (("authorization", "Basic first"),), (("x-api-key", ""),)):
            code, details = refusal(prediction.Predict, pick(0), metadata=metadata)
            assert code == "UNAUTHENTICATED" and "x-api-key: KEY" in details
        server.stop(0)

    def test_the_clients_deadline_and_what_nobody_waits_for(self, small_store, monkeypatch):
        calls = []
        monkeypatch.setattr(small_store.batches, "observe", lambda model, signature, *rest: calls.append(signature))
        server, prediction = self.serve(small_store)
        slow = begun(small_store, prediction, 300_000)
        # Of the same signature, they have to wait for the first to end.
        gone = prediction.Predict.future(slow_request(300_000))
        with pytest.raises(grpc.RpcError) as caught:
            prediction.Predict(slow_request(300_000), timeout=0.1)
        gone.cancel()
        assert caught.value.code().name == "DEADLINE_EXCEEDED" and not slow.done()
        assert slow.result(timeout=60).outputs["count"].int_val == [300_000]
        prediction.Predict(pick(0))
        server.stop(10)
        assert sorted(calls) == ["pick", "slow"]

    def test_the_servers_deadline(self, small_store):
        server, prediction = self.serve(small_store, request_seconds=0.1)
        code, details = refusal(prediction.Predict, slow_request(300_000))
        assert code == "DEADLINE_EXCEEDED" and "not answered in the 0.1 s that it had" in details
        server.stop(10)

    def test_more_calls_than_allowed(self, small_store):
        server, prediction = self.serve(small_store, max_requests=1)
        slow = begun(small_store, prediction, 1_000_000)
        code, _ = refusal(prediction.Predict, pick(0))
        assert code == "RESOURCE_EXHAUSTED" and not slow.done()
        assert slow.result(timeout=60).outputs["count"].int_val == [1_000_000]
        server.stop(10)

    def test_stopping_lets_calls_end(self, small_store):
        server, prediction = self.serve(small_store)
        slow = begun(small_store, prediction, 300_000)
        stopping = threading.Thread(target=server.stop, args=[30])
        stopping.start()
        assert slow.result(timeout=60).outputs["count"].int_val == [300_000]
        stopping.join(30)
        assert not stopping.is_alive()
        code, _ = refusal(prediction.Predict, pick(0))
        assert code == "UNAVAILABLE"


class TestAddresses:
    def test_port_in_use(self, small_store):
        with GrpcServer(small_store, "127.0.0.1:0") as server:
            with pytest.raises(
                ServingError, match=f"Cannot listen for gRPC on '127.0.0.1:{server.port}'. Either another"
            ):
                GrpcServer(small_store, f"127.0.0.1:{server.port}")

    @pytest.mark.parametrize("address", ["192.0.2.1:0", "no such host:1"])
    def test_no_address_of_this_machine(self, small_store, address):
        with pytest.raises(ServingError, match="Cannot listen for gRPC on"):
            GrpcServer(small_store, address)

    @pytest.mark.parametrize("address", ["127.0.0.1:70000", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:-1"])
    def test_no_address(self, small_store, address):
        with pytest.raises(ServingError, match="is no address for gRPC. Write host:port"):
            GrpcServer(small_store, address)

    def test_files_of_tls(self, small_store, tmp_path):
        options = ServerOptions(tls_certificate=tmp_path / "none.pem", tls_key=tmp_path / "none.key")
        with pytest.raises(ServingError, match="TLS certificate or its key cannot be read"):
            GrpcServer(small_store, "127.0.0.1:0", options)
        (tmp_path / "none.pem").write_text("nothing")
        (tmp_path / "none.key").write_text("nothing")
        with pytest.raises(ServingError, match="TLS certificate and key are none"):
            GrpcServer(small_store, "127.0.0.1:0", options)


@pytest.mark.parametrize("library", ["grpc", "tensorflow_serving.apis"])
def test_without_the_libraries(library, monkeypatch):
    monkeypatch.delitem(sys.modules, "mmrec_tf.serving.grpc_services", raising=False)
    monkeypatch.delattr(mmrec_tf.serving, "grpc_services", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ServingError, match=rf"but {library} is not installed.*pip install 'mmrec-tf\[grpc\]'"):
        GrpcServer(None, "127.0.0.1:0")
