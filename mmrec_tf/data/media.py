"""Media cells: where the file is, whether it is there, and whether it can be decoded.

A broken photo should be found before training, by name, not as a decoder's error in the middle of an epoch. Every
distinct file is opened once, in a few threads (the decoders release Python's lock).
"""

import errno
import os
import re
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_tf.data.audio_files import AbsentSoundError, UnusableAudioError, open_audio
from mmrec_tf.data.containers import MAX_FRAME_PIXELS, VIDEO_CONTAINERS, decoded_frames, open_container, picture_stream
from mmrec_tf.data.file_memory import FileMemory
from mmrec_tf.data.image_files import ImageTooLargeError, open_image
from mmrec_tf.data.reading import reading_fault

EXTENSIONS = {
    "image": (
        ".jpg", ".jpeg", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif",
    ),
    "audio": (".wav", ".ogg", ".oga", ".flac", ".mp3", ".opus", ".aiff", ".aif", ".aifc", ".m4a", ".aac", ".wma"),
    "video": (
        ".mp4", ".webm", ".mkv", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".ogv", ".3gp",
    ),
}  # fmt: skip
"""File name extensions by kind, for guessing; decoding looks at the content."""

MediaSource = Path | bytes | None
_THREADS = 4
_CHECKED_SIDE = 64
# Small, so that JPEGs are decoded at an eighth of their size.
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


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


@dataclass
class MediaCheck:
    """What `check_media` found, each a dict of row to reason.

    Args:
        missing: files that are not there.
        unreadable: files that are there and could not be read, which says nothing about what is in them.
        broken: files or bytes that cannot be decoded.
        absent: videos without sound, where sound was asked for: nothing is wrong with them.
    """

    missing: dict[int, str] = field(default_factory=dict)
    unreadable: dict[int, str] = field(default_factory=dict)
    broken: dict[int, str] = field(default_factory=dict)
    absent: dict[int, str] = field(default_factory=dict)


def check_media(
    sources: np.ndarray,
    kind: str,
    progress: Callable[[int, int], None] | None = None,
    memory: FileMemory | None = None,
) -> MediaCheck:
    """Looks at every source that is not None.

    Args:
        sources: `[rows]` object, from `parse_media`.
        kind: str. `image`, `audio` or `video`.
        progress: called with (files done, files in all).
        memory: what is known of files that have not changed; they are not opened again, but for those that could not
            be read.
    """
    memory = memory or FileMemory()
    rows: dict[MediaSource, list[int]] = {}
    for row, source in enumerate(sources):
        if source is not None:
            rows.setdefault(source, []).append(row)
    found = {"missing": {}, "unreadable": {}, "broken": {}, "absent": {}}
    pool = ThreadPoolExecutor(_THREADS)
    try:
        faults = pool.map(lambda source: _remembered_fault(source, kind, memory), rows)
        for done, (source, fault) in enumerate(zip(rows, faults), start=1):
            if fault is not None:
                found[fault[0]].update((row, fault[1]) for row in rows[source])
            if progress is not None:
                progress(done, len(rows))
    finally:
        # After Ctrl-C the files still waiting are not worth waiting for.
        pool.shutdown(cancel_futures=True)
        memory.save()
    return MediaCheck(**{name: dict(sorted(reasons.items())) for name, reasons in found.items()})


def _remembered_fault(source: Path | bytes, kind: str, memory: FileMemory) -> tuple[str, str] | None:
    state = memory.state_of(source) if isinstance(source, Path) else None
    if state is None:
        return media_fault(source, kind)
    if memory.has_verdict(source, state, kind):
        verdict = memory.verdict(source, state, kind)
        return None if verdict is None else tuple(verdict.split(": ", 1))
    fault = media_fault(source, kind)
    if fault is None or fault[0] != "unreadable":
        memory.remember_verdict(source, state, kind, None if fault is None else ": ".join(fault))
    return fault


def media_fault(source: Path | bytes, kind: str) -> tuple[str, str] | None:
    """`missing`, `unreadable`, `broken` or `absent`, and the reason with the file's name; None when it can be used.

    An image is decoded whole (a JPEG at an eighth of its size, which reads all of its data but is quicker); of an
    audio file the header and the first samples are; of a video the header and the first picture.
    """
    if isinstance(source, bytes):
        return _content_fault(source, kind, f"{len(source):,} bytes") if source else ("broken", "no bytes")
    try:
        about = os.stat(source)
    except (OSError, ValueError) as error:
        # Some names the file system cannot even hold.
        if isinstance(error, OSError) and error.errno not in _NOT_THERE:
            return _unreadable(source, error.strerror)
        return "missing", f"{source} is not there"
    if not stat.S_ISREG(about.st_mode):
        return "missing", f"{source} is {'a folder' if stat.S_ISDIR(about.st_mode) else 'no file'}"
    if about.st_size == 0:
        return "broken", f"{source}: empty file"
    fault = _content_fault(source, kind, str(source))
    if fault is None or fault[0] != "broken":
        return fault
    reason = reading_fault(source)
    # A file that could not be read may be back by now.
    return _content_fault(source, kind, str(source)) if reason is None else _unreadable(source, reason)


def _unreadable(source: Path, reason: str) -> tuple[str, str]:
    return "unreadable", f"{source} cannot be read ({reason})"


def _content_fault(source: Path | bytes, kind: str, name: str) -> tuple[str, str] | None:
    """`broken` or `absent` with the reason, by what the kind's decoder says; None when it has nothing to say."""
    try:
        reason = {"image": _image_fault, "audio": _audio_fault, "video": _video_fault}[kind](source)
    except AbsentSoundError as error:
        return "absent", f"{name}: {error}"
    except (ImageTooLargeError, UnusableAudioError) as error:
        reason = str(error)
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001
        # Decoders raise whatever hostile bytes lead them into (struct.error, zlib.error, ...); all mean the same here.
        # Some name an object in memory instead of the file.
        text = re.sub(r" ?<_io\.BytesIO[^>]*>|: '<none>'", "", f"{error}".strip().split("\n")[0])
        reason = f"{type(error).__name__}: {text}"[:160].rstrip(". ")
    return None if reason is None else ("broken", f"{name}: {reason}")


def _image_fault(source: Path | bytes) -> str | None:
    with open_image(source, side=_CHECKED_SIDE) as image:
        image.load()
    return None


def _audio_fault(source: Path | bytes) -> str | None:
    with open_audio(source, needed_seconds=0.0) as audio:
        samples = audio.read(0, 4096)
    return "no samples" if len(samples) == 0 else None if np.isfinite(samples).all() else "samples are not finite"


def _video_fault(source: Path | bytes) -> str | None:
    with open_container(source, VIDEO_CONTAINERS) as container:
        stream = picture_stream(container)
        if stream is None:
            return "no pictures in it"
        width, height = stream.codec_context.width, stream.codec_context.height
        if width * height > MAX_FRAME_PIXELS:
            return f"pictures of {width} x {height} pixels, more than the limit of {MAX_FRAME_PIXELS:,}"
        if next(decoded_frames(container, stream), None) is None:
            return "none of its pictures can be decoded"
    return None
