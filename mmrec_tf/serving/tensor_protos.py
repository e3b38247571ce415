"""TensorFlow's tensor messages to arrays and back, with NumPy alone.

The gRPC client must start without TensorFlow, which takes seconds to import, and the gRPC server must not trust what it
is sent: TensorFlow's own `make_ndarray` believes the shape of a message and allocates what it asks for. Both work on
any message with the fields of `tensorflow.TensorProto`.

Source: tensorflow/core/framework/tensor.proto and types.proto.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmrec_tf.errors import ServingError

# The highest rank that NumPy 1 can hold.
_MAX_RANK = 32


class TensorError(ServingError):
    """A tensor message contradicts itself, or asks for more memory than is allowed."""


@dataclass(frozen=True)
class TensorType:
    """A type of tensor: its number and name in messages, and where its values stand.

    Args:
        number: int. Value of `tensorflow.DataType`.
        name: str. NumPy's name for it, `"string"` for strings.
        field: str. Field of `TensorProto` that holds its values when they are not raw bytes.
    """

    number: int
    name: str
    field: str

    @property
    def is_string(self) -> bool:
        """True for strings, whose arrays hold objects."""
        return self.name == "string"

    @cached_property
    def dtype(self) -> np.dtype:
        """NumPy's type; `object` for strings."""
        if self.is_string:
            return np.dtype(object)
        if self.name == "bfloat16":
            import ml_dtypes

            return np.dtype(ml_dtypes.bfloat16)
        return np.dtype(self.name)


TYPES = {
    f"DT_{word}": TensorType(number, name, field)
    for word, number, name, field in (
        ("FLOAT", 1, "float32", "float_val"),
        ("DOUBLE", 2, "float64", "double_val"),
        ("INT32", 3, "int32", "int_val"),
        ("UINT8", 4, "uint8", "int_val"),
        ("INT16", 5, "int16", "int_val"),
        ("INT8", 6, "int8", "int_val"),
        ("STRING", 7, "string", "string_val"),
        ("COMPLEX64", 8, "complex64", "scomplex_val"),
        ("INT64", 9, "int64", "int64_val"),
        ("BOOL", 10, "bool", "bool_val"),
        ("BFLOAT16", 14, "bfloat16", "half_val"),
        ("UINT16", 17, "uint16", "int_val"),
        ("COMPLEX128", 18, "complex128", "dcomplex_val"),
        ("HALF", 19, "float16", "half_val"),
        ("UINT32", 22, "uint32", "uint32_val"),
        ("UINT64", 23, "uint64", "uint64_val"),
    )
}
"""Types that tensors can be sent in, by their name in `tensorflow.DataType`."""

_TYPE_OF_NUMBER = {kind.number: kind for kind in TYPES.values()}


def type_of_number(number: int) -> TensorType | None:
    """The type with this number, or None where tensors of it cannot be sent."""
    return _TYPE_OF_NUMBER.get(number)


def shape_of(shape) -> tuple[int, ...]:
    """The sizes of a `TensorShapeProto` that describes a tensor at hand.

    Raises:
        TensorError: if the rank or a size is unknown or negative, or there are too many dimensions.
    """
    if shape.unknown_rank:
        raise TensorError("has a shape of unknown rank; a tensor that is sent has a known one")
    if len(shape.dim) > _MAX_RANK:
        raise TensorError(f"has {len(shape.dim)} dimensions; at most {_MAX_RANK} can be held")
    sizes = tuple(dim.size for dim in shape.dim)
    if any(size < 0 for size in sizes):
        raise TensorError(f"has the shape {list(sizes)}; no size of a tensor that is sent can be negative")
    return sizes


