"""Classify and regress over TensorFlow Serving's REST API: features to `tf.Example`s, and labels or numbers back.

These calls suit signatures made for `tf.Example`s, such as those of estimators; see `example_signatures`. Messages are
TensorFlow Serving's.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

from collections.abc import Mapping

import numpy as np
from tensorflow.core.example import example_pb2, feature_pb2

from mmrec_tf.serving.example_signatures import why_unsuited
from mmrec_tf.serving.json_tensors import RequestError, array_to_json, kind_of, to_bytes
from mmrec_tf.serving.model_version import DEFAULT_SIGNATURE, ModelVersion
from mmrec_tf.serving.rest_codec import encode_json, parse_body

_LARGEST = 2**63


def decode_examples(method: str, body: bytes, model: ModelVersion) -> tuple[str, dict[str, np.ndarray]]:
    """Turns the body of a classify or regress call into a signature's name and its one input.

    Args:
        method: str. `"classify"` or `"regress"`.
        body: bytes. JSON: `{"signature_name": ..., "context": {...}, "examples": [{feature: value or list}, ...]}`. The
            context's features are those of every example that has none of the same name.
        model: whose signature it is.

    Raises:
        RequestError: if it is something else, or the signature does not suit the call.
    """
    document, signature_name = parse_body(body, '{"examples": [{"feature": 1.5}]}')
    signature_name = signature_name or DEFAULT_SIGNATURE
    signature = model.signatures.get(signature_name)
    if signature is None:
        raise RequestError(f"No signature was found with the name: {signature_name}")
    if why := why_unsuited(method, signature):
        raise RequestError(f"{why[1]}; signature {signature_name} of {model.name}")
    if "examples" not in document:
        raise RequestError(f"When method is {method}, key 'examples' is expected and was not found")
    rows = document["examples"]
    if not isinstance(rows, list):
        raise RequestError(f"Expecting 'examples' value to be an list/array, got {kind_of(rows)}")
    if not rows:
        raise RequestError("'examples' value is an empty array; send at least one")
    # Of two messages one after the other, the later one's features hold.
    context = _example(document["context"], "The context") if "context" in document else b""
    examples = np.empty(len(rows), dtype=object)
    examples[:] = [context + _example(row, f"Example {number}") for number, row in enumerate(rows)]
    return signature_name, {"inputs": examples}


def encode_results(method: str, outputs: Mapping[str, np.ndarray], examples: int) -> bytes:
    """The JSON of an answer: for each example its labels and scores, or its number.

    Raises:
        RequestError: if the signature's outputs are not those of its method.
    """
    return encode_json({"results": (_classes if method == "classify" else _numbers)(outputs, examples)})


def _classes(outputs: Mapping[str, np.ndarray], examples: int) -> list:
    classes, scores = outputs.get("classes"), outputs.get("scores")
    if classes is None and scores is None:
        raise RequestError(
            f"Expected classification signature outputs to contain at least one of 'classes', 'scores'; "
            f"it has {', '.join(outputs)}"
        )
    for values in (classes, scores):
        if values is not None and (values.ndim != 2 or len(values) != examples):
            raise RequestError(f"Expected Tensor shape: [batch_size num_classes] but got {list(values.shape)}")
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise RequestError(f"Classes and scores differ in shape: {list(classes.shape)}, {list(scores.shape)}")
    shape = (scores if classes is None else classes).shape
    labels = np.full(shape, "", object).tolist() if classes is None else array_to_json(classes, "classes")
    numbers = np.zeros(shape).tolist() if scores is None else array_to_json(scores, "scores")
    return [[list(pair) for pair in zip(*row, strict=True)] for row in zip(labels, numbers, strict=True)]


def _numbers(outputs: Mapping[str, np.ndarray], examples: int) -> list:
    values = outputs.get("outputs")
    if values is None:
        raise RequestError(f"Expected regression signature outputs to contain 'outputs'; it has {', '.join(outputs)}")
    if values.shape not in ((examples,), (examples, 1)):
        raise RequestError(f"Expected Tensor shape: [batch_size] or [batch_size 1] but got {list(values.shape)}")
    return array_to_json(values.reshape(examples), "outputs")


def _example(features: object, place: str) -> bytes:
    if not isinstance(features, dict):
        raise RequestError(f"{place} must be a JSON object, got {kind_of(features)}")
    example = example_pb2.Example()
    for name, content in features.items():
        feature = _feature(content if isinstance(content, list) else [content], name)
        try:
            example.features.feature[name].CopyFrom(feature)
        except UnicodeEncodeError as error:
            raise RequestError(f"{place} has a feature whose name holds half of a surrogate pair") from error
    return example.SerializeToString()


def _feature(values: list, name: str) -> feature_pb2.Feature:
    kinds = {_kind(value, name) for value in values}
    if len(kinds) > 1:
        raise RequestError(f"Unexpected element type in feature: {name}; its list mixes {' and '.join(sorted(kinds))}")
    feature = feature_pb2.Feature()
    if kinds == {"bytes"}:
        feature.bytes_list.value.extend(to_bytes(value, name) for value in values)
    elif kinds == {"int64"}:
        if wrong := [value for value in values if not -_LARGEST <= value < _LARGEST]:
            raise RequestError(
                f"Feature: {name} has an element out of range: {str(wrong[0])[:30]}. Only int64 is supported"
            )
        feature.int64_list.value.extend(map(int, values))
    elif kinds == {"float"}:
        largest = float(np.finfo(np.float32).max)
        if wrong := [value for value in values if largest < abs(value) < float("inf")]:
            raise RequestError(f"Feature: {name}: {wrong[0]} does not fit in float without loss of precision")
        feature.float_list.value.extend(values)
    return feature


def _kind(value: object, name: str) -> str:
    # As in TensorFlow Serving, a boolean is a whole number, and a whole number is never taken for a float.
    if isinstance(value, bool | int):
        return "int64"
    if isinstance(value, float):
        return "float"
    if value is None or isinstance(value, list):
        raise RequestError(f"Feature: {name} has element with unexpected JSON type: {kind_of(value)}")
    return "bytes"
