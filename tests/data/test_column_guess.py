import datetime

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.data.column_guess import ColumnGuess, guess_column, is_unique, plain

_WORDS = ("red", "blue", "green", "small", "large")


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("colour", list(_WORDS) * 4, ColumnGuess("categorical")),
        ("genres", ["a|b", "b", "c|a|b", "a"] * 5, ColumnGuess("multi_categorical", "|")),
        ("tags", ["a, b", "b, c", "c", "a"] * 5, ColumnGuess("multi_categorical", ",")),
        ("tags", [["a"], ["b", "c"]], ColumnGuess("multi_categorical")),
        ("codes", ["1,2", "2,3,1", "3", "1,3,2"] * 5, ColumnGuess("multi_categorical", ",")),
        ("price", ["1.5", "2", "", "7"], ColumnGuess("number")),
        ("year", ["1999", "2004", "2010"], ColumnGuess("number")),
        ("title", [f"The story of number {n}" for n in range(30)], ColumnGuess("text")),
        ("plot", ["It was a dark and stormy night, and, and, and."] * 3 + ["Other words here."], ColumnGuess("text")),
        ("released", ["2024-01-01", "2023-05-05"], ColumnGuess("timestamp")),
        ("ts", ["964982703", "964981247"], ColumnGuess("timestamp")),
        ("when", [datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 2)], ColumnGuess("timestamp")),
        ("embedding", ["|".join(map(str, range(8)))] * 2 + ["|".join("12345678")], ColumnGuess("vector", "|")),
        ("embedding", [np.zeros(4), np.ones(4)], ColumnGuess("vector")),
        ("brand_id", ["1", "2", "1", "2", "1", "2"], ColumnGuess("categorical")),
        ("photo", [b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe1"], ColumnGuess("image")),
        ("sound", [b"RIFF\x00\x00\x00\x00WAVEfmt "], ColumnGuess("audio")),
        ("clip", [{"bytes": b"\x00\x00\x00\x18ftypmp42", "path": None}], ColumnGuess("video")),
    ],
)
def test_kinds(tmp_path, name, cells, expected):
    assert guess_column(name, pd.Series(cells), tmp_path) == expected


@pytest.mark.parametrize(
    ("name", "cells", "reason"),
    [
        ("x", ["", "", ""], "empty"),
        ("x", ["same"] * 5, "same value"),
        ("imdbId", ["01", "02", "03"], "key of another source"),
        ("link", ["https://example.org/1", "https://example.org/2"], "addresses"),
        ("page", [f"Word{n}" for n in range(30)], "nearly every row"),
        ("blob", [b"????"], "unknown kind"),
        ("price", ["3,5", "12,25", "7", ""] * 5, "have a comma, as in 3,5; write them with a decimal point"),
        ("price", ["n/a", "1.234,50", "-2,5"] * 5, "have a comma, as in 1.234,50"),
    ],
)
def test_columns_that_help_no_model(tmp_path, name, cells, reason):
    guess = guess_column(name, pd.Series(cells), tmp_path)
    assert guess.kind == "skip"
    assert reason in guess.reason


@pytest.mark.parametrize(("suffix", "kind"), [("jpg", "image"), ("ogg", "audio"), ("mp4", "video")])
def test_paths_are_media_only_when_a_file_is_there(tmp_path, suffix, kind):
    cells = pd.Series([f"media/{n}.{suffix}" for n in range(30)])
    assert guess_column("file", cells, tmp_path).kind == "skip"
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / f"3.{suffix}").write_bytes(b"x")
    assert guess_column("file", cells, tmp_path).kind == kind


def test_plain_names_and_unique_columns():
    assert {plain(name) for name in ("movie_id", "movieId", "Movie ID")} == {"movieid"}
    assert is_unique(pd.Series(["a", "b"]))
    assert not is_unique(pd.Series(["a", "a"]))
    assert not is_unique(pd.Series(["a", ""]))
