"""Reads the safetensors format: a JSON header, then the tensors' bytes."""

import json
import math
import struct

import numpy as np

from mmrec_tf.errors import EncoderError

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
_LENGTH_BYTES = 8


def read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a file by name, as read-only views of `data`.

    Raises:
        EncoderError: if the file is damaged, or a tensor is of a type that NumPy does not have.

    Reference: https://github.com/huggingface/safetensors
    """
    try:
        (length,) = struct.unpack_from("<Q", data)
        if length > len(data):
            raise ValueError(f"a header of {length} bytes in a file of {len(data)}")
        header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        header.pop("__metadata__", None)
        body = memoryview(data)[_LENGTH_BYTES + length :]
        return {name: _tensor(body, entry) for name, entry in header.items()}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EncoderError(f"not a readable safetensors file: {type(error).__name__}: {error}.") from error


def _tensor(body: memoryview, entry: dict) -> np.ndarray:
    kind = np.dtype(_TYPES[entry["dtype"]])
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= len(body) or end - start != math.prod(entry["shape"]) * kind.itemsize:
        raise ValueError(f"offsets {start} to {end} do not fit a tensor of shape {entry['shape']}")
    return np.frombuffer(body[start:end], kind).reshape(entry["shape"])
