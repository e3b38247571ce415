"""Image files opened with what untrusted ones ask for: few formats, a bound on pixels, one large image at a time."""

import functools
import io
import threading
from contextlib import contextmanager, nullcontext
from pathlib import Path

MAX_PIXELS = 64_000_000
"""Images with more pixels are refused unread: a few kilobytes of PNG can unpack to gigabytes."""

FORMAT_PIXELS = {"WEBP": 24_000_000, "AVIF": 40_000_000, "HEIF": 52_000_000}
"""The same for formats whose decoders take more memory a pixel: 15 bytes (WebP), 9 (AVIF), 7 (HEIC; phones write 48
million pixels). So one image takes less than 400 MB; progressive JPEGs come near to that, at 6 bytes a pixel."""

LARGE_PIXELS = 8_000_000
"""Images with more pixels are decoded one at a time, however many threads there are; see `open_image`."""

_large = threading.Lock()


@functools.cache
def image_formats() -> tuple[str, ...]:
    """What an image may be, as Pillow's names of formats. Pillow knows more, but some of those start other programs.

    HEIF (HEIC) is among them where the package pillow-heif is installed, AVIF where Pillow was built with it.
    """
    from PIL import Image, features

    formats = ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"]
    if features.check("avif"):
        formats.append("AVIF")
    try:
        import pillow_heif
    except ImportError:
        return tuple(formats)
    pillow_heif.register_heif_opener()
    Image.init()
    return (*formats, "HEIF")


@contextmanager
def open_image(source: Path | bytes, side: int):
    """The image, opened and not yet decoded; a JPEG will be at the smallest scale that is `side` pixels at least.

    A JPEG of any size then takes little memory, unless it is progressive. Others take 4 bytes a pixel and more, so
    large ones wait for each other.

    Args:
        source: path of the file, or its bytes.
        side: int. Pixels that both sides must keep.

    Raises:
        ImageTooLargeError: with more pixels than `MAX_PIXELS` or its format's `FORMAT_PIXELS`.
        OSError and whatever Pillow's decoders raise: when it is no image.
    """
    from PIL import Image

    opened = source if isinstance(source, Path) else io.BytesIO(source)
    try:
        image = Image.open(opened, formats=image_formats())
    except Image.DecompressionBombError:
        raise ImageTooLargeError(f"more pixels than the limit of {MAX_PIXELS:,}") from None
    with image:
        width, height = image.size
        limit = min(MAX_PIXELS, FORMAT_PIXELS.get(image.format, MAX_PIXELS))
        if width * height > limit:
            raise ImageTooLargeError(f"{image.format} of {width} x {height} pixels, more than the limit of {limit:,}")
        image.draft("RGB", (side, side))
        held = width * height if image.info.get("progressive") else image.width * image.height
        with _large if held > LARGE_PIXELS else nullcontext():
            yield image


class ImageTooLargeError(Exception):
    """An image that is not decoded because of its size; the message says how large it is."""
