"""Every item's vectors, computed once and kept: a folder of memory-mapped chunks, addressed by content.

Encoding an item costs up to thousands of times as much as training on its vector, and most of a catalogue is the same
from one day to the next. A vector is stored under the encoder's fingerprint and the hash of the item's content, so that
a changed photo or a changed encoder recomputes exactly what changed, and nothing else.
"""

import json
import os
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmrec_tf.data.file_memory import file_memory
from mmrec_tf.data.whole_files import marked, sweep
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.features.chunk_writer import ChunkWriter, encoder_about
from mmrec_tf.features.chunks import KEY_BYTES, STORED, UNDECODABLE, UNKNOWN, StoredVectors, merge_small_chunks
from mmrec_tf.features.content import NOT_READ, ContentKeys, Source
from mmrec_tf.features.encoding import encoded

Progress = Callable[[str, int, int], None]
DTYPES = ("float32", "float16")


@dataclass(frozen=True)
class EmbedSummary:
    """What one call of `FeatureStore.embed` did.

    Attributes:
        total: items asked for; the sum of the next three.
        computed: vectors computed now.
        reused: items whose vector was there, or is that of an item with the same content.
        absent: items without content, or with content that cannot be read or decoded.
        seconds: how long it took.
        undecodable: of the absent, those whose content cannot be decoded.
        first_undecodable: position of the first of them, or None.
        unreadable: of the absent, those whose file is there and could not be read, or changed while it was read; they
            are tried again the next time.
    """

    total: int
    computed: int
    reused: int
    absent: int
    seconds: float
    undecodable: int = 0
    first_undecodable: int | None = None
    unreadable: int = 0


