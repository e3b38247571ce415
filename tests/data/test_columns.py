import datetime

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.data.columns import (
    parse_ids,
    parse_lists,
    parse_numbers,
    parse_text,
    parse_timestamps,
    parse_vectors,
)

# 2024-01-31 00:00:00 UTC: 54 years since 1970 with 13 leap days, and 30 days, are 54 * 365 + 13 + 30 = 19753 days.
DAY = 19753 * 86400.0


def _objects(*values) -> pd.Series:
    return pd.Series(list(values), dtype=object)


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (pd.Series([1, 20]), ["1", "20"]),
        (pd.Series([1.0, np.nan, 20.0]), ["1", "", "20"]),
        (pd.Series([1, None], dtype="Int64"), ["1", ""]),
        (pd.Series(["007", "NA", "None", " x "]), ["007", "NA", "None", " x "]),
        (pd.Series(["1.0", "", "20.0"]), ["1", "", "20"]),
        (pd.Series(["1.0", "1.5"]), ["1.0", "1.5"]),
        (pd.Series(["01.0", "2.0"]), ["01.0", "2.0"]),
        (_objects(1.0, "b", None, np.int64(3), b"d"), ["1", "b", "", "3", "d"]),
        (pd.Series(["a", "b"], dtype="category"), ["a", "b"]),
        (pd.Series([2**62 + 1]), [str(2**62 + 1)]),
    ],
)
def test_ids(series, expected):
    assert parse_ids(series).tolist() == expected


def test_text_of_lists_and_missing_cells():
    assert parse_text(_objects(["a", "b"], None, pd.NA, pd.NaT, np.nan, 1.5)).tolist() == ["a b", "", "", "", "", "1.5"]


def test_numbers_tell_missing_from_wrong():
    numbers, bad = parse_numbers(pd.Series(["1", " 2.5 ", "", "NA", "nan", "inf", "1e39", "12,5", "true", "False"]))
    np.testing.assert_array_equal(numbers, [1, 2.5, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 1, 0])
    # 1e39 is finite as float64, but beyond the largest float32, 3.4e38.
    assert bad.tolist() == [False, False, False, False, False, True, True, True, False, False]


def test_cells_that_are_no_numbers_are_judged_by_their_distinct_words(monkeypatch):
    # Each look at one cell of a Series takes microseconds, and a column may be empty in millions of rows.
    looks = []
    monkeypatch.setattr(pd.Series, "__getitem__", lambda series, key: looks.append(key))
    numbers, bad = parse_numbers(pd.Series(["", "TRUE", "x", " false ", "7"] * 100))
    monkeypatch.undo()
    np.testing.assert_array_equal(numbers, [np.nan, 1, np.nan, 0, 7] * 100)
    assert bad.tolist() == [False, False, True, False, False] * 100
    assert looks == []


def test_whole_numbers_and_none_as_objects():
    # As a Parquet column of integers with a null is read.
    series = _objects(3, None, 2**60 + 1)
    assert parse_ids(series).tolist() == ["3", "", str(2**60 + 1)]
    numbers, bad = parse_numbers(series)
    np.testing.assert_allclose(numbers, [3, np.nan, 2.0**60], rtol=1e-12)
    assert not bad.any()
    np.testing.assert_array_equal(parse_timestamps(_objects(int(DAY) * 1000, None)), [DAY, np.nan])


def test_numbers_of_numeric_columns():
    numbers, bad = parse_numbers(pd.Series([1.0, np.nan, -np.inf]))
    np.testing.assert_array_equal(numbers, [1.0, np.nan, np.nan])
    assert bad.tolist() == [False, False, True]


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9], ids=["s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", [int, float, str])
def test_unit_of_numbers_follows_from_their_size(factor, kind):
    series = pd.Series([kind(int(DAY) * factor), kind((int(DAY) + 60) * factor)])
    np.testing.assert_allclose(parse_timestamps(series), [DAY, DAY + 60], rtol=0, atol=1e-6)


