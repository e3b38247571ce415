"""Media cells: where the file is, whether it is there, and whether it can be decoded.

A broken photo should be found before training, by name, not as a decoder's error in the middle of an epoch. Every
distinct file is opened once, in a few threads (the decoders release Python's lock).
"""

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

MAX_PIXELS = 64_000_000
"""Images with more pixels are refused unread: a few kilobytes of PNG can unpack to gigabytes."""

IMAGE_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
"""What an image may be. Pillow knows more, but some of those start other programs."""

EXTENSIONS = {
    "image": (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"),
    "audio": (".wav", ".ogg", ".oga", ".flac", ".mp3", ".opus", ".aiff", ".aif"),
    "video": (".mp4", ".webm", ".mkv", ".mov", ".avi", ".m4v"),
}
"""File name extensions by kind, for guessing; decoding looks at the content."""

MediaSource = Path | bytes | None
_THREADS = 4


def parse_media(series: pd.Series, folder: Path) -> np.ndarray:
    """Cells of a media column as `[rows]` object: absolute `Path`, bytes, or None for an empty cell.

    A cell is a path (relative to `folder`, or absolute), the file's bytes, or a mapping with `bytes` or `path` as
    Parquet files of image datasets often have it.
    """
    out = np.empty(len(series), dtype=object)
    for position, cell in enumerate(series.to_numpy(dtype=object, na_value=None)):
        out[position] = _source(cell, folder)
    return out


def _source(cell, folder: Path) -> MediaSource:
    if isinstance(cell, dict):
        data = cell.get("bytes")
        cell = data if data is not None else cell.get("path")
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return bytes(cell)
    if cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell)):
        return None
    text = str(cell)
    return Path(os.path.abspath(folder / text)) if text.strip() else None


def check_media(
    sources: np.ndarray, kind: str, progress: Callable[[int, int], None] | None = None
) -> tuple[dict[int, str], dict[int, str]]:
    """Looks at every source that is not None.

    Args:
        sources: `[rows]` object, from `parse_media`.
        kind: str. `image`, `audio` or `video`.
        progress: called with (files done, files in all).

    Returns:
        Two dicts of row to reason: files that are not there, and files (or bytes) that cannot be decoded.
    """
    rows: dict[MediaSource, list[int]] = {}
    for row, source in enumerate(sources):
        if source is not None:
            rows.setdefault(source, []).append(row)
    missing: dict[int, str] = {}
    broken: dict[int, str] = {}
    pool = ThreadPoolExecutor(_THREADS)
    try:
        faults = pool.map(lambda source: _fault(source, kind), rows)
        for done, (source, fault) in enumerate(zip(rows, faults), start=1):
            if fault is not None:
                found = missing if fault[0] == "missing" else broken
                found.update((row, fault[1]) for row in rows[source])
            if progress is not None:
                progress(done, len(rows))
    finally:
        # After Ctrl-C the files still waiting are not worth waiting for.
        pool.shutdown(cancel_futures=True)
    return dict(sorted(missing.items())), dict(sorted(broken.items()))


def _fault(source: Path | bytes, kind: str) -> tuple[str, str] | None:
    if isinstance(source, Path):
        # os.path answers False, and does not raise, for names the file system cannot even hold.
        if not os.path.isfile(source):
            return "missing", f"{source} is {'a folder' if os.path.isdir(source) else 'not there'}"
        name, size = str(source), os.path.getsize(source)
    else:
        name, size = f"{len(source):,} bytes", len(source)
    if size == 0:
        return "broken", f"{name}: empty file" if isinstance(source, Path) else "no bytes"
    reason = decoding_fault(source, kind)
    return None if reason is None else ("broken", f"{name}: {reason}")


def decoding_fault(source: Path | bytes, kind: str) -> str | None:
    """Why an image or audio file cannot be decoded, or None when it can.

    An image is decoded whole (a JPEG at an eighth of its size, which reads all of its data but is quicker); of an
    audio file the header and the first samples are. Video is not opened here.
    """
    opened = source if isinstance(source, Path) else io.BytesIO(source)
    try:
        if kind == "image":
            return _image_fault(opened)
        if kind == "audio":
            return _audio_fault(opened)
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001
        # Decoders raise whatever hostile bytes lead them into (struct.error, zlib.error, ...); all mean the same here.
        return f"{type(error).__name__}: {error}".splitlines()[0][:160].rstrip(". ")
    return None


def _image_fault(opened) -> str | None:
    from PIL import Image

    with Image.open(opened, formats=IMAGE_FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            return f"{width} x {height} pixels, more than the limit of {MAX_PIXELS:,}"
        image.draft("RGB", (max(1, width // 8), max(1, height // 8)))
        image.load()
    return None


def _audio_fault(opened) -> str | None:
    import soundfile

    with soundfile.SoundFile(str(opened) if isinstance(opened, Path) else opened) as audio:
        samples = audio.read(frames=4096, dtype="float32", always_2d=True)
    return "no samples" if len(samples) == 0 else None if np.isfinite(samples).all() else "samples are not finite"