class FeatureStore:
    """Vectors of items by encoder and content, in a folder.

    Below the folder there is one directory for each encoder, `<modality>-<start of the fingerprint>`, with an
    `encoder.json` that says which it is, and chunks: `.npy` files of rows (key, whether there is a vector, the vector).
    Vectors stored as float16 have a directory of their own, which ends in `-float16`; where the float32 vectors are
    there, they are rounded instead of computed again. What is read is float32 in both cases.

    A chunk is written under another name and renamed when it is complete, so a run that is killed loses at most the
    chunk it was filling; chunks are named after their content, so several processes can write at once, and each sweeps
    away the half-written files of those that are gone. Many small chunks are merged. Content that cannot be decoded is
    remembered too, and not tried again until a library that decodes has changed; nothing is remembered of a file that
    cannot be read at the moment. `files.json` holds the hashes of the items' files. Nothing is written until there is
    something to store.

    Args:
        folder: path of the store; made when it is needed.

    Example:

        >>> store = FeatureStore(Path("feature_store"))
        >>> encoder = HashedTextEncoder(dim=64)
        >>> store.embed(encoder, ["a red shirt", "a blue shirt", None]).computed
        2
        >>> vectors, mask = store.read(encoder, ["a blue shirt", None])
        >>> vectors.shape, mask.tolist()
        ((2, 64), [True, False])
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self._keys = ContentKeys(KEY_BYTES, file_memory(self.folder))
        # By directory, the files that could not be read when they were last embedded, and the keys they had.
        self._unread: dict[Path, set[str | bytes | None]] = {}

    def embed(
        self,
        encoder: Encoder,
        sources: Sequence[Source | None],
        progress: Progress | None = None,
        chunk_rows: int = 256,
        dtype: str = "float32",
        ids: Sequence[str] | None = None,
    ) -> EmbedSummary:
        """Computes and stores the vectors that are missing.

        Decoding runs in threads, ahead of the encoder. Contents of similar length are encoded together, filled up to
        one of at most eight lengths, so that the encoder is traced eight times at most.

        Args:
            encoder: computes the vectors; up to its `batch_size` items at a time.
            sources: one per item: text for a text encoder, else path or bytes of a file; None where there is none.
            progress: called with (description, vectors done, vectors to do).
            chunk_rows: int. Items per chunk, which is what a killed run may lose.
            dtype: str. `float32`, or `float16` for half the space and three significant digits.
            ids: the items', one per source, for messages; an item is called by its position when None.

        Raises:
            EncoderError: if a vector is not finite, or not `encoder.dim` wide, or a chunk cannot be read. What was
                computed before it is kept.
        """
        start = time.perf_counter()
        details = (encoder, sources, progress, chunk_rows, dtype, ids)
        keys, states, computed = self._fill(*details)
        if (states == UNKNOWN).any() and self.keys(sources, encoder.modality) != keys:
            # Files have been replaced while they were read.
            keys, states, more = self._fill(*details)
            computed += more
        stored = int((states == STORED).sum())
        # What was computed of files that have been replaced since is no item's.
        computed = min(computed, stored)
        undecodable = np.flatnonzero(states == UNDECODABLE)
        unread = [
            position
            for position in np.flatnonzero(states == UNKNOWN).tolist()
            if keys[position] is not None or _is_file(sources[position], encoder.modality)
        ]
        names = {_name(sources[position]) for position in unread} - {""}
        self._unread[self.directory(encoder, dtype)] = names.union(keys[position] for position in unread)
        if unread:
            warnings.warn(
                f"the {encoder.modality} files of {len(unread)} of {len(keys)} items cannot be read, or change while "
                f"they are read, the first {sources[unread[0]]}. They count as absent for now, and are tried again the "
                "next time.",
                stacklevel=2,
            )
        return EmbedSummary(
            total=len(keys),
            computed=computed,
            reused=stored - computed,
            absent=len(keys) - stored,
            seconds=time.perf_counter() - start,
            undecodable=len(undecodable),
            first_undecodable=int(undecodable[0]) if len(undecodable) else None,
            unreadable=len(unread),
        )

    def read(
        self, encoder: Encoder, sources: Sequence[Source | None], dtype: str = "float32"
    ) -> tuple[np.ndarray, np.ndarray]:
        """The items' vectors, as far as they have one.

        Items whose files this store could not read when it last embedded them have none.

        Args:
            encoder, sources: as they were given to `embed`.
            dtype: str. In which the vectors are stored.

        Returns:
            `[items, dim]` float32 vectors, zeros where there is none, and `[items]` bool, whether there is one.

        Raises:
            EncoderError: if an item has content that was never embedded, or a chunk cannot be read.
        """
        stored = StoredVectors(self.directory(encoder, dtype), encoder.dim, dtype)
        keys = self.keys(sources, encoder.modality)
        vectors, mask = stored.gather(keys)
        # Asked afterwards: gathering lists the chunks anew when another process has merged or pruned them.
        states = stored.states(keys)
        unread = {None} | self._unread.get(self.directory(encoder, dtype), set())
        unknown = [
            position
            for position in np.flatnonzero(states == UNKNOWN).tolist()
            if keys[position] not in unread and _name(sources[position]) not in unread
        ]
        if unknown:
            raise EncoderError(
                f"{len(unknown)} of {len(keys)} items have no entry for this {encoder.modality} encoder in the feature "
                f"store {self.folder}, stored as {dtype}, the first at position {unknown[0]}. Embed them first: mmrec "
                "embed, or FeatureStore.embed."
            )
        return vectors, mask

    def status(self) -> dict:
        """What is stored: the folder, and for each encoder its name, modality, width, entries and bytes."""
        encoders = []
        for directory, about in self.directories().items():
            stored = StoredVectors(directory, about["dim"], about["dtype"])
            size = sum(file.stat().st_size for file in directory.iterdir())
            undecodable = len(stored) - stored.vectors
            encoders.append({**about, "vectors": stored.vectors, "undecodable": undecodable, "bytes": size})
        return {"folder": str(self.folder), "encoders": encoders}

    def directories(self) -> dict[Path, dict]:
        """Each encoder's directory, with what its `encoder.json` says."""
        return {
            path.parent: {"dtype": "float32", **json.loads(path.read_text(encoding="utf-8"))}
            for path in sorted(self.folder.glob("*/encoder.json"))
            # A directory that is being dropped has a hidden name.
            if not path.parent.name.startswith(".")
        }

    def directory(self, encoder: Encoder, dtype: str = "float32") -> Path:
        """Where the encoder's vectors are, or will be.

        Raises:
            EncoderError: if `dtype` is neither `float32` nor `float16`.
        """
        if dtype not in DTYPES:
            raise EncoderError(f"vectors are stored as {' or '.join(DTYPES)}, not as {dtype!r}.")
        return self.folder / (
            f"{encoder.modality}-{encoder.fingerprint[:16]}" + ("" if dtype == "float32" else f"-{dtype}")
        )

    def keys(self, sources: Sequence[Source | None], modality: str) -> list[bytes | None]:
        """The hash of each item's content; None where there is none."""
        return self._keys.of(sources, modality)

    def last_keys(self, paths: Iterable[Path]) -> list[bytes]:
        """The hashes of what files held when this store last read them, as far as it has read them."""
        return self._keys.last(paths)

    def _fill(self, encoder, sources, progress, chunk_rows, dtype, ids) -> tuple[list[bytes | None], np.ndarray, int]:
        """Stores what is missing: keys as they are now, what is known of each afterwards, and vectors computed."""
        keys = self.keys(sources, encoder.modality)
        states = StoredVectors(self.directory(encoder, dtype), encoder.dim, dtype).states(keys)
        first: dict[bytes, int] = {}
        for position in np.flatnonzero(states == UNKNOWN).tolist():
            if keys[position] is not None:
                first.setdefault(keys[position], position)
        found = self._compute(encoder, sources, first, progress, chunk_rows, dtype, ids) if first else {}
        for position, key in enumerate(keys):
            if key in found:
                states[position] = found[key]
        return keys, states, sum(state == STORED for key, state in found.items() if key in first)

    def _compute(self, encoder, sources, first, progress, chunk_rows, dtype, ids) -> dict[bytes, int]:
        """Stores what is missing, and says of each key whether it is STORED or UNDECODABLE.

        What need not be encoded, as it only has to be rounded, is taken out of `first`.
        """
        directory = self.directory(encoder, dtype)
        rounded = {}
        with marked(directory):
            sweep(directory)
            writer = ChunkWriter(directory, encoder_about(encoder, dtype), chunk_rows, ids)
            if dtype != "float32":
                rounded = self._round(encoder, first, writer)
                for key in rounded:
                    del first[key]
            try:
                found = self._encode(encoder, sources, first, writer, progress)
            finally:
                # Also after Ctrl-C or an error: what has been computed need not be computed again.
                writer.flush()
            merge_small_chunks(directory, writer.about)
        return {**rounded, **found}

    def _round(self, encoder, first: dict[bytes, int], writer: ChunkWriter) -> dict[bytes, int]:
        """Stores the vectors that are there in full precision, and says which."""
        full = StoredVectors(self.directory(encoder), encoder.dim)
        keys = list(first)
        keys = [key for key, state in zip(keys, full.states(keys)) if state == STORED]
        rounded = {}
        for start in range(0, len(keys), writer.chunk_rows):
            vectors, there = full.gather(some := keys[start : start + writer.chunk_rows])
            # Another process may have pruned some of them.
            some = [key for key, is_there in zip(some, there) if is_there]
            writer.add(some, [True] * len(some), vectors[there], list(map(first.get, some)))
            rounded.update(dict.fromkeys(some, STORED))
        return rounded

    def _encode(self, encoder, sources, first, writer: ChunkWriter, progress) -> dict[bytes, int]:
        """Encodes the sources at the positions that `first` names; nothing is said of those that cannot be read."""
        found: dict[bytes, int] = {}
        unread: list[bytes] = []

        def decode(key: bytes, source: Source):
            content = self._keys.decoded(key, source, encoder.decode)
            if content is NOT_READ:
                unread.append(key)
            return content

        wanted = {key: _as_path(sources[position], encoder.modality) for key, position in first.items()}
        for keys, present, vectors in encoded(encoder, wanted, decode):
            writer.add(keys, present, vectors, [first[key] for key in keys])
            found.update((key, STORED if there else UNDECODABLE) for key, there in zip(keys, present))
            if progress is not None:
                progress(f"Embedding {encoder.modality}", len(found) + len(unread), len(first))
        return found


def _is_file(source, modality: str) -> bool:
    return modality != "text" and isinstance(source, (str, Path)) and os.path.isfile(source)


def _name(source) -> str:
    return "" if isinstance(source, bytes) else str(source)


def _as_path(source, modality: str):
    return Path(source) if isinstance(source, str) and modality != "text" else source
