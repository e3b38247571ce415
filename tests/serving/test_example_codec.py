"""Classify and regress, over the whole server: requests and answers as TensorFlow Serving's documentation has them."""

import json

import numpy as np
import pytest
from fastapi.testclient import TestClient

from mmrec_tf.serving.example_codec import encode_results
from mmrec_tf.serving.http_app import create_app
from mmrec_tf.serving.json_tensors import RequestError
from mmrec_tf.serving.server_options import ServerOptions
from tests.served_models import save_examples, save_shelf


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    save_examples(folder / "examples" / "1")
    save_shelf(folder / "shelf" / "1")
    return TestClient(create_app(folder, options=ServerOptions(poll_seconds=0)))


def post(client, method, body, model="examples", status=200):
    content = body if isinstance(body, str) else json.dumps(body)
    response = client.post(f"/v1/models/{model}:{method}", content=content)
    assert response.status_code == status, response.text
    return response.json()


def test_classify(client):
    body = {"signature_name": "classify", "examples": [{"x": 0.25, "name": "cat"}, {"x": [0.5], "name": ["dog"]}, {}]}
    expected = [[["cat", 0.25], ["other", 0.75]], [["dog", 0.5], ["other", 0.5]], [["", 0.0], ["other", 1.0]]]
    assert post(client, "classify", body) == {"results": expected}


def test_regress_by_the_default_signature(client):
    assert post(client, "regress", {"examples": [{"x": 0.25}, {"x": -1.5, "n": 3}]}) == {"results": [0.5, 0.0]}


def test_the_context_holds_for_examples_that_do_not_say_otherwise(client):
    body = {"context": {"n": 10, "x": 1.0}, "examples": [{}, {"x": 2.0}, {"n": 0}]}
    # 2 * 1 + 10, 2 * 2 + 10, 2 * 1 + 0
    assert post(client, "regress", body) == {"results": [12.0, 14.0, 2.0]}


def test_bytes_and_booleans(client):
    # "Y2F0" is base64 of "cat"; a boolean is a whole number.
    body = {"signature_name": "classify", "examples": [{"name": {"b64": "Y2F0"}}]}
    assert post(client, "classify", body)["results"][0][0] == ["cat", 0.0]
    assert post(client, "regress", {"examples": [{"n": True}]}) == {"results": [1.0]}


def test_predict_works_on_such_a_signature_too(client):
    # An empty message is an example without features.
    assert post(client, "predict", {"instances": [{"b64": ""}]}) == {"predictions": [[0.0]]}


@pytest.mark.parametrize(
    ("method", "body", "message"),
    [
        (
            "classify",
            {"examples": [{}]},
            'at least one of "classes" or "scores". Signature gives \'outputs\'; signature serving_default of examples',
        ),
        (
            "regress",
            {"signature_name": "classify", "examples": [{}]},
            "Expected one output Tensor. The",
        ),
        ("regress", {"signature_name": "none", "examples": [{}]}, "No signature was found with the name: none"),
        ("regress", {}, "When method is regress, key 'examples' is expected and was not found"),
        ("regress", {"examples": {}}, "Expecting 'examples' value to be an list/array, got an object"),
        ("regress", {"examples": []}, "'examples' value is an empty array"),
        ("regress", {"examples": [3]}, "Example 0 must be a JSON object, got a number"),
        ("regress", {"examples": [{}], "context": []}, "The context must be a JSON object, got a list"),
        ("regress", {"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: null"),
        ("regress", {"examples": [{"x": [[1.0]]}]}, "Feature: x has element with unexpected JSON type: a list"),
        ("regress", {"examples": [{"x": [1.0, 1]}]}, "Unexpected element type in feature: x"),
        ("regress", {"examples": [{"x": {"b65": ""}}]}, "takes strings, or bytes"),
        ("regress", {"examples": [{"x": {"b64": "?"}}]}, "not base64"),
        ("regress", {"examples": [{"n": 2**63}]}, "Only int64 is supported"),
        ("regress", {"examples": [{"x": 1e300}]}, "does not fit in float"),
        ("regress", '{"examples": [{"\\ud800": 1}]}', "half of a surrogate pair"),
        ("regress", "", 'send JSON such as {"examples"'),
        # The graph wants a number where a whole number came: TensorFlow Serving never converts the one to the other.
        ("regress", {"examples": [{"x": 1}]}, "Data types don't match"),
    ],
)
def test_mistakes(client, method, body, message):
    assert message in post(client, method, body, status=400)["error"]


@pytest.mark.parametrize("method", ["classify", "regress"])
def test_a_signature_that_takes_no_examples_says_so(client, method):
    error = post(client, method, {"examples": [{}]}, model="shelf", status=400)["error"]
    kind = {"classify": "classification", "regress": "regression"}[method]
    assert error == (
        f"No {kind} inputs found in SignatureDef: it takes 'index', not 'inputs'; signature serving_default of shelf"
    )


def test_what_the_method_name_says_is_not_looked_at(tmp_path):
    # TensorFlow 2 writes that of predict, and TensorFlow Serving answers all three calls.
    save_examples(tmp_path / "native" / "1", method_names=False)
    client = TestClient(create_app(tmp_path, options=ServerOptions(poll_seconds=0)))
    body = {"signature_name": "classify", "examples": [{"x": 0.25, "name": "cat"}]}
    assert post(client, "classify", body, "native") == {"results": [[["cat", 0.25], ["other", 0.75]]]}
    assert post(client, "regress", {"examples": [{"x": 0.25}]}, "native") == {"results": [0.5]}
    signatures = client.get("/v1/models/native/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert signatures["classify"]["method_name"] == "tensorflow/serving/predict"


def test_an_unknown_model_is_404(client):
    assert "Latest(none)" in post(client, "classify", {}, model="none", status=404)["error"]


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ({"classes": np.array([[b"a", b"b"]], object)}, [[["a", 0.0], ["b", 0.0]]]),
        ({"scores": np.array([[0.5]], np.float32)}, [[["", 0.5]]]),
    ],
)
def test_labels_or_scores_alone(outputs, expected):
    assert json.loads(encode_results("classify", outputs, 1)) == {"results": expected}


@pytest.mark.parametrize(
    ("method", "outputs", "message"),
    [
        ("classify", {"x": np.zeros([1, 1])}, "at least one of 'classes', 'scores'; it has x"),
        ("classify", {"scores": np.zeros([1])}, r"\[batch_size num_classes\] but got \[1\]"),
        ("classify", {"scores": np.zeros([1, 2]), "classes": np.zeros([1, 3])}, "differ in shape"),
        ("regress", {"x": np.zeros([1])}, "to contain 'outputs'; it has x"),
        ("regress", {"outputs": np.zeros([1, 2])}, r"\[batch_size\] or \[batch_size 1\] but got \[1, 2\]"),
    ],
)
def test_outputs_that_are_not_those_of_the_method(method, outputs, message):
    with pytest.raises(RequestError, match=message):
        encode_results(method, outputs, 1)
