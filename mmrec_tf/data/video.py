"""Video files into a few frames: any container, length, rotation and aspect into small squares of pixels.

A video says most of what a recommender can use in a handful of pictures. Which ones is the question: evenly spread,
those that the encoder of the file chose as key frames, or one from each scene. However long the file is, a bounded
number of frames is decoded, and only small or chosen ones are kept.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mmrec_tf.data import scenes
from mmrec_tf.data.containers import (
    VIDEO_CONTAINERS,
    decoded_frames,
    open_container,
    picture_stream,
    seek,
    start_of,
    stream_seconds,
)

MAX_DECODED_FRAMES = 10_000
"""The most frames of a file that are decoded in one pass (at 30 a second, five and a half minutes). Scenes of a longer
video are sought among its key frames, of which the same number is read at most."""

MAX_PACKETS = 1_000_000
"""The most packets of a file that are looked at to find its key frames or its length: about four hours with sound."""

_SEEK_GAP = 250
# Jumping pays when the next frame is farther away than the usual distance between key frames (x264's is 250).
_DEFAULT_RATE = 25.0


def decode_video(
    source: Path | bytes,
    frames: int,
    size: int,
    sampling: str = "uniform",
    shot_scores: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray | None:
    """Frames of a video, in the order of time, as squares of pixels.

    Frames are turned as the file says, scaled with their aspect kept until they cover the square, and cut evenly.
    How they are chosen:

    - `uniform`: the video is cut into `frames` equal parts; the frame shown in the middle of each.
    - `keyframes`: spread evenly over the key frames, the only ones that are decoded; `uniform` where there is but one.
    - `scenes`: the middle frame of each of the longest scenes; a new scene starts where the colours change at once
      (`mmrec_tf.data.scenes`). With fewer scenes than frames, the longest ones give several.
    - `shots`: the same, with the boundaries where `shot_scores` exceed 0.5. A video of more than `MAX_DECODED_FRAMES`
      is treated as `scenes`, as a network for shots needs every frame.

    Args:
        source: path of the file, or its bytes. MP4, MOV, WebM, MKV, AVI, GIF, MPEG, FLV, WMV, OGV.
        frames: int. The most frames.
        size: int. Pixels of a frame's side.
        sampling: `uniform`, `keyframes`, `scenes` or `shots`.
        shot_scores: for `shots`: function from thumbnails `[n, 27, 48, 3]` uint8, one of each frame, to `[n]` scores
            in [0, 1] of a cut there.

    Returns:
        `[frames, size, size, 3]` uint8, fewer frames where the video has no more, or None when it has no pictures or
        cannot be decoded.

    Raises:
        ValueError: when `sampling` is unknown, or is `shots` without `shot_scores`.
    """
    import av

    if sampling not in ("uniform", "keyframes", "scenes", "shots"):
        raise ValueError(f"sampling is {sampling!r}; it must be uniform, keyframes, scenes or shots")
    if sampling == "shots" and shot_scores is None:
        raise ValueError("sampling: shots needs shot_scores, a function that rates every frame as a cut")
    try:
        # Opened twice, as a pass over the packets or thumbnails ends where not every container can be sought in.
        with open_container(source, VIDEO_CONTAINERS) as container:
            stream = picture_stream(container)
            if stream is None:
                return None
            moments, only_keys = _moments(container, stream, frames, sampling, shot_scores)
        with open_container(source, VIDEO_CONTAINERS) as container:
            stream = picture_stream(container)
            aspect = float(stream.sample_aspect_ratio or 1)
            # What no camera or disc has is taken for a mistake.
            aspect = aspect if 0.25 <= aspect <= 4.0 else 1.0
            squares = [square(frame, size, aspect) for frame in _frames_at(container, stream, moments, only_keys)]
    except (av.FFmpegError, OSError, ValueError, MemoryError):
        return None
    return np.stack(squares) if squares else None


def _moments(container, stream, frames: int, sampling: str, shot_scores) -> tuple[np.ndarray, bool]:
    """When the chosen frames are shown, rising seconds of the container's clock, and whether they are key frames."""
    if sampling in ("scenes", "shots"):
        is_long = (stream_seconds(container, stream) or 0.0) * _rate(stream) > MAX_DECODED_FRAMES
        times, thumbnails = _thumbnails(container, stream, only_keys=is_long)
        by_scores = sampling == "shots" and not is_long and len(times) > 0
        spans = scenes.scenes_by_scores(shot_scores(thumbnails)) if by_scores else scenes.scenes_by_colour(thumbnails)
        return times[scenes.middles(spans, frames)], is_long
    start, seconds = start_of(stream), stream_seconds(container, stream)
    if sampling == "keyframes" or seconds is None:
        packets = _packets(container, stream)
        if len(packets):
            start, seconds = packets[:, 0].min(), packets[:, 1].max() - packets[:, 0].min()
        keys = np.sort(packets[packets[:, 2] > 0, 0])
        if sampling == "keyframes" and len(keys) > 1:
            return keys[np.unique(np.linspace(0, len(keys) - 1, frames).round().astype(int))], True
    return start + (np.arange(frames) + 0.5) / frames * (seconds or 0.0), False


