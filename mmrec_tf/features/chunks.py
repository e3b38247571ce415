"""The feature store's files: chunks of rows, written whole, memory-mapped when read."""

import json
import os
import time
import warnings
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import numpy as np

from mmrec_tf.encoders.base import Encoder

KEY_BYTES = 16


class StoredVectors:
    """The complete chunks of one encoder, memory-mapped."""

    def __init__(self, directory: Path, dim: int):
        self._chunks: list[np.ndarray] = []
        # By key: number of the chunk, row in it, and whether there is a vector.
        self._places: dict[bytes, tuple[int, int, bool]] = {}
        for path in sorted(directory.glob("*.npy")):
            chunk = _open_chunk(path, dim)
            if chunk is None:
                continue
            keys = chunk["key"].tobytes()
            for row, present in enumerate(chunk["present"].tolist()):
                key = keys[row * KEY_BYTES : (row + 1) * KEY_BYTES]
                self._places[key] = (len(self._chunks), row, present)
            self._chunks.append(chunk)
        self._dim = dim

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    @property
    def vectors(self) -> int:
        return sum(self.has_vector(key) for key in self._places)

    def has_vector(self, key: bytes) -> bool:
        return self._places[key][2]

    def gather(self, keys: list[bytes | None]) -> tuple[np.ndarray, np.ndarray]:
        vectors = np.zeros((len(keys), self._dim), np.float32)
        places = np.array([(-1, -1, False) if key is None else self._places[key] for key in keys], int).reshape(-1, 3)
        mask = places[:, 2].astype(bool)
        for chunk in np.unique(places[mask, 0]):
            positions = np.flatnonzero(mask & (places[:, 0] == chunk))
            vectors[positions] = self._chunks[chunk]["vector"][places[positions, 1]]
        return vectors, mask


def row_type(dim: int) -> np.dtype:
    return np.dtype([("key", "u1", (KEY_BYTES,)), ("present", "?"), ("vector", "<f4", (dim,))])


def make_rows(keys: list[bytes], present: list[bool], vectors: np.ndarray) -> np.ndarray:
    """Rows of a chunk: `[rows]` of (key, whether there is a vector, vector)."""
    rows = np.zeros(len(keys), row_type(vectors.shape[1]))
    rows["key"] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES)
    rows["present"] = present
    rows["vector"] = vectors
    return rows


def _open_chunk(path: Path, dim: int) -> np.ndarray | None:
    try:
        chunk = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        reason = str(error)
    else:
        if isinstance(chunk, np.ndarray) and chunk.ndim == 1 and chunk.dtype == row_type(dim):
            return chunk
        reason = "it holds something else"
    warnings.warn(f"the chunk {path} is damaged and is computed anew ({reason}). It can be deleted.", stacklevel=3)
    return None


def write_chunk(directory: Path, encoder: Encoder, rows: np.ndarray) -> None:
    """Adds a complete chunk to the directory, and before the first one, `encoder.json`."""
    directory.mkdir(parents=True, exist_ok=True)
    about = directory / "encoder.json"
    if not about.exists():
        content = {
            "encoder": type(encoder).__name__,
            "modality": encoder.modality,
            "dim": encoder.dim,
            "fingerprint": encoder.fingerprint,
        }
        _write_whole(about, lambda file: file.write(json.dumps(content, indent=2).encode()))
    name = blake2b(rows.tobytes(), digest_size=16).hexdigest()
    _write_whole(directory / f"{name}.npy", lambda file: np.save(file, rows, allow_pickle=False))


def _write_whole(path: Path, write: Callable) -> None:
    """Writes a file that is either there and complete, also after a power failure, or not there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        with beside.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
