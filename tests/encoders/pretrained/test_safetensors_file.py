"""The safetensors format, byte by byte."""

import json
import struct

import numpy as np
import pytest

from mmrec_tf.encoders.pretrained.safetensors_file import read_safetensors
from mmrec_tf.errors import EncoderError


def written(header, body):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(start, end, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def test_tensors_by_name():
    # Two halves (1.5 and -2 are 3E00 and C000 in IEEE 754) after three 64-bit numbers.
    body = struct.pack("<3q", 1, 2, 3) + b"\x00\x3e\x00\xc0"
    header = {
        "__metadata__": {"format": "pt"},
        "ids": entry(0, 24, (1, 3), "I64"),
        "halves": entry(24, 28, (2,), "F16"),
        "nothing": entry(28, 28, (0, 4)),
    }
    found = read_safetensors(written(header, body))
    assert set(found) == {"ids", "halves", "nothing"} and found["nothing"].shape == (0, 4)
    np.testing.assert_array_equal(found["ids"], [[1, 2, 3]])
    np.testing.assert_array_equal(found["halves"], np.float16([1.5, -2.0]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x00",
        struct.pack("<Q", 1 << 60) + b"{}",
        written([], b""),
        written({"a": entry(0, 8)}, b"1234567"),
        written({"a": entry(0, 4)}, b"12345678"),
        written({"a": entry(-8, 0)}, b"12345678"),
        written({"a": entry(0, 8, dtype="BF16")}, b"12345678"),
        written({"a": {"dtype": "F32"}}, b""),
        written({"a": 1}, b""),
    ],
)
def test_damaged_files_are_refused(data):
    with pytest.raises(EncoderError, match="not a readable safetensors file"):
        read_safetensors(data)
