"""Bodies of predict calls: both forms in and out, and one sentence per mistake."""

import base64
import json

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.serving.json_tensors import RequestError
from mmrec_tf.serving.rest_codec import decode_inputs, encode_json, encode_outputs, parse_predict_request

USER_AND_K = {
    "user_id": tf.TensorSpec([None], tf.string),
    "k": tf.TensorSpec([None], tf.int64),
}


def spec(dtype, shape=(None,)):
    return {"x": tf.TensorSpec(shape, dtype)}


def decode(document, specs):
    return decode_inputs(parse_predict_request(json.dumps(document).encode()), specs)


def encode(outputs, is_row_form):
    return json.loads(encode_outputs(outputs, is_row_form))


def strings(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


class TestParse:
    def test_reads_form_and_signature(self):
        request = parse_predict_request(b'{"signature_name": "rank", "inputs": {"x": [1]}}')
        assert (request.signature_name, request.is_row_form, request.values) == ("rank", False, {"x": [1]})

    def test_byte_order_mark_is_skipped(self):
        assert parse_predict_request(b'\xef\xbb\xbf{"instances": [1]}').values == [1]

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"", "empty"),
            (b"  \n", "empty"),
            (b"instances = [1]", "not valid JSON"),
            (b'{"instances": [1]', "not valid JSON"),
            (b'{"instances": ["\xff"]}', "not UTF-8"),
            (b"[1]", "must be a JSON object, got a list"),
            (b"{}", "got neither, but no key at all"),
            (b'{"rows": [1]}', "got neither, but 'rows'"),
            (b'{"instances": [1], "inputs": [1]}', "got both"),
            (b'{"signature_name": 3, "instances": [1]}', "'signature_name' must be a string, got a number"),
            (b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
            (b'{"instances": [' + b"9" * 5000 + b"]}", "not valid JSON"),
        ],
    )
    def test_refuses(self, body, message):
        with pytest.raises(RequestError, match=message) as caught:
            parse_predict_request(body)
        assert caught.value.status == 400


class TestForms:
    def test_rows_of_objects(self):
        arrays = decode({"instances": [{"user_id": "a", "k": 3}, {"k": 5, "user_id": "b"}]}, USER_AND_K)
        assert arrays["user_id"].tolist() == [b"a", b"b"]
        np.testing.assert_array_equal(arrays["k"], np.array([3, 5], np.int64), strict=True)

    def test_columns(self):
        arrays = decode({"inputs": {"user_id": ["a", "b"], "k": [3, 5]}}, USER_AND_K)
        assert arrays["user_id"].tolist() == [b"a", b"b"]
        assert arrays["k"].tolist() == [3, 5]

    @pytest.mark.parametrize("form", [{"instances": [[1, 2]]}, {"inputs": [[1, 2]]}, {"inputs": {"x": [[1, 2]]}}])
    def test_single_input_may_go_unnamed(self, form):
        array = decode(form, spec(tf.float32, (None, 2)))["x"]
        np.testing.assert_array_equal(array, np.array([[1, 2]], np.float32), strict=True)

    def test_single_input_may_be_named_in_rows(self):
        assert decode({"instances": [{"x": 1}, {"x": 2}]}, spec(tf.int64))["x"].tolist() == [1, 2]

    def test_scalar_input_in_columns(self):
        assert decode({"inputs": {"x": 7}}, spec(tf.int32, ()))["x"].shape == ()

    def test_optional_list_may_be_left_empty(self):
        specs = {"user_id": tf.TensorSpec([None], tf.string), "exclude": tf.TensorSpec([None, None], tf.string)}
        for form in ({"instances": [{"user_id": "a", "exclude": []}]}, {"inputs": {"user_id": ["a"], "exclude": [[]]}}):
            assert decode(form, specs)["exclude"].shape == (1, 0)

    @pytest.mark.parametrize(
        ("document", "message"),
        [
            ({"instances": {"user_id": "a", "k": 1}}, "must be a list of rows, got an object"),
            ({"instances": ["a"]}, "several inputs .'user_id', 'k'., so each row of 'instances' must be an object"),
            ({"inputs": ["a"]}, "so 'inputs' must be an object"),
            ({"instances": [{"user_id": "a"}]}, "Row 0 of 'instances' lacks 'k'; the signature takes"),
            ({"instances": [{"user_id": "a", "k": 1}, {"user_id": "b", "k": 1, "K": 2}]}, "Row 1 .* has unknown 'K'"),
            ({"instances": [{"user_id": "a", "k": 1}, 5]}, "Row 1 of 'instances' is a number, but row 0 is an object"),
            ({"inputs": {"user_id": ["a"]}}, "'inputs' lacks 'k'"),
            ({"inputs": {"user_id": ["a"], "k": [1], "extra": [1]}}, "'inputs' has unknown 'extra'"),
            ({"inputs": {}}, "'inputs' lacks 'user_id', 'k'"),
            ({"instances": []}, "Empty batch: 'instances' has no row"),
            ({"inputs": {"user_id": [], "k": []}}, "Empty batch: 'user_id', 'k' has no row"),
            ({"inputs": {"user_id": ["a", "b"], "k": [1]}}, "Batch sizes differ: 'user_id' has 2, 'k' has 1"),
        ],
    )
    def test_refuses(self, document, message):
        with pytest.raises(RequestError, match=message):
            decode(document, USER_AND_K)

    def test_refuses_objects_among_plain_rows(self):
        with pytest.raises(RequestError, match="Row 1 of 'instances' is an object, but row 0 is a plain value"):
            decode({"instances": [1, {"x": 2}]}, spec(tf.int64))

    def test_refuses_signature_without_inputs(self):
        with pytest.raises(RequestError, match="no inputs"):
            decode({"instances": [1]}, {})


