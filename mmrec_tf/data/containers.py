"""Video containers opened through PyAV (FFmpeg), for their pictures and their sound, with what untrusted files ask for.

FFmpeg opens far more than videos: playlists that name other files and addresses, devices, text as a picture of a
terminal. Only the containers that catalogues hold are tried, and only the file itself is read.
"""

import io
from collections.abc import Iterator
from pathlib import Path

VIDEO_CONTAINERS = ("mov", "matroska", "avi", "gif", "mpegts", "mpeg", "flv", "asf", "ogg")
"""Demuxers whose pictures are read: MP4 and MOV, WebM and MKV, AVI, GIF, MPEG, FLV, WMV, Ogg."""

SOUND_CONTAINERS = ("mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "aac", "gif")
"""Demuxers whose sound is read where libsndfile does not know the file; a GIF opens and has none."""

MAX_FRAME_PIXELS = 36_000_000
"""Videos with larger pictures are refused (8K is 33 million pixels), to bound the memory that a frame takes."""

MAX_DAMAGED_PACKETS = 100
"""A file is read no further once that many of its packets could not be decoded."""


def open_container(source: Path | bytes, formats: tuple[str, ...]):
    """The source as an open `av.container.InputContainer`; close it, or use it in a `with`.

    Args:
        source: path of the file, or its bytes.
        formats: names of the FFmpeg demuxers that may be tried.

    Raises:
        av.FFmpegError: when it is none of these, or damaged at its beginning.
    """
    import av

    # Titles and the like, which need not be UTF-8, are not looked at.
    options = {"format_whitelist": ",".join(formats), "max_pixels": str(MAX_FRAME_PIXELS)}
    if not isinstance(source, Path):
        return av.open(io.BytesIO(source), options=options, metadata_errors="replace")
    # The scheme keeps a file name such as `pipe:0` or `http:x` from being taken for an address.
    return av.open(f"file:{source}", options={**options, "protocol_whitelist": "file"}, metadata_errors="replace")


def picture_stream(container):
    """The container's main video stream, ready to decode, or None; a cover picture of a song is none.

    Raises:
        ValueError: when its codec is unknown.
    """
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        return None
    best = container.streams.best("video")
    return _bounded(next((stream for stream in streams if best is not None and stream.index == best.index), streams[0]))


def sound_stream(container):
    """The container's main audio stream, ready to decode, or None.

    Raises:
        ValueError: when its codec is unknown.
    """
    stream = container.streams.best("audio")
    return None if stream is None else _bounded(stream)


def _is_cover(stream) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _bounded(stream):
    context = stream.codec_context
    if context is None:
        raise ValueError(f"no decoder for its {stream.type}")
    context.options = {**context.options, "max_pixels": str(MAX_FRAME_PIXELS)}
    # Files are decoded several at a time already; more threads each would only hold more frames in memory.
    context.thread_count = 1
    return stream


def decoded_frames(container, stream) -> Iterator:
    """The stream's frames from where the container stands; damaged packets are passed over."""
    import av

    damaged = 0
    packets = container.demux(stream)
    while damaged <= MAX_DAMAGED_PACKETS:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            damaged += 1
            continue
        yield from (frame for frame in frames if not frame.is_corrupt)


def stream_seconds(container, stream) -> float | None:
    """Length in seconds as the container states it, or None when it does not."""
    import av

    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def start_of(stream) -> float:
    """When the stream begins, in seconds of the container's clock."""
    return float(stream.start_time * stream.time_base) if stream.start_time else 0.0


def seek(container, stream, seconds: float) -> bool:
    """Moves to the last point before `seconds` where decoding can start; False where the file cannot be sought in."""
    import av

    try:
        container.seek(round(seconds / float(stream.time_base)), stream=stream, backward=True)
    except av.FFmpegError:
        return False
    return True
