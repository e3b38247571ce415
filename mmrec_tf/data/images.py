"""Image files into pixels: any format, orientation, colour mode and size into one square RGB array.

Catalogues mix camera photos that are stored sideways, transparent logos, scans in 16 bits and print files in CMYK. An
encoder takes one shape of one kind, so all of that is settled here, once.
"""

import io
from pathlib import Path

import numpy as np

from mmrec_tf.data.media import IMAGE_FORMATS, MAX_PIXELS


def decode_image(source: Path | bytes, size: int) -> np.ndarray | None:
    """An image as a square of pixels.

    The EXIF orientation is applied, transparency is laid on white, the image is scaled with its aspect kept until it
    covers the square, and what stands out is cut off evenly on both sides. Of an animation the first frame is taken.

    Args:
        source: path of the file, or its bytes.
        size: int. Pixels of the square's side.

    Returns:
        `[size, size, 3]` uint8, or None when the source cannot be decoded or has more than `MAX_PIXELS` pixels.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source), formats=IMAGE_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            # A JPEG can be decoded at a fraction of its size, several times as fast; twice the target keeps it sharp.
            image.draft("RGB", (2 * size, 2 * size))
            image = _as_rgb(ImageOps.exif_transpose(image))
            return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR))
    except ImportError:
        raise
    except Exception:  # noqa: BLE001
        # Decoders raise whatever hostile bytes lead them into; validation has reported such files by name and reason.
        return None


def _as_rgb(image):
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        # Pillow clips deep pixels at 255 when it converts them, which turns most of a 16-bit scan white.
        pixels = np.asarray(image, dtype=np.float64)
        top = pixels.max(initial=0.0)
        scale = 255.0 if top <= 1.0 and image.mode == "F" else 1.0 if top <= 255.0 else 255.0 / 65535.0
        return Image.fromarray((pixels * scale).round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