class TestOutputs:
    def test_single_output_goes_unnamed(self):
        outputs = {"score": np.array([[0.5], [2.0]], np.float32)}
        assert encode(outputs, is_row_form=True) == {"predictions": [[0.5], [2.0]]}
        assert encode(outputs, is_row_form=False) == {"outputs": [[0.5], [2.0]]}

    def test_several_outputs(self):
        outputs = {"name": strings(b"a", b"b"), "n": np.array([1, 2], np.int64)}
        rows = [{"name": "a", "n": 1}, {"name": "b", "n": 2}]
        assert encode(outputs, is_row_form=True) == {"predictions": rows}
        assert encode(outputs, is_row_form=False) == {"outputs": {"name": ["a", "b"], "n": [1, 2]}}

    def test_scalar_output_in_columns(self):
        assert encode({"n": np.asarray(np.int64(3))}, is_row_form=False) == {"outputs": 3}

    def test_only_names_in_bytes_are_base64(self):
        outputs = {"image_bytes": strings(b"\x00\xff\x10"), "title": strings("Zoë".encode())}
        assert encode(outputs, is_row_form=True) == {"predictions": [{"image_bytes": {"b64": "AP8Q"}, "title": "Zoë"}]}

    def test_numbers_are_written_short_and_exact(self):
        # 0.1 as float32 is 0.100000001490116...; its shortest text is 0.1. 2^24 + 2 needs all of float32's digits.
        values = np.array([0.1, 1 / 3, 16_777_218.0, 1e-30], np.float32)
        text = encode_outputs({"x": values}, is_row_form=False)
        assert text == b'{"outputs":[0.1,0.33333334,16777218.0,1e-30]}'
        np.testing.assert_array_equal(np.array(json.loads(text)["outputs"], np.float32), values)

    def test_whole_floats_keep_their_point(self):
        assert encode_outputs({"x": np.array([2.0], np.float64)}, is_row_form=False) == b'{"outputs":[2.0]}'

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_non_finite_numbers_are_bare_tokens(self, dtype):
        outputs = {"x": np.array([np.nan, np.inf, -np.inf], dtype)}
        assert encode_outputs(outputs, is_row_form=True) == b'{"predictions": [NaN, Infinity, -Infinity]}'

    @pytest.mark.parametrize("other", [1.0, np.nan])
    def test_numbers_are_the_same_beside_one_that_is_not_finite(self, other):
        outputs = {
            "a": np.array([[0.1, 1 / 3], [16_777_218.0, 1e-30]], np.float32).T,
            "b": np.array([2**63 - 1, -5], np.int64),
            "c": np.array([0.1, 1e300]),
            "d": np.array([True, False]),
            "other": np.array([other, other], np.float32),
        }
        rows = encode(outputs, is_row_form=True)["predictions"]
        assert [row["a"] for row in rows] == [[0.1, 16_777_218.0], [0.33333334, 1e-30]]
        assert [(row["b"], row["c"], row["d"]) for row in rows] == [(2**63 - 1, 0.1, True), (-5, 1e300, False)]
        assert [type(value) for value in rows[1].values()] == [list, int, float, bool, float]

    def test_booleans_and_empty_lists(self):
        outputs = {"flag": np.array([True]), "ids": np.empty((1, 0), dtype=object)}
        assert encode(outputs, is_row_form=True) == {"predictions": [{"flag": True, "ids": []}]}

    @pytest.mark.parametrize(
        ("outputs", "message"),
        [
            ({"a": np.zeros(2), "b": np.zeros(3)}, "share no batch dimension"),
            ({"a": np.zeros(2), "b": np.array(1.0)}, "share no batch dimension"),
            ({"a": np.zeros(1, np.float16)}, "Output 'a' is float16.*cast it in the model"),
            ({"a": strings(b"\xff")}, "Output 'a' holds bytes that are not UTF-8; .*'a_bytes'"),
        ],
    )
    def test_refuses(self, outputs, message):
        with pytest.raises(RequestError, match=message):
            encode_outputs(outputs, is_row_form=True)

    def test_outputs_of_unlike_sizes_go_in_columns(self):
        assert encode({"a": np.zeros(2), "b": np.array(1.0)}, is_row_form=False) == {
            "outputs": {"a": [0.0, 0.0], "b": 1.0}
        }

    def test_bytes_survive_the_round_trip(self):
        every_byte = bytes(range(256))
        sent = {"instances": [{"b64": base64.b64encode(every_byte).decode()}]}
        decoded = decode(sent, spec(tf.string))["x"]
        assert encode({"x_bytes": decoded}, is_row_form=True) == {"predictions": sent["instances"]}


def test_json_of_a_half_surrogate_is_still_utf8():
    assert encode_json({"error": "\ud800"}) == b'{"error": "?"}'
