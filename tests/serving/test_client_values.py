"""Python values of all sorts as a signature's arrays."""

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.serving.client_errors import InvalidArgument
from mmrec_tf.serving.client_metadata import SignatureInfo, TensorInfo
from mmrec_tf.serving.client_requests import complete
from mmrec_tf.serving.client_values import to_array
from mmrec_tf.serving.tensor_protos import TYPES


def info(kind, *shape):
    return TensorInfo(TYPES[f"DT_{kind}"], shape)


@pytest.mark.parametrize(
    "value",
    [
        ["a", "b"],
        ("a", "b"),
        [b"a", "b"],
        np.array(["a", "b"]),
        np.array([b"a", b"b"]),
        np.array(["a", b"b"], object),
        pd.Series(["a", "b"]),
        pd.Index(["a", "b"]),
        [np.str_("a"), np.bytes_(b"b")],
    ],
)
def test_strings(value):
    array = to_array(value, info("STRING", None), "x")
    assert array.tolist() == [b"a", b"b"] and array.dtype == object
    assert all(type(item) in (bytes, np.bytes_) for item in array)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([["a"], [], ["b", "c"]], [["a", ""], ["", ""], ["b", "c"]]),
        ([[], []], np.empty((2, 0)).tolist()),
        ([pd.Series(["a"]), ("b", "c")], [["a", ""], ["b", "c"]]),
    ],
)
def test_lists_of_strings_are_filled(value, expected):
    array = to_array(value, info("STRING", None, None), "x")
    assert array.tolist() == [[word.encode() for word in row] for row in expected]


def test_three_levels():
    array = to_array([[["a"], ["b", "c"]], []], info("STRING", None, None, None), "x")
    assert array.tolist() == [[[b"a", b""], [b"b", b"c"]], [[b"", b""], [b"", b""]]]


@pytest.mark.parametrize("value", [[1, 2], (1.0, 2), np.array([1, 2]), pd.Series([1, 2]), np.float64([1, 2])])
def test_numbers(value):
    np.testing.assert_array_equal(to_array(value, info("FLOAT", None), "x"), np.array([1, 2], np.float32), strict=True)


def test_numbers_are_not_filled_unless_told():
    with pytest.raises(InvalidArgument, match="lists of the lengths 1, 2"):
        to_array([[1.0], [1.0, 2.0]], info("FLOAT", None, None), "x")
    filled = to_array([[1.0], [1.0, 2.0]], info("FLOAT", None, None), "x", float("nan"))
    np.testing.assert_array_equal(filled, np.array([[1, np.nan], [1, 2]], np.float32))


@pytest.mark.parametrize("kind", ["INT8", "UINT8", "INT64", "UINT64"])
def test_whole_numbers_at_their_limits(kind):
    limits = np.iinfo(TYPES[f"DT_{kind}"].dtype)
    for value in ([limits.min, limits.max], np.array([limits.min, limits.max], TYPES[f"DT_{kind}"].dtype)):
        assert to_array(value, info(kind, None), "x").tolist() == [limits.min, limits.max]
    for wrong in (limits.min - 1, limits.max + 1):
        with pytest.raises(InvalidArgument, match=f"{wrong} does not fit in"):
            to_array([0, wrong], info(kind, None), "x")


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ([1 + 2j], "FLOAT", "takes float32, got complex128"),
        ([1.5], "BOOL", "takes bool, got float64"),
        ([1], "BOOL", "takes bool, got int64"),
        ([True], "FLOAT", "takes float32, got bool"),
        ({"a": 1}, "FLOAT", "takes numbers, got dict"),
        ([None], "STRING", "takes strings .str or bytes., got NoneType: None"),
        (["2026-01-01", 5], "STRING", "got int: 5"),
        ([1e400], "DOUBLE", None),
        ([-1e39], "FLOAT", "too large for float32"),
    ],
)
def test_other_types(value, kind, message):
    if message is None:
        assert np.isinf(to_array(value, info(kind, None), "x")).all()
        return
    with pytest.raises(InvalidArgument, match=f"Input 'x'.*{message}"):
        to_array(value, info(kind, None), "x")


def test_nesting_without_end():
    value = []
    for _ in range(100):
        value = [value]
    with pytest.raises(InvalidArgument, match="more than 32 levels deep"):
        to_array(value, TensorInfo(TYPES["DT_FLOAT"], None), "x")


def test_types_that_cannot_be_sent():
    with pytest.raises(InvalidArgument, match="a type that cannot be sent"):
        to_array([1], TensorInfo(None, None), "x")


def test_only_what_may_say_nothing_is_filled_in():
    signature = SignatureInfo(
        {
            "user_id": info("STRING", None),
            "tags": info("STRING", None, None),
            "hour": info("FLOAT", None, None),
            "country": info("STRING", None),
            "k": info("INT32", None),
            "pair": info("FLOAT", None, 2),
            "own": info("STRING", None),
        },
        {},
        optional=frozenset({"own"}),
    )
    filled = complete({"user_id": ["a", "b"]}, signature, 2)
    assert set(filled) == {"user_id", "tags", "hour", "country"}
    assert filled["country"] == ["", ""] and filled["tags"].shape == filled["hour"].shape == (2, 0)
