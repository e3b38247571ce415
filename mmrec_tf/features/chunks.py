"""The feature store's files: chunks of rows, written whole, memory-mapped when read, merged when they are many.

A mapping keeps a file open, and a process may have a thousand files open or fewer. One chunk is therefore mapped at a
time, however many there are.
"""

import errno
import json
import os
import warnings
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path

import numpy as np

from mmrec_tf.data.file_memory import decoders
from mmrec_tf.data.whole_files import remove, write_whole
from mmrec_tf.errors import EncoderError

KEY_BYTES = 16
UNKNOWN, UNDECODABLE, STORED = 0, 1, 2
"""What a store knows about a content: nothing, that it cannot be decoded, or its vector."""

_LARGE_BYTES = 64 * 2**20
"""Chunks are merged into chunks of about this size, and left alone from half of it."""
_MOST_SMALL_CHUNKS = 64
_NO_KEY = bytes(KEY_BYTES)


class StoredVectors:
    """What the complete chunks of one encoder hold: their keys in memory, their vectors mapped when they are gathered.

    Chunks may be merged by other processes at any time: a folder that has changed since it was listed is listed again.

    Args:
        directory: holds the chunks; it need not exist.
        dim: int. Width of the vectors.
        dtype: str. In which they are stored, `float32` or `float16`.

    Raises:
        EncoderError: if a chunk cannot be read, which says nothing about what is in it.
    """

    def __init__(self, directory: Path, dim: int, dtype: str = "float32"):
        self._directory, self._dim, self._dtype = directory, dim, dtype
        self._load()

    def _load(self):
        rows = _keys_and_presence(self._directory, self._dim, self._dtype)
        self.paths = list(rows)
        lengths = [len(keys) for keys, _ in rows.values()]
        keys = np.concatenate([keys for keys, _ in rows.values()] or [np.zeros(0, f"S{KEY_BYTES}")])
        present = np.concatenate([present for _, present in rows.values()] or [np.zeros(0, bool)])
        chunk_numbers = np.repeat(np.arange(len(rows)), lengths)
        row_numbers = np.concatenate([np.arange(length) for length in lengths] or [np.zeros(0, int)])
        # Other libraries may decode what these could not.
        current = np.array([path.stem.endswith(f"-{decoders()}") for path in self.paths], bool)
        counts = present | np.repeat(current, lengths)
        # Of several rows with one key, the first after sorting counts: one with a vector, if there is one.
        order = np.flatnonzero(counts)[np.argsort(~present[counts], kind="stable")]
        order = order[np.argsort(keys[order], kind="stable")]
        repeated = np.zeros(len(order), bool)
        repeated[1:] = keys[order][1:] == keys[order][:-1]
        order = order[~repeated]
        self.keys = keys[order]
        self._present, self._chunk_numbers, self._row_numbers = (
            array[order] for array in (present, chunk_numbers, row_numbers)
        )

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def vectors(self) -> int:
        return int(self._present.sum())

    def states(self, keys: list[bytes | None]) -> np.ndarray:
        """`[keys]` of UNKNOWN, UNDECODABLE or STORED; a key that is None is UNKNOWN."""
        places, known = self._find(keys)
        states = np.full(len(keys), UNKNOWN)
        states[known] = np.where(self._present[places[known]], STORED, UNDECODABLE)
        return states

    def gather(self, keys: list[bytes | None]) -> tuple[np.ndarray, np.ndarray]:
        """`[keys, dim]` float32, zeros where there is no vector, and `[keys]` bool, whether there is one."""
        while (found := self._gather(keys)) is None:
            self._load()
        return found

    def _gather(self, keys: list[bytes | None]) -> tuple[np.ndarray, np.ndarray] | None:
        """What `gather` gives; None when a chunk is not there any more, as it has been merged into another one."""
        vectors = np.zeros((len(keys), self._dim), np.float32)
        places, known = self._find(keys)
        mask = known.copy()
        mask[known] = self._present[places[known]]
        places = places[mask]
        positions = np.flatnonzero(mask)
        for number in np.unique(self._chunk_numbers[places]):
            here = self._chunk_numbers[places] == number
            try:
                chunk = _open_chunk(self.paths[number], self._dim, self._dtype)
            except FileNotFoundError:
                chunk = None
            if chunk is None:
                return None
            vectors[positions[here]] = chunk["vector"][self._row_numbers[places[here]]]
        return vectors, mask

    def _find(self, keys: list[bytes | None]) -> tuple[np.ndarray, np.ndarray]:
        """Place of each key among the known ones, and whether it is among them."""
        wanted = key_array(keys)
        places = np.searchsorted(self.keys, wanted)
        known = np.array([key is not None for key in keys], bool) & (places < len(self.keys))
        known[known] = self.keys[places[known]] == wanted[known]
        return places, known


def key_array(keys: Iterable[bytes | None]) -> np.ndarray:
    """Keys as an array that NumPy can sort and search; None becomes zeros."""
    return np.frombuffer(b"".join(_NO_KEY if key is None else key for key in keys), f"S{KEY_BYTES}")


def keys_of(rows: np.ndarray) -> np.ndarray:
    """The keys of a chunk's rows, as `key_array` gives them."""
    return np.ascontiguousarray(rows["key"]).reshape(-1).view(f"S{KEY_BYTES}")


def row_type(dim: int, dtype: str = "float32") -> np.dtype:
    vector = {"float32": "<f4", "float16": "<f2"}[dtype]
    return np.dtype([("key", "u1", (KEY_BYTES,)), ("present", "?"), ("vector", vector, (dim,))])


