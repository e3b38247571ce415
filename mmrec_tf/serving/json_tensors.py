"""JSON values to arrays and back, by the types and shapes of a signature.

A request's lists may be ragged, of the wrong type or too large for the type; each such mistake is found here, before a
graph runs, and named in one sentence. The rules for numbers are TensorFlow Serving's: whole numbers pass for floats
where nothing is lost, floats never pass for integers, `true` is no number.

Source: https://www.tensorflow.org/tfx/serving/api_rest, section on JSON mapping.
"""

import base64
import binascii
import json
from itertools import chain

import numpy as np
import tensorflow as tf

from mmrec_tf.errors import ServingError

# The highest rank NumPy 1 can hold; only met by inputs whose signature leaves the rank open.
_MAX_RANK = 32
_WHOLE_NUMBERS = (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64)
_JSON_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


class RequestError(ServingError):
    """A request that cannot be answered as it is.

    Args:
        message: str. What is wrong with it.
        status: int. HTTP status code. Defaults to 400.
    """

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


def json_to_array(value: object, spec: tf.TensorSpec, name: str) -> np.ndarray:
    """Turns one input's JSON value into an array.

    Args:
        value: a parsed JSON value: nested lists, or a single value for a scalar. Bytes are `{"b64": "<base64>"}`.
        spec: `tf.TensorSpec`. The input's type and shape.
        name: str. The input's name, for messages.

    Returns:
        Array of the spec's dtype (object array of `bytes` for strings) and of a shape the spec allows.

    Raises:
        RequestError: if the value is ragged, of another type, too large for the type, or of another shape.
    """
    # The first value of each level sets the shape; going level by level, not value by value, keeps large requests
    # cheap and deep ones from exhausting the stack.
    shape: list[int] = []
    flat = [value]
    while flat and isinstance(flat[0], list):
        if len(shape) == _MAX_RANK:
            raise RequestError(f"Input '{name}' is nested more than {_MAX_RANK} levels deep")
        length = len(flat[0])
        for item in flat:
            if not isinstance(item, list) or len(item) != length:
                found = f"a list of length {len(item)}" if isinstance(item, list) else kind_of(item)
                raise RequestError(
                    f"Input '{name}' is not rectangular: {found} where a list of length {length} came first"
                )
        shape.append(length)
        flat = list(chain.from_iterable(flat))
    array = _convert(flat, spec.dtype, name).reshape(shape)
    _check_shape(array.shape, spec, name)
    return array


def array_to_json(array: np.ndarray, name: str) -> object:
    """Turns one output into nested lists that `json` can write.

    Args:
        array: numbers, booleans, or an object array of `bytes`.
        name: str. The output's name: where it ends in `_bytes`, values become `{"b64": "<base64>"}`, else UTF-8 text.

    Raises:
        RequestError: if JSON has no form for the type, or if bytes are not UTF-8 under a name without `_bytes`.
    """
    if array.dtype == object:
        values = array.ravel().tolist()
        values = _base64_values(values) if name.endswith("_bytes") else _utf8_values(values, name)
    elif array.dtype == np.float32:
        # By way of float32's shortest text, so that 0.2 is answered as 0.2 and not as the float64 nearest to it.
        values = [float(str(value)) for value in array.ravel()]
    elif array.dtype == np.float64 or array.dtype.kind in "biu":
        return array.tolist()
    else:
        raise RequestError(f"Output '{name}' is {array.dtype}, which JSON has no form for; cast it in the model")
    nested = np.empty(len(values), dtype=object)
    nested[:] = values
    return nested.reshape(array.shape).tolist()


def is_base64(value: object) -> bool:
    """True for a JSON value that stands for bytes: an object with the single key `b64` and a string under it."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def to_bytes(value: object, name: str) -> bytes:
    """The bytes of a JSON string, or of `{"b64": "<base64>"}`.

    Raises:
        RequestError: if it is neither; `name` is the input's, for the message.
    """
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise RequestError(f"Input '{name}' has a string with half of a surrogate pair") from error
    if not is_base64(value):
        form = 'strings, or bytes as {"b64": "<base64>"}'
        raise RequestError(f"Input '{name}' takes {form}; got {kind_of(value)}: {_excerpt(value)}")
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        # TensorFlow Serving takes base64 with or without its padding.
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"Input '{name}' has a value that is not base64: {_excerpt(value['b64'])}") from error


def kind_of(value: object) -> str:
    """What a JSON value is, in words: `"a list"`, `"a number"`."""
    return _JSON_KINDS.get(type(value), "a number")


def _convert(flat: list, dtype: tf.DType, name: str) -> np.ndarray:
    if dtype == tf.string:
        converted = np.empty(len(flat), dtype=object)
        converted[:] = [to_bytes(value, name) for value in flat]
        return converted
    if dtype == tf.bool:
        _check_types(flat, (bool,), "booleans", name)
    elif dtype in _WHOLE_NUMBERS:
        _check_types(flat, (int,), f"whole numbers ({dtype.name})", name)
        _check_range(flat, int(dtype.min), int(dtype.max), dtype, name)
    elif dtype in (tf.float32, tf.float64):
        _check_types(flat, (int, float), f"numbers ({dtype.name})", name)
        # The significand holds 24 or 53 bits: a larger whole number may come out as another one.
        largest = 2 ** (24 if dtype == tf.float32 else 53) - 1
        _check_range([value for value in flat if type(value) is int], -largest, largest, dtype, name)
        finite = [value for value in flat if abs(value) < float("inf")]
        _check_range(finite, float(dtype.min), float(dtype.max), dtype, name)
    else:
        raise RequestError(f"Input '{name}' has the type {dtype.name}, which cannot be sent as JSON")
    return np.array(flat, dtype=dtype.as_numpy_dtype)


def _check_types(flat: list, allowed: tuple[type, ...], expected: str, name: str) -> None:
    # `type`, not `isinstance`: JSON's true and false are no numbers, though Python's are.
    if not set(map(type, flat)).issubset(allowed):
        wrong = next(value for value in flat if type(value) not in allowed)
        raise RequestError(f"Input '{name}' takes {expected}, got {kind_of(wrong)}: {_excerpt(wrong)}")


def _check_range(flat: list, lowest: float, highest: float, dtype: tf.DType, name: str) -> None:
    if flat and not (min(flat) >= lowest and max(flat) <= highest):
        wrong = next(value for value in flat if not lowest <= value <= highest)
        raise RequestError(f"Input '{name}': {_excerpt(wrong)} does not fit in {dtype.name} without loss")


def _check_shape(shape: tuple[int, ...], spec: tf.TensorSpec, name: str) -> None:
    if not spec.shape.is_compatible_with(shape):
        expected = [-1 if size is None else size for size in spec.shape]
        raise RequestError(
            f"Input '{name}' has the shape {list(shape)}, but the signature takes {expected} (-1 is any size)"
        )


def _base64_values(values: list[bytes]) -> list[dict[str, str]]:
    return [{"b64": base64.b64encode(value).decode()} for value in values]


def _utf8_values(values: list[bytes], name: str) -> list[str]:
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise RequestError(
            f"Output '{name}' holds bytes that are not UTF-8; a model must name such an output '{name}_bytes'"
        ) from error


def _excerpt(value: object) -> str:
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        # Python writes neither integers of thousands of digits nor very deep objects.
        return "a value too large to show"
    return text if len(text) <= 60 else text[:57] + "..."
