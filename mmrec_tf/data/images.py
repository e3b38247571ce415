"""Image files into pixels: any format, orientation, colour mode and size into one square RGB array.

Catalogues mix camera photos that are stored sideways, transparent logos, scans in 16 bits and print files in CMYK. An
encoder takes one shape of one kind, so all of that is settled here, once.
"""

import struct
from pathlib import Path

import numpy as np

from mmrec_tf.data.image_files import LARGE_PIXELS, ImageTooLargeError, open_image

_ORIENTATION = 0x0112


def decode_image(source: Path | bytes, size: int) -> np.ndarray | None:
    """An image as a square of pixels.

    The EXIF orientation is applied, transparency is laid on white, the image is scaled with its aspect kept until it
    covers the square, and what stands out is cut off evenly on both sides. Of an animation the first frame is taken.

    Args:
        source: path of the file, or its bytes. JPEG, PNG, GIF, WebP, BMP, TIFF; AVIF and HEIC where they can be read
            (`mmrec_tf.data.image_files`).
        size: int. Pixels of the square's side.

    Returns:
        `[size, size, 3]` uint8, or None when the source cannot be decoded or has more than `MAX_PIXELS` pixels.
    """
    from PIL import Image, ImageOps

    try:
        # A JPEG can be decoded at a fraction of its size, several times as fast; twice the target keeps it sharp.
        with open_image(source, 2 * size) as image:
            # Pillow turns a TIFF upright while it loads it, and says afterwards that it is.
            image.load()
            orientation = orientation_of(image)
            rgb = _shrunk(image, size) if image.width * image.height > LARGE_PIXELS else _as_rgb(image)
            square = ImageOps.fit(rgb, (size, size), Image.Resampling.BILINEAR)
    except (ImportError, ImageTooLargeError) as error:
        if isinstance(error, ImportError):
            raise
        return None
    except Exception:  # noqa: BLE001
        # Decoders raise whatever hostile bytes lead them into; validation has reported such files by name and reason.
        return None
    return np.asarray(turned(square, orientation))


def orientation_of(image) -> int:
    """The EXIF orientation of a loaded image, 1 to 8; 1, upright, where there is none or the data are damaged."""
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except (SyntaxError, ValueError, TypeError, KeyError, OSError, EOFError, struct.error):
        return 1


def turned(image, orientation: int):
    """The image upright, given its EXIF orientation."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _shrunk(image, size: int):
    """The middle square of a large image, as RGB, at a whole fraction of its size.

    It is worked on in strips: colours of the whole at once would take several times the memory of the image itself.
    """
    from PIL import Image

    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    factor = max(1, side // (2 * size))
    cells = -(-side // factor)
    out = Image.new("RGB", (cells, cells))
    brightest = _brightest(image)
    rows = max(1, 256 // factor) * factor
    for row in range(0, side, rows):
        strip = image.crop((left, top + row, left + side, top + min(row + rows, side)))
        out.paste(_as_rgb(strip, brightest).reduce(factor), (0, row // factor))
    return out


def _brightest(image) -> float | None:
    """The highest value of deep grey pixels; None for the usual modes of 8 bits."""
    return float(image.getextrema()[1]) if image.mode.startswith(("I", "F")) else None


def _as_rgb(image, brightest: float | None = None):
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        # Pillow clips deep pixels at 255 when it converts them, which turns most of a 16-bit scan white.
        pixels = np.asarray(image, dtype=np.float32)
        top = pixels.max(initial=0.0) if brightest is None else brightest
        scale = 255.0 if top <= 1.0 and image.mode == "F" else 1.0 if top <= 255.0 else 255.0 / 65535.0
        return Image.fromarray((pixels * scale).round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
