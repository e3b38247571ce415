"""TensorFlow Serving's gRPC messages to calls of models and back, apart from how they travel.

Requests are checked here against the signature, before a graph runs. Status codes and the sentences that clients may
look for are TensorFlow Serving's. Stricter than TensorFlow Serving: batches of different sizes and an empty batch are
refused, as over REST.

Source: tensorflow_serving/servables/tensorflow/predict_util.cc, get_model_metadata_impl.cc and
tensorflow_serving/model_servers/get_model_status_impl.cc
"""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2, predict_pb2

from mmrec_tf.serving.model_store import ModelStore
from mmrec_tf.serving.model_version import DEFAULT_SIGNATURE, ModelVersion, Signature
from mmrec_tf.serving.rpc_failure import RpcFailure
from mmrec_tf.serving.tensor_protos import TensorError, array_to_tensor, shape_of, tensor_to_array, type_of_number

Run = Callable[[ModelVersion, str, dict[str, np.ndarray]], dict[str, np.ndarray]]


def parse(message_class: type, content: bytes):
    """Reads a request.

    Raises:
        RpcFailure: if the bytes are no such message.
    """
    try:
        return message_class.FromString(content)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        name = message_class.DESCRIPTOR.full_name
        raise RpcFailure(
            "INVALID_ARGUMENT", f"The request is no {name}: {error or 'its bytes are malformed'}"
        ) from error


def find_model(store: ModelStore, request) -> ModelVersion:
    """The version that a request's `model_spec` names by number, by label, or not at all.

    Raises:
        RpcFailure: if it names no model.
        ModelNotFoundError: if there is none, or it cannot be loaded.
    """
    return store.find(*_target(request))


def predict(request, model: ModelVersion, run: Run, max_bytes: int):
    """Answers a `PredictRequest`.

    Args:
        request: the message.
        model: the version that it asks.
        run: function of (model, signature name, inputs) that returns the outputs.
        max_bytes: int. Most memory that one input may take.

    Raises:
        RpcFailure: if the signature is unknown, or inputs or the output filter do not fit it.
    """
    name, signature = find_signature(model, request.model_spec.signature_name)
    wanted = _wanted_outputs(request.output_filter, signature)
    outputs = run(model, name, _inputs(request.inputs, signature, max_bytes))
    response = predict_pb2.PredictResponse(model_spec=spec_of(model, name))
    for output in wanted or outputs:
        try:
            array_to_tensor(outputs[output], response.outputs[output])
        except TensorError as error:
            raise RpcFailure("UNIMPLEMENTED", f"Output '{output}' {error}") from error
    return response


def metadata(request, store: ModelStore):
    """Answers a `GetModelMetadataRequest`.

    Raises:
        RpcFailure: if it names no model, or asks for anything but `signature_def`.
        ModelNotFoundError: if there is no such model.
    """
    if not request.HasField("model_spec"):
        raise RpcFailure("INVALID_ARGUMENT", "Missing ModelSpec")
    if not request.metadata_field:
        raise RpcFailure("INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field")
    if unknown := [field for field in request.metadata_field if field != "signature_def"]:
        message = f"Metadata field {unknown[0]} is not supported; there is signature_def"
        raise RpcFailure("INVALID_ARGUMENT", message)
    model = find_model(store, request)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in model.signatures.items():
        signatures.signature_def[name].CopyFrom(signature.definition)
    response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=spec_of(model))
    response.metadata["signature_def"].Pack(signatures)
    return response


def status(request, store: ModelStore):
    """Answers a `GetModelStatusRequest`.

    Raises:
        RpcFailure: if it names no model, or one that is not there.
    """
    if not request.HasField("model_spec"):
        raise RpcFailure("INVALID_ARGUMENT", "Missing ModelSpec")
    name, number, label = _target(request)
    if label is not None:
        number = store.find(name, label=label).version
    versions = [version for version in store.versions(name) if number is None or version.version == number]
    if not versions:
        wanted = f"any versions of model {name}" if number is None else f"version {number} of model {name}"
        raise RpcFailure("NOT_FOUND", f"Could not find {wanted}; models here: {', '.join(store.names)}")
    response = get_model_status_pb2.GetModelStatusResponse()
    for version in versions:
        said = response.model_version_status.add(version=version.version, state=version.state)
        said.status.error_code = error_codes_pb2.Code.Value(version.error_code)
        said.status.error_message = version.error_message
    return response