def tensor_to_array(message, max_bytes: int) -> np.ndarray:
    """Turns a tensor message into an array.

    As in TensorFlow, values that are not given are the last one that is, or zeros where none is given.

    Args:
        message: a `TensorProto`.
        max_bytes: int. Most memory that the array may take. A message of a few bytes can describe one of any size.

    Returns:
        Array of the message's type and shape; strings are an object array of `bytes`.

    Raises:
        TensorError: if the type is none that can be sent, the shape none that can be held in `max_bytes`, or if values
            do not fit the shape or the type. The sentence lacks its subject, which the caller knows.
    """
    kind = _TYPE_OF_NUMBER.get(message.dtype)
    if kind is None:
        raise TensorError(f"has the type number {message.dtype}; known are {_known_types()}")
    shape = shape_of(message.tensor_shape)
    size = math.prod(shape)
    # Dimensions of none hide the others: [0, 10**12] holds nothing, yet what is computed from its sizes may be huge.
    if math.prod(filter(None, shape)) * kind.dtype.itemsize > max_bytes:
        raise TensorError(f"has the shape {list(shape)}, which takes more than the {max_bytes} bytes allowed")
    if message.tensor_content:
        return _from_content(message.tensor_content, kind, size).reshape(shape)
    values = getattr(message, kind.field)
    given = len(values) // 2 if kind.dtype.kind == "c" else len(values)
    if given > size or (kind.dtype.kind == "c" and len(values) % 2):
        raise TensorError(f"has the shape {list(shape)} with room for {size} values, but {given} in {kind.field}")
    array = np.full(size, b"" if kind.is_string else 0, kind.dtype)
    if given:
        array[:given] = _from_values(values, kind)
        array[given:] = array[given - 1]
    return array.reshape(shape)


def array_to_tensor(array: np.ndarray, message, raw: bool = False) -> None:
    """Writes an array into an empty tensor message.

    Args:
        array: numbers, booleans, or an object array of `bytes`.
        message: an empty `TensorProto`.
        raw: bool. Whether numbers are written as their bytes, which is quicker, or one by one in the field of their
            type, where clients of TensorFlow Serving look for them. Defaults to False.

    Raises:
        TensorError: if there is no such type of tensor.
    """
    kind = next((k for k in TYPES.values() if k.dtype == array.dtype), None)
    if kind is None:
        raise TensorError(f"has the type {array.dtype}; known are {_known_types()}")
    message.dtype = kind.number
    for size in array.shape:
        message.tensor_shape.dim.add(size=size)
    # A scalar has a shape too, of no dimension.
    message.tensor_shape.SetInParent()
    if raw and not kind.is_string:
        message.tensor_content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        return
    values = array.ravel()
    if kind.field == "half_val":
        values = values.view(np.uint16)
    elif kind.dtype.kind == "c":
        values = values.view(np.float32 if kind.name == "complex64" else np.float64)
    getattr(message, kind.field).extend(values.tolist())


def _from_content(content: bytes, kind: TensorType, size: int) -> np.ndarray:
    if kind.is_string:
        raise TensorError("has strings in tensor_content; send them in string_val")
    if len(content) != size * kind.dtype.itemsize:
        raise TensorError(
            f"has {len(content)} bytes in tensor_content, but its shape and type, {size} values of {kind.name}, take "
            f"{size * kind.dtype.itemsize}"
        )
    if kind.name == "bool":
        # Any other byte than 0 and 1 is no boolean that TensorFlow could be given.
        return np.frombuffer(content, np.uint8) != 0
    return np.frombuffer(content, kind.dtype.newbyteorder("<")).astype(kind.dtype, copy=False)


def _from_values(values: Iterable, kind: TensorType) -> np.ndarray:
    if kind.is_string:
        array = np.empty(len(values), object)
        array[:] = list(values)
        return array
    if kind.field == "int_val":
        return _fitting(values, np.iinfo(kind.dtype), kind.name).astype(kind.dtype)
    if kind.field == "half_val":
        return _fitting(values, np.iinfo(np.uint16), f"bits of {kind.name}").astype(np.uint16).view(kind.dtype)
    if kind.dtype.kind == "c":
        return np.array(values, np.float32 if kind.name == "complex64" else np.float64).view(kind.dtype)
    return np.array(values, kind.dtype)


def _fitting(values: Iterable[int], limits: np.iinfo, name: str) -> np.ndarray:
    array = np.array(values, np.int64)
    wrong = array[(array < limits.min) | (array > limits.max)]
    if wrong.size:
        raise TensorError(f"has the value {wrong[0]}, which is no {name} ({limits.min} to {limits.max})")
    return array


def _known_types() -> str:
    return ", ".join(f"{kind.number} ({kind.name})" for kind in TYPES.values())
