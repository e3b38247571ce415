"""Python values to the arrays that a signature takes, and its answers to arrays.

A mistake is told before anything is sent, in the words that a server would use, so that both ways of asking behave the
same.
"""

from collections.abc import Callable, Mapping

import numpy as np

from mmrec_tf.serving.client_errors import Internal, InvalidArgument
from mmrec_tf.serving.client_metadata import SignatureInfo, TensorInfo

_MAX_RANK = 32
_ABSENT = object()
# What fills short lists of strings; the exported models take it for nothing.
_NO_STRING = ""


def to_arrays(given: Mapping[str, object], signature: SignatureInfo) -> dict[str, np.ndarray]:
    """An array for each input.

    Args:
        given: dict of input name -> nested lists or array, with the batch as the first dimension. Lists of strings that
            differ in length are filled with `""`.
        signature: what it is for.

    Returns:
        Dict of arrays of the types that the signature takes; strings are object arrays of `bytes`.

    Raises:
        InvalidArgument: if inputs are missing or unknown, or a value has another type or shape.
    """
    if not isinstance(given, Mapping):
        raise InvalidArgument(f"The inputs are a dict of name -> values, got {type(given).__name__}.")
    missing = [name for name in signature.inputs if name not in given and name not in signature.optional]
    unknown = [name for name in given if name not in signature.inputs]
    if missing or unknown:
        problems = [f"lack {_names(missing)}"] if missing else []
        problems += [f"have unknown {_names(unknown)}"] if unknown else []
        raise InvalidArgument(f"The inputs {' and '.join(problems)}; the signature takes {_names(signature.inputs)}.")
    return {name: to_array(value, signature.inputs[name], name) for name, value in given.items()}


def to_array(value: object, info: TensorInfo, name: str, fill: object = _ABSENT) -> np.ndarray:
    """One input as an array.

    Args:
        value: nested lists, an array, or a single value for a scalar.
        info: the input's type and shape.
        name: str. The input's name, for messages.
        fill: what short lists are filled with. Defaults to `""` for strings; lists of anything else must agree.

    Raises:
        InvalidArgument: if the value has another type or shape.
    """
    place = f"Input '{name}'"
    if info.kind is None:
        raise InvalidArgument(f"{place} has a type that cannot be sent.")
    if info.kind.is_string:
        filler = _NO_STRING if fill is _ABSENT else fill
        array = _objects(value, place, filler, lambda text: _to_bytes(text, place))
    elif isinstance(value, np.ndarray) and value.dtype != object:
        array = _numbers(value, info, place)
    else:
        flat, shape = _rectangle(value, place, fill)
        array = _numbers_of_list(flat, info, place).reshape(shape)
    _check_shape(array.shape, info, place)
    return array


def text_of(array: np.ndarray, name: str) -> np.ndarray:
    """Strings of an output as `str`, or as they are where its name ends in `_bytes`.

    Args:
        array: object array of `bytes`.
        name: str. The output's name.

    Raises:
        InvalidArgument: if they are not UTF-8; over REST the server answers the same.
    """
    if name.endswith("_bytes"):
        return array
    try:
        return _object_array([value.decode() for value in array.ravel()], array.shape)
    except UnicodeDecodeError as error:
        raise InvalidArgument(
            f"Output '{name}' holds bytes that are not UTF-8; a model must name such an output '{name}_bytes'."
        ) from error


def from_json(value: object, info: TensorInfo, name: str, bytes_of: Callable[[object], bytes]) -> np.ndarray:
    """One output of a REST answer as an array.

    Args:
        value: nested lists, or a single value for a scalar.
        info: the output's type and shape.
        name: str. The output's name.
        bytes_of: function that turns a JSON value that stands for bytes into them.

    Raises:
        Internal: if the value is not what the server's metadata say.
    """
    place = f"Output '{name}'"
    try:
        if info.kind is None:
            raise InvalidArgument(f"{place} has a type that cannot be read.")
        if info.kind.is_string:
            array = _objects(value, place, _ABSENT, bytes_of if name.endswith("_bytes") else _checked_text)
        else:
            flat, shape = _rectangle(value, place, _ABSENT)
            array = _numbers_of_list(flat, info, place).reshape(shape)
        # An empty batch ends a list before its inner sizes show.
        if array.size:
            _check_shape(array.shape, info, place)
    except (InvalidArgument, KeyError, TypeError, ValueError) as error:
        raise Internal(f"The server's answer does not fit its metadata: {error}") from error
    return array


