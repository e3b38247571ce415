"""Reading a table from a CSV or Parquet file, so that no cell changes its meaning on the way.

A CSV knows no types, and guessing them is what turns the id `007` into 7 and the user `NA` into nothing. Every CSV
cell therefore stays a string, and validation, which knows the schema, turns it into what the schema says.
"""

import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from mmrec_tf.data.quotes import check_quotes
from mmrec_tf.errors import DataError

TEXT_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")


def is_table(path: Path) -> bool:
    """Whether the file's extension is one that `read_table` knows."""
    return path.name.lower().endswith(TEXT_SUFFIXES + PARQUET_SUFFIXES)


def read_column(path: Path | str, column: str) -> pd.Series:
    """All rows of one column of a CSV or Parquet file that `read_table` reads, without holding the others.

    Args:
        path: the file.
        column: str. Its name in the file.

    Raises:
        DataError: when the file is not readable as what its extension says.
    """
    path = Path(path)
    return _reader(path)(path, None, [column])[column]


def read_table(source: Path | str | pd.DataFrame, rows: int | None = None) -> pd.DataFrame:
    """Reads a table.

    Args:
        source: a CSV file (UTF-8; comma, or tab or semicolon where the header has no comma; `.gz` too), a Parquet
            file, or a DataFrame, which is taken as it is.
        rows: int. Read only the first so many rows. All when None.

    Returns:
        A DataFrame with a RangeIndex. Every CSV cell is a string, an empty one "".

    Raises:
        DataError: when the file is absent, of an unknown extension, not readable as what its extension says, without
            rows, or names a column twice, or loses rows to a quote that is not closed (`mmrec_tf.data.quotes`).
    """
    if isinstance(source, pd.DataFrame):
        frame, name = source, "the DataFrame"
    else:
        path, name = Path(source), str(source)
        if path.is_dir():
            raise DataError(f"The table {path} is a folder, not a file. Name the file in it.")
        if not path.is_file():
            beside = (
                sorted(file.name for file in path.parent.iterdir() if is_table(file)) if path.parent.is_dir() else []
            )
            hint = f"{path.parent} holds: {', '.join(beside[:10])}." if beside else f"{path.parent} holds no table."
            raise DataError(f"The table {path} does not exist. {hint}")
        if not is_table(path):
            raise DataError(
                f"{path} has the extension {path.suffix or '(none)'}; tables are read from "
                f"{', '.join(TEXT_SUFFIXES + PARQUET_SUFFIXES)}. Convert it, or pass a DataFrame in Python."
            )
        frame = _reader(path)(path, rows)
    _refuse_doubled(frame.columns, name)
    if len(frame) == 0:
        raise DataError(f"{name} has no rows.")
    # `frame.set_index("item_id")` is a habit; the id is wanted as a column.
    keep_index = [name for name in frame.index.names if name is not None and name not in frame.columns]
    return frame.reset_index(level=keep_index).reset_index(drop=True) if keep_index else frame.reset_index(drop=True)


def _reader(path: Path) -> Callable[..., pd.DataFrame]:
    return _read_parquet if path.name.lower().endswith(PARQUET_SUFFIXES) else _read_text


def _refuse_doubled(columns: pd.Index, name: str):
    doubled = sorted({str(column) for column in columns[columns.duplicated()]})
    if doubled:
        raise DataError(f"{name} has more than one column named {', '.join(map(repr, doubled))}. Rename or remove one.")


def _read_text(path: Path, rows: int | None, columns: list[str] | None = None) -> pd.DataFrame:
    try:
        separator = _separator(path)
        options = {
            "sep": separator,
            "dtype": str,
            "keep_default_na": False,
            "na_filter": False,
            "index_col": False,
            "encoding": "utf-8-sig",
            "compression": "infer",
        }
        # pandas makes `rating.1` of a second `rating`, so the header is looked at by itself. Columns without a name,
        # as separators at the end of each line make them, are no mistake.
        names = pd.Index(pd.read_csv(path, header=None, nrows=1, **options).iloc[0])
        _refuse_doubled(names[names != ""], str(path))
        with warnings.catch_warnings():
            # pandas cuts a first row that is longer than the header and only warns.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(path, nrows=rows, usecols=columns, **options)
        if rows is None and columns is None:
            with _opened(path) as file:
                check_quotes(path, file, separator, len(frame))
        return frame
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{path} is empty: it has not even a header line.") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise DataError(
            f"{path} is not a regular table: {str(error).strip()} "
            "Give every row as many cells as the header, and put cells that hold the separator in double quotes."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error}). Save it again as UTF-8.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _opened(path: Path) -> BinaryIO:
    import gzip

    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else open(path, "rb")


def _separator(path: Path) -> str:
    with _opened(path) as file:
        header = file.readline(1_000_000)
    if b"," in header and ".tsv" not in path.name.lower():
        return ","
    return "\t" if b"\t" in header else ";" if b";" in header else ","


def _read_parquet(path: Path, rows: int | None, columns: list[str] | None = None) -> pd.DataFrame:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            f"{path} needs pyarrow, which does not import here ({error}). Install a pyarrow that fits, or use CSV."
        ) from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if rows is None:
                table = file.read(columns=columns)
            else:
                table = _first_rows(file, rows)
        # Without pandas' own metadata a column that was the index comes back as a column. One null would make floats
        # of a column of integers, and ids of 18 digits, which no float tells apart, would become one.
        return table.to_pandas(ignore_metadata=True, integer_object_nulls=True)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} is not a readable Parquet file: {error}") from error


def _first_rows(file, rows: int):
    """The first rows of an open Parquet file, whatever the groups in which they are stored."""
    import pyarrow

    batches, count = [], 0
    for batch in file.iter_batches(batch_size=rows):
        batches.append(batch)
        count += batch.num_rows
        if count >= rows:
            break
    return pyarrow.Table.from_batches(batches).slice(0, rows) if batches else file.schema_arrow.empty_table()
