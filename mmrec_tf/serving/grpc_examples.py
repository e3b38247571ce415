"""Classify, Regress and MultiInference: calls that send `tf.Example`s, for signatures that parse them.

The models that `mmrec export` writes take plain tensors, so that these calls are for other models served beside them;
`example_signatures` says which.

Source: tensorflow_serving/servables/tensorflow/{classifier,regressor,multi_inference,util}.cc
"""

from collections.abc import Mapping

import numpy as np
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

from mmrec_tf.serving.example_signatures import CLASSIFY, REGRESS, why_unsuited
from mmrec_tf.serving.grpc_codec import Run, find_signature, spec_of
from mmrec_tf.serving.model_version import ModelVersion, Signature
from mmrec_tf.serving.rpc_failure import RpcFailure

_METHODS = {"tensorflow/serving/classify": CLASSIFY, "tensorflow/serving/regress": REGRESS}


def classify(request, model: ModelVersion, run: Run):
    """Answers a `ClassificationRequest`.

    Raises:
        RpcFailure: if there is no example, or the signature does not suit.
    """
    name, signature = find_signature(model, request.model_spec.signature_name, "INVALID_ARGUMENT")
    _check(CLASSIFY, signature)
    examples = serialized_examples(request.input)
    response = classification_pb2.ClassificationResponse(model_spec=spec_of(model, name))
    _fill_classification(run(model, name, {"inputs": examples}), len(examples), response.result)
    return response


def regress(request, model: ModelVersion, run: Run):
    """Answers a `RegressionRequest`.

    Raises:
        RpcFailure: if there is no example, or the signature does not suit.
    """
    name, signature = find_signature(model, request.model_spec.signature_name, "INVALID_ARGUMENT")
    _check(REGRESS, signature)
    examples = serialized_examples(request.input)
    response = regression_pb2.RegressionResponse(model_spec=spec_of(model, name))
    _fill_regression(run(model, name, {"inputs": examples}), len(examples), response.result)
    return response


def first_task(request):
    """The task whose `model_spec` says which version a `MultiInferenceRequest` asks.

    Raises:
        RpcFailure: if there is no task, or they name different models.
    """
    if not request.tasks:
        raise RpcFailure("INVALID_ARGUMENT", "Inference request must have at least one task")
    first = request.tasks[0]
    for task in request.tasks:
        if not task.model_spec.name:
            raise RpcFailure("INVALID_ARGUMENT", "Found ModelSpec with an empty model name.")
        if task.model_spec.name != first.model_spec.name:
            message = "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            raise RpcFailure("INVALID_ARGUMENT", message)
    return first


def multi_inference(request, model: ModelVersion, run: Run):
    """Answers a `MultiInferenceRequest`: several signatures of one version, asked with the same examples.

    Raises:
        RpcFailure: if a signature is asked twice or does not suit its task, or there is no example.
    """
    names = []
    for task in request.tasks:
        name, signature = find_signature(model, task.model_spec.signature_name, "INVALID_ARGUMENT")
        if name in names:
            raise RpcFailure("INVALID_ARGUMENT", f"Duplicate evaluation of signature: {name}")
        if task.method_name not in _METHODS:
            message = f"Unsupported signature method_name: {task.method_name}; there are {' and '.join(_METHODS)}"
            raise RpcFailure("UNIMPLEMENTED", message)
        _check(_METHODS[task.method_name], signature)
        names.append(name)
    examples = serialized_examples(request.input)
    response = inference_pb2.MultiInferenceResponse()
    for name, task in zip(names, request.tasks, strict=True):
        outputs = run(model, name, {"inputs": examples})
        result = response.results.add(model_spec=spec_of(model, name))
        if _METHODS[task.method_name] == CLASSIFY:
            _fill_classification(outputs, len(examples), result.classification_result)
        else:
            _fill_regression(outputs, len(examples), result.regression_result)
    return response


def serialized_examples(given) -> np.ndarray:
    """The examples of an `Input` as an object array of `bytes`; each after the context, where there is one.

    Raises:
        RpcFailure: if there is none.
    """
    kind = given.WhichOneof("kind")
    found = getattr(given, kind) if kind else None
    if found is None or not found.examples:
        raise RpcFailure("INVALID_ARGUMENT", "Input is empty.")
    # Serialized messages that follow each other are one: the example's features take the place of the context's.
    context = found.context.SerializeToString() if kind == "example_list_with_context" else b""
    examples = np.empty(len(found.examples), object)
    examples[:] = [context + example.SerializeToString() for example in found.examples]
    return examples


def _check(method: str, signature: Signature) -> None:
    why = why_unsuited(method, signature)
    if why is not None:
        raise RpcFailure(*why)


def _fill_classification(outputs: Mapping[str, np.ndarray], rows: int, result) -> None:
    classes, scores = outputs.get("classes"), outputs.get("scores")
    for name, array, dtype in (("classes", classes, object), ("scores", scores, np.float32)):
        if array is None:
            continue
        if array.ndim != 2:
            message = f"Expected Tensor shape: [batch_size num_classes] but got {list(array.shape)}"
            raise RpcFailure("INVALID_ARGUMENT", message)
        if array.dtype != dtype:
            expected = "DT_STRING" if dtype is object else "DT_FLOAT"
            raise RpcFailure("INVALID_ARGUMENT", f"Expected {name} Tensor of {expected}. Got: {array.dtype}")
        if array.shape[0] != rows:
            message = f"Expected {name} output batch size of {rows}. Got: {array.shape[0]}"
            raise RpcFailure("INVALID_ARGUMENT", message)
    if classes is not None and scores is not None and classes.shape != scores.shape:
        message = f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        raise RpcFailure("INVALID_ARGUMENT", message)
    count = (scores if classes is None else classes).shape[1]
    for row in range(rows):
        classifications = result.classifications.add()
        for place in range(count):
            found = classifications.classes.add()
            if classes is not None:
                found.label = _text(classes[row, place])
            if scores is not None:
                found.score = scores[row, place]


def _fill_regression(outputs: Mapping[str, np.ndarray], rows: int, result) -> None:
    values = outputs["outputs"]
    if values.shape not in ((rows,), (rows, 1)):
        message = "Expected output Tensor shape to be either [batch_size] or [batch_size, 1]"
        raise RpcFailure("INVALID_ARGUMENT", f"{message} for {rows} examples, but got {list(values.shape)}")
    if values.dtype != np.float32:
        raise RpcFailure("INVALID_ARGUMENT", f"Expected output Tensor of DT_FLOAT. Got: {values.dtype}")
    for value in values.ravel():
        result.regressions.add(value=value)


def _text(label: bytes) -> str:
    try:
        return label.decode()
    except UnicodeDecodeError as error:
        raise RpcFailure("INVALID_ARGUMENT", "Output 'classes' holds a label that is not UTF-8") from error
