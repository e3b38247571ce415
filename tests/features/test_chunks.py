"""Chunks of rows: however many there are, whoever merges them meanwhile, and what cannot be read for a moment."""

import errno
import os
import warnings

import numpy as np
import pytest

from mmrec_tf.errors import EncoderError
from mmrec_tf.features import chunks
from mmrec_tf.features.chunks import (
    KEY_BYTES,
    STORED,
    UNKNOWN,
    StoredVectors,
    chunk_paths,
    make_rows,
    merge_small_chunks,
    rewrite_chunks,
    write_chunk,
)
from tests.open_files import open_files_limited

ABOUT = {"dim": 2, "dtype": "float32"}


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")


def write(directory, numbers) -> None:
    """A chunk in which the vector of key n is (n, -n)."""
    vectors = np.array([[number, -number] for number in numbers], np.float32)
    write_chunk(directory, ABOUT, make_rows([key(number) for number in numbers], [True] * len(numbers), vectors))


def check_whole(directory, count) -> None:
    stored = StoredVectors(directory, 2)
    keys = [key(number) for number in range(1, count + 1)]
    assert (stored.states(keys) == STORED).all()
    vectors, mask = stored.gather(keys)
    assert mask.all()
    np.testing.assert_array_equal(vectors[:, 0], np.arange(1, count + 1))
    np.testing.assert_array_equal(vectors[:, 1], -np.arange(1, count + 1))


def test_more_chunks_than_files_that_may_be_open(tmp_path):
    for number in range(1, 201, 2):
        write(tmp_path, [number, number + 1])
    # Of a single row, which is all of its chunk.
    write(tmp_path, [201])
    assert len(chunk_paths(tmp_path)) == 101
    with open_files_limited(20), warnings.catch_warnings():
        warnings.simplefilter("error")
        check_whole(tmp_path, 201)
        merge_small_chunks(tmp_path, ABOUT)
        assert len(chunk_paths(tmp_path)) == 1
        check_whole(tmp_path, 201)


def test_a_chunk_that_cannot_be_opened_is_not_damaged(tmp_path, monkeypatch):
    write(tmp_path, [1])
    (path,) = chunk_paths(tmp_path)
    for code, advice in ((errno.EIO, "let it be read"), (errno.EMFILE, "ulimit -n")):

        def fail(*arguments, code=code, **options):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(np, "load", fail)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(EncoderError, match=f"{path}.*cannot be read: {os.strerror(code)}.*{advice}"):
                StoredVectors(tmp_path, 2)
            with pytest.raises(EncoderError, match="cannot be read"):
                rewrite_chunks(tmp_path, ABOUT, [path])
    monkeypatch.undo()
    check_whole(tmp_path, 1)


def test_a_folder_that_cannot_be_listed_is_not_empty(tmp_path):
    write(tmp_path, [1])
    with open_files_limited(0), pytest.raises(EncoderError, match="cannot be read.*ulimit -n"):
        StoredVectors(tmp_path, 2)
    check_whole(tmp_path, 1)


def test_chunks_that_another_process_merges_are_found_where_they_are_now(tmp_path):
    write(tmp_path, [1, 2])
    write(tmp_path, [3])
    stored = StoredVectors(tmp_path, 2)
    rewrite_chunks(tmp_path, ABOUT, chunk_paths(tmp_path))
    assert len(chunk_paths(tmp_path)) == 1
    vectors, mask = stored.gather([key(3), key(4), key(1)])
    np.testing.assert_array_equal(vectors, [[3, -3], [0, 0], [1, -1]])
    assert mask.tolist() == [True, False, True]
    assert stored.states([key(3), key(4)]).tolist() == [STORED, UNKNOWN]


def test_a_chunk_that_is_gone_or_damaged_does_not_stop_a_merge(tmp_path):
    write(tmp_path, [1])
    write(tmp_path, [2])
    write(tmp_path, [3])
    damaged, gone, _ = paths = chunk_paths(tmp_path)
    lost = {int(bytes(np.load(path)["key"][0])[-1]) for path in (damaged, gone)}
    damaged.write_bytes(b"no chunk")
    gone.unlink()
    with pytest.warns(UserWarning, match=f"the chunk {damaged} is damaged"):
        rewrite_chunks(tmp_path, ABOUT, paths)
    # What is damaged stays, for whoever wants to look at it.
    assert damaged.read_bytes() == b"no chunk" and not gone.exists()
    with pytest.warns(UserWarning, match="is damaged"):
        stored = StoredVectors(tmp_path, 2)
    assert [number for number in (1, 2, 3) if stored.states([key(number)])[0] == STORED] == sorted({1, 2, 3} - lost)


def test_merged_chunks_are_no_larger_than_groups_of_them(tmp_path, monkeypatch):
    # A row of one chunk is 16 + 1 + 8 bytes behind a header of 128 or more.
    monkeypatch.setattr(chunks, "_LARGE_BYTES", 1000)
    for number in range(1, 101):
        write(tmp_path, [number])
    size = chunk_paths(tmp_path)[0].stat().st_size
    merge_small_chunks(tmp_path, ABOUT)
    assert len(chunk_paths(tmp_path)) == -(-100 // -(-1000 // size))
    check_whole(tmp_path, 100)
