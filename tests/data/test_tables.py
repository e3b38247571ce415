import gzip
import sys

import pandas as pd
import pytest

from mmrec_tf.data.tables import is_table, read_column, read_table
from mmrec_tf.errors import DataError


def test_csv_cells_stay_what_they_are(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text('id,title,price\n007,NA,1.0\n 8,,null\n"a,b","two\nlines",3\n', encoding="utf-8")
    frame = read_table(path)
    assert frame["id"].tolist() == ["007", " 8", "a,b"]
    assert frame["title"].tolist() == ["NA", "", "two\nlines"]
    assert frame["price"].tolist() == ["1.0", "null", "3"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("t.tsv", "a\tb\n1\t2,5\n"), ("t.csv", "a;b\n1;2,5\n"), ("t.csv", '\ufeffa,b\n1,"2,5"\n')],
    ids=["tabs", "semicolons", "byte order mark"],
)
def test_other_separators_and_a_byte_order_mark(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_table(tmp_path / name).to_dict("list") == {"a": ["1"], "b": ["2,5"]}


def test_compressed_csv(tmp_path):
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        file.write("a;b\n01;2\n")
    assert read_table(tmp_path / "t.csv.gz").to_dict("list") == {"a": ["01"], "b": ["2"]}


def test_parquet_keeps_types_and_gives_back_the_index_as_a_column(tmp_path):
    path = tmp_path / "items.parquet"
    frame = pd.DataFrame({"id": ["a", "b"], "photo": [b"\x00\x01", None], "tags": [["x", "y"], []]})
    frame.set_index("id").to_parquet(path)
    read = read_table(path)
    assert sorted(read.columns) == ["id", "photo", "tags"]
    assert read["id"].tolist() == ["a", "b"]
    assert read["photo"].tolist() == [b"\x00\x01", None]
    assert [list(tags) for tags in read["tags"]] == [["x", "y"], []]


@pytest.mark.parametrize("rows", [None, 3])
def test_parquet_integers_stay_whole_beside_a_null(tmp_path, rows):
    # A float has 53 bits: 2**60 + 1 and 2**60 would be one id.
    ids = [2**60 + 1, None, 2**60]
    pd.DataFrame({"id": pd.array(ids, dtype="Int64"), "price": [1.5, None, 2.5]}).to_parquet(tmp_path / "t.parquet")
    frame = read_table(tmp_path / "t.parquet", rows=rows)
    assert frame["id"].tolist() == ids
    assert frame["price"].dtype == float


def test_rows_limits_what_is_read(tmp_path):
    frame = pd.DataFrame({"a": range(100)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.csv", rows=3)["a"].tolist() == ["0", "1", "2"]
    assert read_table(tmp_path / "t.parquet", rows=3)["a"].tolist() == [0, 1, 2]


def test_rows_are_counted_over_the_groups_of_a_parquet_file(tmp_path):
    frame = pd.DataFrame({"a": range(100), "b": pd.Categorical([f"group {n // 10}" for n in range(100)])})
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=10)
    read = read_table(tmp_path / "t.parquet", rows=35)
    assert read["a"].tolist() == list(range(35))
    assert read["b"].tolist() == [f"group {n // 10}" for n in range(35)]
    assert len(read_table(tmp_path / "t.parquet", rows=200)) == 100


def test_one_column_in_full(tmp_path):
    frame = pd.DataFrame({"a": range(100), "b": [f"0{n}" for n in range(100)]})
    frame.to_csv(tmp_path / "t.csv.gz", index=False, sep=";")
    frame.to_parquet(tmp_path / "t.parquet", row_group_size=30)
    for name in ("t.csv.gz", "t.parquet"):
        assert read_column(tmp_path / name, "b").tolist() == frame["b"].tolist()


def test_data_frame_is_not_changed_and_its_named_index_becomes_a_column():
    frame = pd.DataFrame({"title": ["x", "y"]}, index=pd.Index(["b", "a"], name="id"))
    read = read_table(frame)
    assert read["id"].tolist() == ["b", "a"]
    assert read.index.tolist() == [0, 1]
    assert list(frame.columns) == ["title"]


def test_absent_file_names_the_tables_beside_it(tmp_path):
    (tmp_path / "ratings.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"rating\.csv does not exist.*ratings\.csv"):
        read_table(tmp_path / "rating.csv")
    with pytest.raises(DataError, match="holds no table"):
        read_table(tmp_path / "nowhere" / "rating.csv")


def test_a_folder_is_no_table(tmp_path):
    (tmp_path / "ratings.csv").mkdir()
    with pytest.raises(DataError, match=r"ratings\.csv is a folder, not a file"):
        read_table(tmp_path / "ratings.csv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.xlsx", b"x", "extension .xlsx.*Parquet|extension .xlsx.*parquet"),
        ("t.csv", b"", "not even a header"),
        ("t.csv", b"a,b\n", "no rows"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", "not a regular table.*line 3"),
        ("t.csv", b"a,b\n1,2,3\n1,2\n", "not a regular table"),
        ("t.csv", b"a,b\n\xff\xfe,2\n", "not UTF-8"),
        ("t.csv.gz", b"a,b\n1,2\n", "cannot be read"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:10] + b"\xff" * 50, "cannot be read"),
        ("t.parquet", b"PAR1 not really", "not a readable Parquet"),
        ("t.parquet", b"", "not a readable Parquet"),
    ],
)
def test_unusable_files_are_said_to_be_so(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"(?s){message}") as raised:
        read_table(tmp_path / name)
    assert name in str(raised.value)


def test_a_column_named_twice_is_refused():
    with pytest.raises(DataError, match="'a'"):
        read_table(pd.DataFrame([[1, 2]], columns=["a", "a"]))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "user,rating,rating\nu,1,5\n"),
        ("t.csv", '\ufeff"rating";user;rating\n1;u;5\n'),
        ("t.tsv", "rating\tuser\trating\trating.1\n1\tu\t5\t3\n"),
    ],
    ids=["commas", "byte order mark, quotes and semicolons", "tabs"],
)
def test_a_header_that_names_a_column_twice_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=rf"{name} has more than one column named 'rating'\. Rename or remove"):
        read_table(tmp_path / name)


def test_a_header_of_names_that_only_look_alike_or_are_empty(tmp_path):
    (tmp_path / "t.csv").write_text("rating,rating.1,Rating,,\n1,2,3,,\n")
    assert read_table(tmp_path / "t.csv").iloc[0].tolist() == ["1", "2", "3", "", ""]


def test_parquet_without_pyarrow_says_what_is_missing(tmp_path, monkeypatch):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match="needs pyarrow"):
        read_table(tmp_path / "t.parquet")


def test_is_table_goes_by_extension(tmp_path):
    assert is_table(tmp_path / "A.CSV") and is_table(tmp_path / "b.tsv.gz") and is_table(tmp_path / "c.pq")
    assert not is_table(tmp_path / "d.json")
