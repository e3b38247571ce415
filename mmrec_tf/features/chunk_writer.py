"""Rows on their way into the feature store: gathered, checked, written a chunk at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmrec_tf.encoders.base import Encoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.features.chunks import make_rows, row_type, write_chunk


class ChunkWriter:
    """Gathers rows and writes them as chunks.

    Args:
        directory: where the chunks go.
        about: what `encoder.json` says.
        chunk_rows: int. Rows of a chunk.
        ids: of the items, by position, for messages; None to call an item by its position.
    """

    def __init__(self, directory: Path, about: dict, chunk_rows: int, ids: Sequence[str] | None = None):
        self.directory, self.about, self.chunk_rows, self.ids = directory, about, chunk_rows, ids
        self._rows = np.zeros(0, row_type(about["dim"], about["dtype"]))

    def add(self, keys: list[bytes], present: list[bool], vectors: np.ndarray, positions: list[int]) -> None:
        """Takes rows; `positions` are the items', for messages.

        Raises:
            EncoderError: if a vector is not finite in the type it is stored in. None of the rows is taken.
        """
        # Too large for float16 is reported below.
        with np.errstate(over="ignore"):
            rows = make_rows(keys, present, vectors, self.about["dtype"])
        finite = np.isfinite(rows["vector"]).all(axis=1)
        if not finite.all():
            worst = int(finite.argmin())
            encoder, modality, dtype = (self.about[name] for name in ("encoder", "modality", "dtype"))
            position = positions[worst]
            item = f"the item at position {position}" if self.ids is None else f"item {self.ids[position]!r}"
            if np.isfinite(vectors[worst]).all():
                raise EncoderError(
                    f"{encoder} gave a vector with numbers too large for {dtype} for {item}. Store its vectors as "
                    "float32."
                )
            raise EncoderError(
                f"{encoder} gave a vector that is not finite for {item}. Check that item's {modality}, and the "
                "module's weights."
            )
        self._rows = np.concatenate([self._rows, rows])
        while len(self._rows) >= self.chunk_rows:
            write_chunk(self.directory, self.about, self._rows[: self.chunk_rows])
            self._rows = self._rows[self.chunk_rows :]

    def flush(self) -> None:
        """Writes what is left as a smaller chunk."""
        if len(self._rows):
            write_chunk(self.directory, self.about, self._rows)
            self._rows = self._rows[:0]


def encoder_about(encoder: Encoder, dtype: str) -> dict:
    """What `encoder.json` says."""
    return {
        "encoder": type(encoder).__name__,
        "modality": encoder.modality,
        "dim": encoder.dim,
        "dtype": dtype,
        "fingerprint": encoder.fingerprint,
    }
