"""JSON of TensorFlow Serving's REST API to arrays and back.

Clients written for TensorFlow Serving send rows (`instances`) or columns (`inputs`), bytes as `{"b64": ...}`, and
expect `predictions` or `outputs` in the same manner. Requests are checked here against the signature, before a graph
runs, so that a mistake gets one clear sentence instead of an op's complaint.

As TensorFlow Serving does: `NaN`, `Infinity` and `-Infinity` are written and read as bare tokens, a single output goes
unnamed, and string outputs whose names end in `_bytes` are base64. Stricter than TensorFlow Serving: in column form, an
input that the signature does not have, batches of different sizes and an empty batch are refused.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import orjson
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.framework import types_pb2

from mmrec_tf.serving.json_tensors import RequestError, array_to_json, is_base64, json_to_array, kind_of
from mmrec_tf.serving.model_version import ModelVersion


@dataclass(frozen=True)
class PredictRequest:
    """The body of a predict call, before its values are looked at.

    Args:
        signature_name: str. Empty when the client named none.
        is_row_form: bool. True for `instances`, False for `inputs`.
        values: what stood under that key.
    """

    signature_name: str
    is_row_form: bool
    values: object


def parse_predict_request(body: bytes) -> PredictRequest:
    """Reads the body of a predict call.

    Args:
        body: bytes. UTF-8 JSON.

    Raises:
        RequestError: if it is not a JSON object with exactly one of `instances` and `inputs`.
    """
    document, signature_name = parse_body(body, '{"instances": [...]} or {"inputs": {...}}')
    forms = [key for key in ("instances", "inputs") if key in document]
    if len(forms) != 1:
        got = "both" if forms else f"neither, but {', '.join(map(repr, document)) or 'no key at all'}"
        raise RequestError(f"Send either 'instances' (rows) or 'inputs' (columns); got {got}")
    return PredictRequest(signature_name, forms[0] == "instances", document[forms[0]])


def parse_body(body: bytes, example: str) -> tuple[dict, str]:
    """Reads the JSON object of a request, and the signature that it names (`""` for none).

    Args:
        body: bytes. UTF-8 JSON.
        example: str. What could have been sent, for the error.

    Raises:
        RequestError: if it is no JSON object, or nested more deeply than Python's parser goes, about 1,000 levels.
    """
    if not body.strip():
        raise RequestError(f"The body is empty; send JSON such as {example}")
    try:
        document = json.loads(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RequestError(f"The body is not UTF-8: {error.reason} at byte {error.start}") from error
    except RecursionError as error:
        raise RequestError("The body is not valid: its JSON is nested too deeply") from error
    except ValueError as error:
        raise RequestError(f"The body is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise RequestError(f"The body must be a JSON object, got {kind_of(document)}")
    signature_name = document.get("signature_name", "")
    if not isinstance(signature_name, str):
        raise RequestError(f"'signature_name' must be a string, got {kind_of(signature_name)}")
    return document, signature_name


def decode_inputs(request: PredictRequest, specs: Mapping[str, tf.TensorSpec]) -> dict[str, np.ndarray]:
    """Turns a request's values into one array per input.

    Args:
        request: the parsed body.
        specs: dict of input name to `tf.TensorSpec`, the signature's inputs.

    Returns:
        Dict of arrays with each input's dtype and a shape that its spec allows; string inputs are object arrays of
        `bytes`.

    Raises:
        RequestError: if inputs are missing or unknown, or differ from the signature in type, shape or batch size.
    """
    if not specs:
        raise RequestError("This signature has no inputs, so that it cannot be called over REST")
    columns = _columns_of_rows(request.values, specs) if request.is_row_form else _columns(request.values, specs)
    arrays = {name: json_to_array(columns[name], spec, name) for name, spec in specs.items()}
    batch_sizes = {
        name: arrays[name].shape[0] for name, spec in specs.items() if spec.shape.rank and spec.shape[0] is None
    }
    empty = [name for name, size in batch_sizes.items() if size == 0]
    if empty:
        raise RequestError(f"Empty batch: {_names(empty)} has no row; send at least one")
    if len(set(batch_sizes.values())) > 1:
        sizes = ", ".join(f"'{name}' has {size}" for name, size in batch_sizes.items())
        raise RequestError(f"Batch sizes differ: {sizes}; every input needs the same number of rows")
    return arrays


def encode_outputs(outputs: Mapping[str, np.ndarray], is_row_form: bool) -> bytes:
    """Writes a predict call's answer, `predictions` for rows or `outputs` for columns.

    Args:
        outputs: dict of arrays by output name; string outputs are object arrays of `bytes`.
        is_row_form: bool. Whether the request was in row form.

    Returns:
        UTF-8 JSON.

    Raises:
        RequestError: if an output cannot be written: a type JSON has no form for, bytes that are not UTF-8 under a name
            without `_bytes`, or, in row form, outputs that do not share a batch dimension.
    """
    if is_row_form:
        sizes = {name: array.shape[0] if array.ndim else None for name, array in outputs.items()}
        if None in sizes.values() or len(set(sizes.values())) > 1:
            raise RequestError(
                f"The outputs share no batch dimension (rows per output: {sizes}), so that they cannot be answered in "
                "row form; ask in column form ('inputs')"
            )
    # orjson writes NaN as null, where TensorFlow Serving has bare tokens.
    is_finite = all(array.dtype.kind != "f" or np.isfinite(array).all() for array in outputs.values())
    to_json = _fast_json if is_finite else array_to_json
    columns = {name: to_json(outputs[name], name) for name in sorted(outputs)}
    if len(columns) == 1:
        (answer,) = columns.values()
    elif is_row_form:
        answer = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    else:
        answer = columns
    document = {"predictions" if is_row_form else "outputs": answer}
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY) if is_finite else encode_json(document)


def encode_json(document: object) -> bytes:
    """UTF-8 JSON of a document, with `NaN` and `Infinity` as bare tokens."""
    # An error may quote a name that a client sent with half of a surrogate pair, which UTF-8 cannot hold.
    return json.dumps(document, ensure_ascii=False).encode(errors="replace")


def encode_status(versions: Iterable[ModelVersion]) -> bytes:
    """The JSON of a status call for these versions."""
    statuses = [
        {
            "version": str(version.version),
            "state": version.state,
            "status": {"error_code": version.error_code, "error_message": version.error_message},
        }
        for version in versions
    ]
    return encode_json({"model_version_status": statuses})


def encode_metadata(model: ModelVersion) -> bytes:
    """The JSON of a metadata call: the version's name, number and every signature with its inputs and outputs."""
    signatures = {
        name: {
            "inputs": _tensor_infos(signature.definition.inputs),
            "outputs": _tensor_infos(signature.definition.outputs),
            "method_name": signature.definition.method_name,
            "defaults": {
                key: MessageToDict(value, preserving_proto_field_name=True)
                for key, value in sorted(signature.definition.defaults.items())
            },
        }
        for name, signature in model.signatures.items()
    }
    return encode_json(
        {
            "model_spec": {"name": model.name, "signature_name": "", "version": str(model.version)},
            "metadata": {"signature_def": {"signature_def": signatures}},
        }
    )