def _packets(container, stream) -> np.ndarray:
    """Begin and end in seconds of every packet, and whether it is a key frame, `[packets, 3]`; none is decoded."""
    import av

    found = []
    unit = float(stream.time_base)
    packets = itertools.islice(container.demux(stream), MAX_PACKETS)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            # A truncated file ends in an error; what came before it counts.
            return np.array(found).reshape(-1, 3)
        begin = packet.dts if packet.pts is None else packet.pts
        if begin is not None and packet.size:
            found.append((begin * unit, (begin + (packet.duration or 0)) * unit, packet.is_keyframe))


def _rate(stream) -> float:
    rate = float(stream.average_rate) if stream.average_rate else 0.0
    return rate if 0.0 < rate <= 1000.0 else _DEFAULT_RATE


def _timed(container, stream, start: float) -> Iterator:
    """(seconds, frame) of each frame; a frame without a time follows the one before at the usual rate."""
    step = 1.0 / _rate(stream)
    time = start - step
    for frame in decoded_frames(container, stream):
        time = frame.time if frame.time is not None else time + step
        yield time, frame


def _thumbnails(container, stream, only_keys: bool) -> tuple[np.ndarray, np.ndarray]:
    """`[n]` seconds and `[n, 27, 48, 3]` uint8 thumbnails of the frames."""
    if only_keys:
        stream.codec_context.skip_frame = "NONKEY"
    times = []
    thumbnails = np.empty((MAX_DECODED_FRAMES, scenes.THUMBNAIL_HEIGHT, scenes.THUMBNAIL_WIDTH, 3), np.uint8)
    for time, frame in itertools.islice(_timed(container, stream, start_of(stream)), MAX_DECODED_FRAMES):
        small = frame.reformat(scenes.THUMBNAIL_WIDTH, scenes.THUMBNAIL_HEIGHT, "rgb24")
        thumbnails[len(times)] = small.to_ndarray()
        times.append(time)
    return np.array(times), thumbnails[: len(times)]


def _frames_at(container, stream, moments: np.ndarray, only_keys: bool) -> Iterator:
    """The frame that is shown at each of the rising moments; one that is shown at several comes once."""
    if only_keys:
        stream.codec_context.skip_frame = "NONKEY"
    allowance = max(1, MAX_DECODED_FRAMES // max(1, len(moments)))
    gap = min(_SEEK_GAP, allowance) / _rate(stream)
    # A time in a file is a whole number of its units; half of one settles what rounding leaves open.
    slack = 0.5 * float(stream.time_base)
    queue = _timed(container, stream, start_of(stream))
    now, shown, given = start_of(stream), None, None
    following = None
    for moment in moments:
        if (only_keys or moment - now > gap) and seek(container, stream, moment):
            queue, shown, following = _timed(container, stream, moment), None, None
        following = following or next(queue, None)
        for _ in range(allowance):
            if following is None or (shown is not None and following[0] > moment + slack):
                break
            (now, shown), following = following, next(queue, None)
        if shown is not None and now != given:
            given = now
            yield shown


def square(frame, size: int, pixel_aspect: float = 1.0) -> np.ndarray:
    """A decoded frame as `[size, size, 3]` uint8: turned upright, the aspect kept, the middle cut out.

    Args:
        frame: an `av.VideoFrame`.
        size: int. Pixels of the square's side.
        pixel_aspect: float. How wide a pixel is shown, for a height of 1.
    """
    width = frame.width * pixel_aspect
    scale = size / min(width, frame.height)
    wide, high = max(size, round(width * scale)), max(size, round(frame.height * scale))
    pixels = frame.reformat(wide, high, "rgb24").to_ndarray()
    left, top = (wide - size) // 2, (high - size) // 2
    pixels = pixels[top : top + size, left : left + size]
    quarters = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters))
