"""JSON values to arrays: every type and shape that passes, and one sentence for each that does not."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.serving.json_tensors import RequestError, array_to_json, json_to_array


def convert(value, dtype, shape=(None,)):
    return json_to_array(value, tf.TensorSpec(shape, dtype), "x")


class TestValues:
    @pytest.mark.parametrize(
        ("dtype", "values", "expected"),
        [
            (tf.float32, [0.5, 2, -1e10], np.array([0.5, 2.0, -1e10], np.float32)),
            # 2^24 - 1, the largest whole number whose neighbours float32 also holds
            (tf.float32, [16_777_215], np.array([16_777_215], np.float32)),
            (tf.float64, [1e300], np.array([1e300], np.float64)),
            (tf.int8, [-128, 127], np.array([-128, 127], np.int8)),
            (tf.int64, [2**63 - 1], np.array([2**63 - 1], np.int64)),
            (tf.uint64, [2**64 - 1], np.array([2**64 - 1], np.uint64)),
            (tf.bool, [True, False], np.array([True, False])),
        ],
    )
    def test_converts(self, dtype, values, expected):
        np.testing.assert_array_equal(convert(values, dtype), expected, strict=True)

    def test_non_finite_numbers(self):
        array = convert([float("nan"), float("inf"), float("-inf")], tf.float32)
        assert np.isnan(array[0]) and array[1:].tolist() == [float("inf"), float("-inf")]

    def test_text_and_bytes(self):
        # base64 of the bytes 00 ff 10 is "AP8Q"; of 00 ff it is "AP8=", whose padding may be left out.
        values = ["Zoë", {"b64": "AP8Q"}, {"b64": "AP8="}, {"b64": "AP8"}, {"b64": ""}]
        array = convert(values, tf.string)
        assert array.tolist() == ["Zoë".encode(), b"\x00\xff\x10", b"\x00\xff", b"\x00\xff", b""]

    @pytest.mark.parametrize(
        ("dtype", "value", "message"),
        [
            (tf.int64, "5", 'takes whole numbers .int64., got a string: "5"'),
            (tf.int64, 5.0, "takes whole numbers .int64., got a number: 5.0"),
            (tf.int64, True, "got a boolean: true"),
            (tf.int64, 2**63, "9223372036854775808 does not fit in int64"),
            (tf.uint8, -1, "-1 does not fit in uint8"),
            (tf.float32, "0.5", "takes numbers .float32., got a string"),
            (tf.float32, None, "got null"),
            (tf.float32, 2**24, "16777216 does not fit in float32 without loss"),
            (tf.float32, 1e39, "does not fit in float32"),
            (tf.float32, 10**400, "does not fit in float32"),
            (tf.bool, 1, "takes booleans, got a number: 1"),
            (tf.string, 5, "takes strings, .* got a number: 5"),
            (tf.string, {"b64": "@@"}, "not base64"),
            (tf.string, {"b64": "A"}, "not base64"),
            (tf.string, {"b64": "é"}, "not base64"),
            (tf.string, {"b64": 5}, "got an object"),
            (tf.string, {"b64": "AP8Q", "x": 1}, "got an object"),
            (tf.string, "\ud800", "half of a surrogate pair"),
            (tf.complex64, 1, "has the type complex64, which cannot be sent as JSON"),
        ],
    )
    def test_refuses(self, dtype, value, message):
        with pytest.raises(RequestError, match=f"Input 'x'.*{message}"):
            convert([value], dtype)

    def test_long_value_is_cut_in_the_message(self):
        with pytest.raises(RequestError) as caught:
            convert(["x" * 10_000], tf.int64)
        assert len(str(caught.value)) < 200


class TestShapes:
    def test_keeps_nesting(self):
        array = convert([[[1, 2], [3, 4]]], tf.int64, (None, None, 2))
        assert array.tolist() == [[[1, 2], [3, 4]]]

    def test_unknown_rank_takes_any(self):
        assert convert([[[1]]], tf.int64, None).shape == (1, 1, 1)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ([[1, 2, 3]], r"has the shape \[1, 3\], but the signature takes \[-1, 2\]"),
            ([1, 2], r"has the shape \[2\], but"),
            (1, r"has the shape \[\], but"),
            ([[[1, 2]]], r"has the shape \[1, 1, 2\], but"),
            ([[1, 2], [3]], "not rectangular: a list of length 1 where a list of length 2 came first"),
            ([[1, 2], 3], "not rectangular: a number where a list"),
        ],
    )
    def test_refuses(self, value, message):
        with pytest.raises(RequestError, match=f"Input 'x' .*{message}"):
            convert(value, tf.int64, (None, 2))

    def test_refuses_deeper_nesting_than_any_tensor(self):
        value = 1
        for _ in range(40):
            value = [value]
        with pytest.raises(RequestError, match="more than 32 levels deep"):
            convert(value, tf.int64, None)


def test_output_keeps_its_nesting():
    array = np.empty((2, 1), dtype=object)
    array[:, 0] = [b"a", b"\x00"]
    assert array_to_json(array, "title") == [["a"], ["\x00"]]
    # base64 of "a" is "YQ==", of a zero byte "AA==".
    assert array_to_json(array, "title_bytes") == [[{"b64": "YQ=="}], [{"b64": "AA=="}]]
