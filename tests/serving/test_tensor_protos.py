"""Tensor messages against TensorFlow's own reading and writing of them, and what must not be believed."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from mmrec_tf.serving.tensor_protos import TYPES, TensorError, array_to_tensor, tensor_to_array

MANY = 2**20
NUMBERS = {
    "float32": [1.5, -0.1, np.inf, np.nan],
    "float64": [1.5, -0.1, -np.inf, np.nan],
    "float16": [1.5, -0.25, np.inf, np.nan],
    "int8": [-128, 127, 0, 1],
    "int16": [-32768, 32767, 0, 1],
    "int32": [-(2**31), 2**31 - 1, 0, 1],
    "int64": [-(2**63), 2**63 - 1, 0, 1],
    "uint8": [0, 255, 1, 2],
    "uint16": [0, 65535, 1, 2],
    "uint32": [0, 2**32 - 1, 1, 2],
    "uint64": [0, 2**64 - 1, 1, 2],
    "bool": [True, False, True, True],
    "complex64": [1 + 2j, -1j, 0, 3],
    "complex128": [1 + 2j, -1j, 0, 3],
}


def dtype_of(name):
    return tf.bfloat16.as_numpy_dtype if name == "bfloat16" else np.dtype(name)


def message(dtype=tf.float32, shape=(), **fields):
    sizes = [{"size": size} for size in shape]
    return tensor_pb2.TensorProto(dtype=tf.as_dtype(dtype).as_datatype_enum, tensor_shape={"dim": sizes}, **fields)


def assert_same(found, expected):
    assert found.dtype == expected.dtype
    # NumPy takes bfloat16's NaN for a value like others.
    as_known = (lambda array: array.astype(np.float32)) if expected.dtype.kind == "V" else np.asarray
    np.testing.assert_array_equal(as_known(found), as_known(expected))


@pytest.mark.parametrize("name", [*NUMBERS, "bfloat16"])
class TestEveryNumber:
    def values(self, name):
        return np.array(NUMBERS.get(name, [1.5, -0.25, np.inf, np.nan]), dtype_of(name)).reshape(2, 2)

    @pytest.mark.parametrize("raw", [False, True])
    def test_tensorflow_reads_what_is_written(self, name, raw):
        written = tensor_pb2.TensorProto()
        array_to_tensor(self.values(name), written, raw=raw)
        assert bool(written.tensor_content) == raw
        assert_same(tf.make_ndarray(written), self.values(name))

    def test_what_tensorflow_writes_is_read(self, name):
        read = tensor_to_array(tf.make_tensor_proto(self.values(name)), MANY)
        assert read.dtype == dtype_of(name)
        assert_same(read, self.values(name))

    def test_values_in_their_fields_are_read(self, name):
        written = tensor_pb2.TensorProto()
        array_to_tensor(self.values(name), written)
        assert_same(tensor_to_array(written, MANY), self.values(name))

    def test_a_value_that_ends_early_goes_on_as_in_tensorflow(self, name):
        # One 1 for three places.
        written = tensor_pb2.TensorProto()
        array_to_tensor(np.ones([1], dtype_of(name)), written)
        written.tensor_shape.dim[0].size = 3
        expected = tf.io.parse_tensor(written.SerializeToString(), tf.as_dtype(dtype_of(name))).numpy()
        assert_same(tensor_to_array(written, MANY), expected)
        assert_same(expected, np.ones(3, dtype_of(name)))


def test_type_numbers_are_tensorflows():
    from tensorflow.core.framework import types_pb2

    assert {name: types_pb2.DataType.Value(name) for name in TYPES} == {n: k.number for n, k in TYPES.items()}


def test_strings():
    array = np.array([["é".encode(), b""], [b"\xff\x00", b"a"]], object)
    for raw in (False, True):
        written = tensor_pb2.TensorProto()
        array_to_tensor(array, written, raw=raw)
        assert tf.make_ndarray(written).tolist() == array.tolist()
        assert tensor_to_array(written, MANY).tolist() == array.tolist()


@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (0, 3)])
def test_scalars_and_empty_tensors(shape):
    for array in (np.zeros(shape, np.float32), np.full(shape, b"", object)):
        for raw in (False, True):
            written = tensor_pb2.TensorProto()
            array_to_tensor(array, written, raw=raw)
            read = tensor_to_array(written, MANY)
            assert read.shape == shape and read.dtype == array.dtype
            assert tf.make_ndarray(written).shape == shape


def test_no_values_are_zeros_as_in_tensorflow():
    # TensorFlow's C++ clients leave zeros out.
    for dtype, zero in ((tf.float32, 0), (tf.int64, 0), (tf.string, b""), (tf.bool, False), (tf.half, 0)):
        empty = message(dtype, (2,))
        assert tensor_to_array(empty, MANY).tolist() == [zero, zero]
        assert tf.io.parse_tensor(empty.SerializeToString(), dtype).numpy().tolist() == [zero, zero]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (tensor_pb2.TensorProto(), "has the type number 0"),
        (message(tf.resource, (1,)), "has the type number 20"),
        (tensor_pb2.TensorProto(dtype=101), "has the type number 101"),
        (message(tf.qint8, (1,)), "has the type number 11"),
        (tensor_pb2.TensorProto(dtype=1, tensor_shape={"unknown_rank": True}), "unknown rank"),
        (message(shape=[1] * 33), "has 33 dimensions; at most 32"),
        (message(shape=[-1]), r"has the shape \[-1\]; no size .* negative"),
        (message(shape=[2, -3], float_val=[1.0]), "negative"),
        (message(shape=[2], float_val=[1, 2, 3]), "with room for 2 values, but 3 in float_val"),
        (message(shape=[0], float_val=[1]), "with room for 0 values, but 1"),
        (message(tf.complex64, [1], scomplex_val=[1, 2, 3]), "with room for 1 values"),
        (message(shape=[2], tensor_content=b"1234567"), "has 7 bytes in tensor_content, but .* take 8"),
        (message(shape=[0], tensor_content=b"1234"), "take 0"),
        (message(tf.string, [1], tensor_content=b"\x01a"), "send them in string_val"),
        (message(tf.int8, [2], int_val=[1, 128]), r"has the value 128, which is no int8 \(-128 to 127\)"),
        (message(tf.uint8, [1], int_val=[-1]), "has the value -1, which is no uint8"),
        (message(tf.half, [1], half_val=[65536]), "has the value 65536"),
    ],
)
def test_messages_that_contradict_themselves(made, said):
    with pytest.raises(TensorError, match=said):
        tensor_to_array(made, MANY)


@pytest.mark.parametrize("dtype", [tf.float32, tf.string, tf.bool, tf.complex128, tf.bfloat16])
@pytest.mark.parametrize("shape", [[2**40], [2**62, 2**62], [2**20, 2**20], [2**63 - 1], [0, 2**62], [2**40, 0]])
def test_sizes_are_not_believed(dtype, shape):
    # A message of some bytes that would take a terabyte.
    with pytest.raises(TensorError, match="takes more than the 1048576 bytes allowed"):
        tensor_to_array(message(dtype, shape), MANY)


def test_the_limit_is_one_of_bytes():
    assert tensor_to_array(message(tf.float32, [MANY // 4]), MANY).shape == (MANY // 4,)
    with pytest.raises(TensorError, match="takes more"):
        tensor_to_array(message(tf.float32, [MANY // 4 + 1]), MANY)


def test_a_byte_that_is_no_boolean():
    assert tensor_to_array(message(tf.bool, [3], tensor_content=b"\x00\x01\x07"), MANY).tolist() == [False, True, True]


def test_types_that_cannot_be_written():
    with pytest.raises(TensorError, match="has the type datetime64"):
        array_to_tensor(np.array(["2026-01-01"], "datetime64[D]"), tensor_pb2.TensorProto())