def _checked_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} is no text")
    return value


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _plain(value: object) -> object:
    # Arrays of NumPy, columns and indices of pandas, tensors of other libraries.
    return value.tolist() if hasattr(value, "tolist") else value


def _rectangle(value: object, place: str, fill: object) -> tuple[list, tuple[int, ...]]:
    shape: list[int] = []
    flat = [_plain(value)]
    while any(map(_is_list, flat)):
        if len(shape) == _MAX_RANK:
            raise InvalidArgument(f"{place} is nested more than {_MAX_RANK} levels deep.")
        if not all(item is _ABSENT or _is_list(item) for item in flat):
            raise InvalidArgument(f"{place} is not rectangular: it has lists and single values side by side.")
        lengths = {0 if item is _ABSENT else len(item) for item in flat}
        if len(lengths) > 1 and fill is _ABSENT:
            several = ", ".join(map(str, sorted(lengths)))
            raise InvalidArgument(f"{place} is not rectangular: it has lists of the lengths {several}.")
        length = max(lengths)
        shape.append(length)
        flat = [
            part
            for item in flat
            for part in _filled([] if item is _ABSENT else [_plain(part) for part in item], length)
        ]
    return [fill if item is _ABSENT else item for item in flat], tuple(shape)


def _filled(values: list, length: int) -> list:
    return values + [_ABSENT] * (length - len(values))


def _objects(value: object, place: str, fill: object, convert: Callable) -> np.ndarray:
    flat, shape = _rectangle(value, place, fill)
    return _object_array([convert(item) for item in flat], shape)


def _object_array(values: list, shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(shape)


def _to_bytes(value: object, place: str) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise InvalidArgument(f"{place} takes strings (str or bytes), got {type(value).__name__}: {value!r:.60}")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{place} has a string with half of a surrogate pair.") from error


def _numbers_of_list(flat: list, info: TensorInfo, place: str) -> np.ndarray:
    if kinds := {type(value) for value in flat} - {int, float, bool, complex}:
        wrong = next(value for value in flat if type(value) in kinds)
        raise InvalidArgument(f"{place} takes numbers, got {type(wrong).__name__}: {wrong!r:.60}")
    if bool in map(type, flat) and not all(type(value) is bool for value in flat):
        raise InvalidArgument(f"{place} has booleans and numbers side by side.")
    if flat and info.kind.dtype.kind in "iu" and set(map(type, flat)) == {int}:
        # By way of NumPy's own choice of a type, large whole numbers would become floats.
        _check_range(min(flat), max(flat), info, place)
        return np.array(flat, info.kind.dtype)
    return _numbers(np.array(flat), info, place)


def _numbers(array: np.ndarray, info: TensorInfo, place: str) -> np.ndarray:
    target = info.kind.dtype
    allowed = {"b": "b", "i": "iu", "u": "iu", "c": "iufc"}.get(target.kind, "iuf")
    if array.size == 0:
        return array.astype(target)
    # Floats of other libraries, such as bfloat16, are of NumPy's kind V.
    is_float = array.dtype.kind == "V" and target.kind in "fcV"
    if array.dtype != target and array.dtype.kind not in allowed and not is_float:
        raise InvalidArgument(f"{place} takes {info.kind.name}, got {array.dtype}.")
    if target.kind in "iu":
        _check_range(int(array.min()), int(array.max()), info, place)
        return array.astype(target)
    with np.errstate(over="ignore"):
        converted = array.astype(target)
    if target.kind != "b" and not np.array_equal(np.isfinite(array), np.isfinite(converted)):
        raise InvalidArgument(f"{place} has a number that is too large for {info.kind.name}.")
    return converted


def _check_range(lowest: int, highest: int, info: TensorInfo, place: str) -> None:
    limits = np.iinfo(info.kind.dtype)
    if lowest < limits.min or highest > limits.max:
        wrong = lowest if lowest < limits.min else highest
        raise InvalidArgument(f"{place}: {wrong} does not fit in {info.kind.name}.")


def _check_shape(shape: tuple[int, ...], info: TensorInfo, place: str) -> None:
    if info.shape is None:
        return
    if len(shape) != len(info.shape) or any(known not in (None, size) for size, known in zip(shape, info.shape)):
        expected = [-1 if size is None else size for size in info.shape]
        raise InvalidArgument(
            f"{place} has the shape {list(shape)}, but the signature takes {expected} (-1 is any size)."
        )


def _names(names) -> str:
    return ", ".join(f"'{name}'" for name in names)
