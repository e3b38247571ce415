"""Small media files made for tests, with contents that tell which part was decoded."""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np


def tone(seconds, rate, hertz=440.0, level=0.5):
    """`[samples]` float32 sine."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def sound(samples, rate, container="WAV", subtype="FLOAT") -> bytes:
    """A file by soundfile."""
    import soundfile

    data = io.BytesIO()
    soundfile.write(data, samples, rate, format=container, subtype=subtype)
    return data.getvalue()


def grey(number, height=48, width=64):
    """A frame whose level tells its number: 16, 20, 24, ..."""
    return np.full((height, width, 3), 16 + 4 * number, np.uint8)


def number_of(frame) -> int:
    """Which frame of `grey` a decoded one is."""
    return round((float(frame.mean()) - 16) / 4)


def video(
    path: Path,
    frames=(),
    rate=10,
    codec="mpeg4",
    key_every=12,
    waveform=None,
    sound_rate=16000,
    sound_codec="aac",
    aspect=1,
    title=None,
) -> Path:
    """A video of frames `[height, width, 3]` uint8, with mono sound where a waveform is given; or the sound alone."""
    import av

    with av.open(str(path), "w") as container:
        pictures = speaker = None
        if title is not None:
            container.metadata["title"] = title
        if len(frames):
            options = {"x264-params": "scenecut=0:bframes=0"} if codec == "libx264" else {}
            pictures = container.add_stream(codec, rate=rate, options=options)
            pictures.height, pictures.width = frames[0].shape[:2]
            pictures.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
            pictures.bit_rate = 4_000_000
            pictures.codec_context.sample_aspect_ratio = Fraction(aspect)
            if codec != "gif":
                pictures.codec_context.gop_size = key_every
        if waveform is not None:
            speaker = container.add_stream(sound_codec, rate=sound_rate, layout="mono")
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(pictures.encode(frame))
        if pictures is not None:
            container.mux(pictures.encode(None))
        if speaker is not None:
            for start in range(0, len(waveform), 1024):
                part = np.ascontiguousarray(waveform[np.newaxis, start : start + 1024], np.float32)
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = sound_rate, start, Fraction(1, sound_rate)
                container.mux(speaker.encode(frame))
            container.mux(speaker.encode(None))
    return path