def _tensor_infos(infos: Mapping[str, object]) -> dict:
    return {
        key: {
            "dtype": types_pb2.DataType.Name(info.dtype),
            "tensor_shape": {
                "dim": [{"size": str(dim.size), "name": dim.name} for dim in info.tensor_shape.dim],
                "unknown_rank": info.tensor_shape.unknown_rank,
            },
            "name": info.name,
        }
        for key, info in sorted(infos.items())
    }


def _columns_of_rows(rows: object, specs: Mapping[str, tf.TensorSpec]) -> dict[str, list]:
    if not isinstance(rows, list):
        raise RequestError(f"'instances' must be a list of rows, got {kind_of(rows)}")
    if not rows:
        raise RequestError("Empty batch: 'instances' has no row; send at least one")
    if not _is_named(rows[0]):
        _check_single_input(specs, "each row of 'instances'")
        (name,) = specs
        named = [index for index, row in enumerate(rows) if _is_named(row)]
        if named:
            raise RequestError(f"Row {named[0]} of 'instances' is an object, but row 0 is a plain value")
        return {name: rows}
    for index, row in enumerate(rows):
        if not _is_named(row):
            raise RequestError(f"Row {index} of 'instances' is {kind_of(row)}, but row 0 is an object")
        _check_names(row, specs, f"Row {index} of 'instances'")
    return {name: [row[name] for row in rows] for name in specs}


def _columns(columns: object, specs: Mapping[str, tf.TensorSpec]) -> Mapping[str, object]:
    if not _is_named(columns):
        _check_single_input(specs, "'inputs'")
        (name,) = specs
        return {name: columns}
    _check_names(columns, specs, "'inputs'")
    return columns


def _check_single_input(specs: Mapping[str, tf.TensorSpec], place: str) -> None:
    if len(specs) > 1:
        raise RequestError(f"The signature takes several inputs ({_names(specs)}), so {place} must be an object")


def _check_names(given: Mapping[str, object], specs: Mapping[str, tf.TensorSpec], place: str) -> None:
    missing = [name for name in specs if name not in given]
    unknown = [name for name in given if name not in specs]
    if missing or unknown:
        problems = [f"lacks {_names(missing)}"] if missing else []
        problems += [f"has unknown {_names(unknown)}"] if unknown else []
        raise RequestError(f"{place} {' and '.join(problems)}; the signature takes exactly {_names(specs)}")


def _is_named(value: object) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _fast_json(array: np.ndarray, name: str) -> object:
    """As `array_to_json`, but numbers stay an array, which orjson writes by itself, each in its shortest text."""
    is_number = array.dtype.kind in "biu" or array.dtype in (np.float32, np.float64)
    return np.ascontiguousarray(array) if is_number and array.ndim else array_to_json(array, name)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
