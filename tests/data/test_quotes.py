"""Quotes that are opened and not closed, and cells that rightly hold line breaks."""

import csv
import gzip
import random
import warnings

import pandas as pd
import pytest

from mmrec_tf.data.tables import read_table
from mmrec_tf.errors import DataError


def written(folder, *lines, name="items.tsv", end="\n"):
    (folder / name).write_bytes(end.join(lines).encode() + end.encode())
    return folder / name


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_between_two_stray_quotes_are_not_lost_in_silence(tmp_path, end):
    # The title of item 2 begins with a quote, and so does that of item 4.
    lines = [
        "id\ttitle\tyear",
        "1\tLow\t1977",
        '2\t"Heroes\t1977',
        "3\tLodger\t1979",
        '4\t"Tonight\t1984',
        "5\tHours\t1999",
    ]
    with pytest.raises(
        DataError, match=r"items\.tsv: the quote .* in line 3 .* in line 5.*each of these lines is a row"
    ):
        read_table(written(tmp_path, *lines, end=end))


def test_compressed_tables_are_looked_at_too(tmp_path):
    with gzip.open(tmp_path / "items.csv.gz", "wt") as file:
        file.write('id,title,year\n1,"Low,1977\n2,"Heroes,1977\n')
    with pytest.raises(DataError, match="in line 2 .* in line 3"):
        read_table(tmp_path / "items.csv.gz")


def test_a_quote_that_another_happens_to_close_gives_a_warning(tmp_path):
    # 12" ends in a quote, so that the cell is a proper one.
    path = written(tmp_path, "id\ttitle", '1\t"Heroes', "2\tLow", '3\tTonight 12"', "4\tLodger")
    with pytest.warns(UserWarning, match=r"in line 2 .* in line 4.*in 1 place\. If these are rows"):
        frame = read_table(path)
    assert frame["id"].tolist() == ["1", "4"]


def test_a_text_with_a_quote_that_is_not_doubled_gives_a_warning(tmp_path):
    path = written(tmp_path, "id,text,year", '1,"one line', 'and a "quoted word in another",1999', name="items.csv")
    with pytest.warns(UserWarning, match="in line 2 .* in line 3.*no text of several lines"):
        read_table(path)


@pytest.mark.parametrize(
    "lines",
    [
        ['1\t"two', 'lines"\t1'],
        ['1\t"a ""quoted"" word', 'in ""two"" lines"\t1'],
        ['"1"\t"Heroes" (live)\t1', "", '2\t12" single\t2'],
        ['1\t"Heroes"\t1', '2\t""\t2', '3\t"""Heroes"""\t3', '4\t"a', '""', '"\t4'],
    ],
)
def test_proper_cells_pass_without_a_word(tmp_path, lines):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_table(written(tmp_path, "id\ttitle\tyear", *lines))


def test_a_text_with_as_many_commas_as_rows_have_passes_without_a_word(tmp_path):
    path = written(tmp_path, "id,text,year", '1,"One, two, three', 'and, well, four",1999', name="items.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_table(path)["text"].tolist() == ["One, two, three\nand, well, four"]


def test_what_a_csv_library_writes_passes_without_a_word(tmp_path):
    pick = random.Random(0)
    cells = [["".join(pick.choices('a",; \n', k=pick.randrange(12))) for _ in range(4)] for _ in range(400)]
    cells = [[f"id{number}", *row] for number, row in enumerate(cells)]
    header = [f"column {number}" for number in range(5)]
    with open(tmp_path / "items.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([header, *cells])
    pd.DataFrame(cells, columns=header).to_csv(tmp_path / "others.csv", index=False)
    for name in ("items.csv", "others.csv"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read_table(tmp_path / name).to_numpy().tolist() == cells