def find_signature(model: ModelVersion, name: str, code: str = "FAILED_PRECONDITION") -> tuple[str, Signature]:
    """The signature that a request names, or the default one, with its name.

    Args:
        code: str. What TensorFlow Serving answers where there is none; it differs from call to call.

    Raises:
        RpcFailure: if there is none, or it is not meant to be called.
    """
    name = name or DEFAULT_SIGNATURE
    # A SavedModel lists the function that fills its tables too, which takes and gives nothing.
    if name not in model.signatures or name.startswith("__saved_model"):
        known = ", ".join(key for key in model.signatures if not key.startswith("__"))
        message = f'Serving signature key "{name}" not found. Signatures of {model.name}: {known}'
        raise RpcFailure(code, message)
    return name, model.signatures[name]


def spec_of(model: ModelVersion, signature_name: str = ""):
    """The `ModelSpec` of an answer: which version gave it."""
    spec = model_pb2.ModelSpec(name=model.name, signature_name=signature_name)
    spec.version.value = model.version
    return spec


def _target(request) -> tuple[str, int | None, str | None]:
    spec = request.model_spec
    if not spec.name:
        raise RpcFailure("INVALID_ARGUMENT", "ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    number = spec.version.value if choice == "version" else None
    return spec.name, number, spec.version_label if choice == "version_label" else None


def _wanted_outputs(output_filter, signature: Signature) -> list[str]:
    known = sorted(signature.definition.outputs)
    seen = set()
    for output in output_filter:
        if output not in known:
            message = f"output tensor alias not found in signature: {output} Outputs expected to be in the set "
            raise RpcFailure("INVALID_ARGUMENT", f"{message}{{{','.join(known)}}}.")
        if output in seen:
            raise RpcFailure("INVALID_ARGUMENT", f"duplicate output tensor alias: {output}")
        seen.add(output)
    return list(output_filter)


def _inputs(given: Mapping, signature: Signature, max_bytes: int) -> dict[str, np.ndarray]:
    specs, defaults = signature.inputs, signature.definition.defaults
    extra = sorted(set(given) - set(specs))
    missing = sorted(set(specs) - set(given) - set(defaults))
    if extra or missing:
        raise RpcFailure(
            "INVALID_ARGUMENT",
            f"input size does not match signature: {len(given)}!={len(specs)} len({{{','.join(sorted(given))}}}) != "
            f"len({{{','.join(specs)}}}). Sent extra: {{{','.join(extra)}}}. "
            f"Missing but required: {{{','.join(missing)}}}.",
        )
    arrays = {
        name: _array(given[name] if name in given else defaults[name], name, spec, max_bytes)
        for name, spec in specs.items()
    }
    _check_batch(arrays, specs)
    return arrays


def _array(tensor, name: str, spec: tf.TensorSpec, max_bytes: int) -> np.ndarray:
    # The type and the shape before the values: what does not fit the signature is not even unpacked.
    if tensor.dtype != spec.dtype.as_datatype_enum:
        kind = type_of_number(tensor.dtype)
        found = f"the type number {tensor.dtype}" if kind is None else f"the type {kind.name}"
        raise RpcFailure("INVALID_ARGUMENT", f"Input '{name}' has {found}, but the signature takes {spec.dtype.name}")
    try:
        sizes = list(shape_of(tensor.tensor_shape))
        if spec.shape.is_compatible_with(sizes):
            return tensor_to_array(tensor, max_bytes)
    except TensorError as error:
        raise RpcFailure("INVALID_ARGUMENT", f"Input '{name}' {error}") from error
    expected = [-1 if size is None else size for size in spec.shape]
    message = f"Input '{name}' has the shape {sizes}, but the signature takes {expected} (-1 is any size)"
    raise RpcFailure("INVALID_ARGUMENT", message)


def _check_batch(arrays: Mapping[str, np.ndarray], specs: Mapping[str, tf.TensorSpec]) -> None:
    sizes = {name: arrays[name].shape[0] for name, spec in specs.items() if spec.shape.rank and spec.shape[0] is None}
    if empty := [name for name, size in sizes.items() if size == 0]:
        raise RpcFailure("INVALID_ARGUMENT", f"Empty batch: '{empty[0]}' has no row; send at least one")
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"'{name}' has {size}" for name, size in sizes.items())
        raise RpcFailure("INVALID_ARGUMENT", f"Batch sizes differ: {found}; every input needs the same number of rows")