def test_one_broken_number_changes_no_unit():
    series = pd.Series([DAY, DAY, 9.9e18])
    np.testing.assert_array_equal(parse_timestamps(series), [DAY, DAY, np.nan])


@pytest.mark.parametrize(
    "cell",
    [
        "2024-01-31",
        "20240131",
        20240131,
        20240131000000,
        "20240131000000",
        "2024-01-31T00:00:00Z",
        "2024-01-31 02:00:00+02:00",
        "2024-01-30T19:00:00-05:00",
        datetime.date(2024, 1, 31),
        datetime.datetime(2024, 1, 31),
        pd.Timestamp("2024-01-31", tz="UTC"),
        np.datetime64("2024-01-31"),
    ],
    ids=str,
)
def test_dates_and_times(cell):
    assert parse_timestamps(_objects(cell)).tolist() == [DAY]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_datetime_columns_of_any_resolution(unit):
    series = pd.Series(np.array(["2024-01-31", "NaT"], dtype=f"datetime64[{unit}]"))
    np.testing.assert_array_equal(parse_timestamps(series), [DAY, np.nan])


@pytest.mark.parametrize(
    "series",
    [
        _objects("9999-12-31", "2024-01-31"),
        _objects(datetime.date(9999, 12, 31), datetime.date(2024, 1, 31)),
        pd.Series(np.array(["9999-12-31", "2024-01-31"], dtype="datetime64[s]")),
    ],
    ids=["text", "dates", "datetimes"],
)
def test_a_date_after_all_moments_stands_for_none(series):
    # 1e11 seconds, 3,168 years of 365.25 days, are the most since 1970.
    np.testing.assert_array_equal(parse_timestamps(series), [np.nan, DAY])


def test_datetime_column_with_a_zone():
    series = pd.Series(pd.to_datetime(["2024-01-31 09:00"])).dt.tz_localize("Asia/Tokyo")
    assert parse_timestamps(series).tolist() == [DAY]


def test_cells_that_are_no_moment():
    series = _objects("yesterday", "", None, "31/01/2024", "2024-02-30", np.inf, True, "2024-01-31")
    np.testing.assert_array_equal(parse_timestamps(series), [np.nan] * 7 + [DAY])


def test_lists_from_text_and_from_lists():
    lists = parse_lists(_objects("b | a|b", "", None, ["x", 1], np.array(["y"]), "alone"), "|")
    assert lists.tolist() == [["b", "a"], [], [], ["x", "1"], ["y"], ["alone"]]


def test_equal_cells_do_not_share_one_list():
    first, second = parse_lists(pd.Series(["a", "a"]), "|")
    first.append("b")
    assert second == ["a"]


def test_vectors_and_what_is_wrong_with_them():
    good = ("1|2", [3, 4], np.array([5.0, 6.0]))
    series = _objects(*good, "1|2|3", "1|x", "1|inf", None, "", [1e39, 0], [[1, 2]], "[7|8]")
    vectors, reasons, dim = parse_vectors(series, "|")
    assert dim == 2
    assert [None if vector is None else vector.tolist() for vector in vectors] == [
        [1, 2], [3, 4], [5, 6], None, None, None, None, None, None, None, [7, 8],
    ]  # fmt: skip
    assert vectors[0].dtype == np.float32
    assert list(reasons) == [3, 4, 5, 8, 9]
    assert reasons[3] == "3 numbers where most have 2"
    assert "'1|x'" in reasons[4]


def test_empty_lists_are_no_vectors_however_many_there_are():
    vectors, reasons, dim = parse_vectors(_objects([], np.array([]), "[]", [1, 2]), "|")
    assert (dim, reasons) == (2, {})
    assert [None if vector is None else vector.tolist() for vector in vectors] == [None, None, None, [1, 2]]