def make_rows(keys: list[bytes], present: list[bool], vectors: np.ndarray, dtype: str = "float32") -> np.ndarray:
    """Rows of a chunk: `[rows]` of (key, whether there is a vector, vector)."""
    rows = np.zeros(len(keys), row_type(vectors.shape[1], dtype))
    rows["key"] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
    rows["present"] = present
    rows["vector"] = vectors
    return rows


def _keys_and_presence(directory: Path, dim: int, dtype: str) -> dict[Path, tuple[np.ndarray, np.ndarray]]:
    """The keys of each complete chunk and whether they have vectors. Damaged ones give a warning and are left out."""
    while True:
        rows = {}
        try:
            for path in _listed(directory):
                chunk = _open_chunk(path, dim, dtype)
                if chunk is not None:
                    # Copies, as what stays a part of the mapping keeps the file open.
                    rows[path] = keys_of(chunk).copy(), chunk["present"].copy()
        except FileNotFoundError:
            # It has been merged into another one since.
            continue
        return rows


def chunk_paths(directory: Path) -> list[Path]:
    """The directory's chunks; none where there is no directory.

    Raises:
        EncoderError: if the directory cannot be read.
    """
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(directory, error) from error
    return sorted(directory / name for name in names if name.endswith(".npy") and not name.startswith("."))


def _listed(directory: Path) -> list[Path]:
    # A listing that overlaps with a merge can miss the new chunk and the old ones. The new one is written before the
    # old ones go, so a listing that is equal to the one before it has missed nothing.
    paths = chunk_paths(directory)
    while (again := chunk_paths(directory)) != paths:
        paths = again
    return paths


def _open_chunk(path: Path, dim: int, dtype: str) -> np.ndarray | None:
    """The chunk, memory-mapped; None, with a warning, when it is damaged."""
    try:
        chunk = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise
    except (ValueError, OSError, EOFError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise _unreadable(path, error) from error
        reason = str(error)
    else:
        if isinstance(chunk, np.ndarray) and chunk.ndim == 1 and chunk.dtype == row_type(dim, dtype):
            # The mapping without its class, whose every slice costs more than reading the row.
            return chunk.view(np.ndarray)
        reason = "it holds something else"
    warnings.warn(f"the chunk {path} is damaged and is computed anew ({reason}). It can be deleted.", stacklevel=4)
    return None


def _unreadable(path: Path, error: OSError) -> EncoderError:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        advice = "Close files, or let more of them be open at a time (ulimit -n), and run this again."
    else:
        advice = "What it holds is not lost by that: let it be read, and run this again."
    return EncoderError(f"{path}, which belongs to the feature store, cannot be read: {error.strerror}. {advice}")


def write_chunk(directory: Path, about: dict, rows: np.ndarray) -> Path:
    """Adds a complete chunk to the directory, and `encoder.json` with what it is `about` if it is not there."""
    name = blake2b(rows.view(np.uint8), digest_size=16).hexdigest()
    path = directory / f"{name}-{decoders()}.npy"
    write_whole(path, lambda file: np.save(file, rows, allow_pickle=False))
    if not (directory / "encoder.json").exists():
        content = json.dumps(about, indent=2).encode()
        write_whole(directory / "encoder.json", lambda file: file.write(content))
    return path


def merge_small_chunks(directory: Path, about: dict) -> None:
    """Merges chunks when there are many small ones, as daily additions leave them."""
    small = [path for path in chunk_paths(directory) if _size(path) < _LARGE_BYTES // 2]
    if len(small) > _MOST_SMALL_CHUNKS:
        rewrite_chunks(directory, about, small)


def rewrite_chunks(
    directory: Path,
    about: dict,
    paths: list[Path],
    keep: Callable[[np.ndarray], np.ndarray] | None = None,
) -> None:
    """Writes the chunks' rows into fewer chunks and removes the old ones, each after its rows are written.

    A chunk that is damaged stays as it is; the rows of one that is gone are in the chunk that it was merged into.

    Args:
        directory: where the chunks are.
        about: what `encoder.json` says.
        paths: of the chunks.
        keep: function from keys `[rows]` to `[rows]` bool, which rows stay; all when None.
    """
    group, group_bytes = [], 0
    for path in paths:
        group.append(path)
        group_bytes += _size(path)
        if group_bytes >= _LARGE_BYTES:
            _rewrite_group(directory, about, group, keep)
            group, group_bytes = [], 0
    if group:
        _rewrite_group(directory, about, group, keep)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _rewrite_group(directory, about, group, keep):
    parts = {}
    for path in group:
        try:
            chunk = _open_chunk(path, about["dim"], about["dtype"])
        except FileNotFoundError:
            continue
        if chunk is not None:
            # Copies, as what stays a part of the mapping keeps the file open. A chunk of other decoders says nothing
            # about what these cannot decode.
            rows = chunk.copy() if path.stem.endswith(f"-{decoders()}") else chunk[chunk["present"]]
            parts[path] = rows if keep is None else rows[keep(keys_of(rows))]
    if not parts:
        return
    rows = np.concatenate(list(parts.values()))
    rows = rows[np.argsort(~rows["present"], kind="stable")]
    # The first of several rows with one key.
    rows = rows[np.sort(np.unique(keys_of(rows), return_index=True)[1])]
    written = write_chunk(directory, about, rows) if len(rows) else None
    _make_permanent(directory)
    for path in parts:
        if path != written:
            remove(path)


def _make_permanent(directory: Path):
    """The new chunk's name must be on the disk before the old chunks' names go, in case the power fails between."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
