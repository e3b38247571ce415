"""Every item's vectors, computed once and kept: a folder of memory-mapped chunks, addressed by content.

Encoding an item costs up to thousands of times as much as training on its vector, and most of a catalogue is the same
from one day to the next. A vector is stored under the encoder's fingerprint and the hash of the item's content, so that
a changed photo or a changed encoder recomputes exactly what changed, and nothing else.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from mmrec_tf.encoders.base import Encoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.features.chunks import KEY_BYTES, StoredVectors, make_rows, row_type, write_chunk
from mmrec_tf.features.content import ContentKeys, decoded_in_order

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class EmbedSummary:
    """What one call of `FeatureStore.embed` did.

    Attributes:
        total: items asked for; the sum of the next three.
        computed: vectors computed now.
        reused: items whose vector was there, or is that of an item with the same content.
        absent: items without content, or with content that cannot be decoded.
        seconds: how long it took.
    """

    total: int
    computed: int
    reused: int
    absent: int
    seconds: float


class FeatureStore:
    """Vectors of items by encoder and content, in a folder.

    Below the folder there is one directory for each encoder, `<modality>-<start of the fingerprint>`, with an
    `encoder.json` that says which it is, and chunks: `.npy` files of rows (key, whether there is a vector, the vector).
    A chunk is written under another name and renamed when it is complete, so a run that is killed loses at most the
    chunk it was filling; chunks are named after their content, so several processes can write at once. Content that
    cannot be decoded is remembered too, and not tried again. Nothing is written until there is something to store.

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
        self._keys = ContentKeys(KEY_BYTES)

    def embed(
        self,
        encoder: Encoder,
        sources: Sequence[str | Path | bytes | None],
        progress: Progress | None = None,
        chunk_rows: int = 256,
    ) -> EmbedSummary:
        """Computes and stores the vectors that are missing.

        Decoding runs in threads, ahead of the encoder. Batches have one fixed shape, so that the encoder is traced
        once.

        Args:
            encoder: computes the vectors; its `batch_size` items at a time.
            sources: one per item: text for a text encoder, else path or bytes of a file; None where there is none.
            progress: called with (description, vectors done, vectors to do).
            chunk_rows: int. Items per chunk, which is what a killed run may lose.

        Raises:
            EncoderError: if a vector is not finite, or not `encoder.dim` wide. What was computed before it is kept.
        """
        start = time.perf_counter()
        directory = self._directory(encoder)
        keys = self._keys.of(sources, encoder.modality)
        known = StoredVectors(directory, encoder.dim)
        first: dict[bytes, int] = {}
        for position, key in enumerate(keys):
            if key is not None and key not in known:
                first.setdefault(key, position)
        found = self._encode(encoder, directory, sources, first, progress, chunk_rows) if first else {}
        absent = sum(key is None or not (found[key] if key in found else known.has_vector(key)) for key in keys)
        computed = sum(found.values())
        seconds = time.perf_counter() - start
        return EmbedSummary(len(sources), computed, len(sources) - computed - absent, absent, seconds)

    def read(self, encoder: Encoder, sources: Sequence[str | Path | bytes | None]) -> tuple[np.ndarray, np.ndarray]:
        """The items' vectors, as far as they have one.

        Returns:
            `[items, dim]` float32 vectors, zeros where there is none, and `[items]` bool, whether there is one.

        Raises:
            EncoderError: if an item has content that was never embedded.
        """
        stored = StoredVectors(self._directory(encoder), encoder.dim)
        keys = self._keys.of(sources, encoder.modality)
        unknown = [position for position, key in enumerate(keys) if key is not None and key not in stored]
        if unknown:
            raise EncoderError(
                f"{len(unknown)} of {len(keys)} items have no entry for this {encoder.modality} encoder in the feature "
                f"store {self.folder}, the first at position {unknown[0]}. Embed them first: mmrec embed, or "
                "FeatureStore.embed."
            )
        return stored.gather(keys)

    def status(self) -> dict:
        """What is stored: the folder, and for each encoder its name, modality, width, entries and bytes."""
        encoders = []
        for path in sorted(self.folder.glob("*/encoder.json")):
            about = json.loads(path.read_text(encoding="utf-8"))
            stored = StoredVectors(path.parent, about["dim"])
            size = sum(file.stat().st_size for file in path.parent.iterdir())
            undecodable = len(stored) - stored.vectors
            encoders.append({**about, "vectors": stored.vectors, "undecodable": undecodable, "bytes": size})
        return {"folder": str(self.folder), "encoders": encoders}

    def _directory(self, encoder: Encoder) -> Path:
        return self.folder / f"{encoder.modality}-{encoder.fingerprint[:16]}"

    def _encode(self, encoder, directory, sources, first, progress, chunk_rows) -> dict[bytes, bool]:
        """Encodes the sources at the positions `first` names, and says of each key whether it has a vector."""
        describe = f"Embedding {encoder.modality}"
        found: dict[bytes, bool] = {}
        rows = np.zeros(0, row_type(encoder.dim))
        try:
            for keys, present, vectors in self._batches(encoder, sources, first):
                rows = np.concatenate([rows, make_rows(keys, present, vectors)])
                while len(rows) >= chunk_rows:
                    write_chunk(directory, encoder, rows[:chunk_rows])
                    rows = rows[chunk_rows:]
                found.update(zip(keys, present))
                if progress is not None:
                    progress(describe, len(found), len(first))
        finally:
            # Also after Ctrl-C or an error: what has been computed need not be computed again.
            if len(rows):
                write_chunk(directory, encoder, rows)
        return found

    def _batches(self, encoder, sources, first) -> Iterator[tuple[list[bytes], list[bool], np.ndarray]]:
        """Keys, whether each could be decoded, and `[keys, dim]` vectors, about `batch_size` at a time."""
        size = min(encoder.batch_size, len(first))
        encode = tf.function(lambda batch: encoder(batch, training=False))
        keys, contents, given = [], [], 0
        missing = (_as_path(sources[position], encoder.modality) for position in first.values())
        for key, content in zip(first, decoded_in_order(encoder.decode, missing, ahead=2 * size)):
            keys.append(key)
            contents.append(content)
            given += content is not None
            # Undecodable content does not fill a batch, but is not held back for long either.
            if given == size or len(keys) == 4 * size:
                yield keys, *_encode_batch(encoder, encode, contents, size, [first[key] for key in keys])
                keys, contents, given = [], [], 0
        if keys:
            yield keys, *_encode_batch(encoder, encode, contents, size, [first[key] for key in keys])


def _as_path(source, modality: str):
    return Path(source) if isinstance(source, str) and modality != "text" else source


def _encode_batch(encoder, encode, contents, size, positions) -> tuple[list[bool], np.ndarray]:
    present = [content is not None for content in contents]
    vectors = np.zeros((len(contents), encoder.dim), np.float32)
    given = [content for content in contents if content is not None]
    if given:
        # A short batch is filled up with its last item, as another shape would have to be traced anew.
        filled = given + [given[-1]] * (size - len(given))
        batch = tf.constant(filled) if isinstance(given[0], str) else tf.constant(np.stack(filled))
        output = encode(batch)
        if output.shape != (size, encoder.dim):
            raise EncoderError(
                f"{type(encoder).__name__} gave {list(output.shape)} for a batch of {size}; its `dim` promises "
                f"[{size}, {encoder.dim}]."
            )
        vectors[present] = output.numpy()[: len(given)]
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise EncoderError(
            f"{type(encoder).__name__} gave a vector that is not finite for the item at position "
            f"{positions[int(finite.argmin())]}. Check that item's {encoder.modality}, and the module's weights."
        )
    return present, vectors
