"""Images decoded in the served graph, against the Python decoder."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mmrec_tf.data.images import decode_image
from mmrec_tf.serving.images_in_graph import decode_images, orientation_in_graph

SIZE = 32


def blobs(width, height, mode) -> Image.Image:
    """Smooth colours, so that a shift by a pixel shows and noise does not."""
    channels = len(mode)
    coarse = np.random.default_rng(channels).integers(0, 256, [6, 6, channels], np.uint8)
    return Image.fromarray(coarse[..., 0] if channels == 1 else coarse, mode).resize((width, height), Image.BICUBIC)


def file_of(image, kind, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind", "width", "height", "most"),
    [
        # Lossless files differ by rounding alone, JPEG by the decoders' own arithmetic.
        ("RGB", "PNG", 50, 70, 1),
        ("RGB", "PNG", 12, 9, 1),
        ("RGBA", "PNG", 70, 50, 1),
        ("L", "PNG", 200, 130, 1),
        ("LA", "PNG", 40, 40, 1),
        ("RGB", "BMP", 45, 64, 1),
        ("RGB", "GIF", 64, 40, 1),
        ("RGB", "JPEG", 90, 60, 8),
        ("L", "JPEG", 300, 200, 8),
    ],
)
def test_pixels_are_those_of_the_python_decoder(mode, kind, width, height, most):
    data = file_of(blobs(width, height, mode), kind)
    found = decode_images(tf.constant([data]), SIZE).numpy()[0].astype(int)
    expected = decode_image(data, SIZE).astype(int)
    assert np.abs(found - expected).max() <= most


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("byte_order", ["II", "MM"])
def test_photos_are_turned_upright(orientation, byte_order):
    image = blobs(60, 40, "RGB")
    exif = Image.Exif()
    exif.endian = {"II": "<", "MM": ">"}[byte_order]
    exif[0x010E] = "a description"
    exif[0x0112] = orientation
    data = file_of(image, "JPEG", exif=exif, quality=95)
    assert orientation_in_graph(tf.constant(data)).numpy() == orientation
    found = decode_images(tf.constant([data]), SIZE).numpy()[0].astype(int)
    assert np.abs(found - decode_image(data, SIZE).astype(int)).max() <= 10


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8" + b"Exif\x00\x00",
        b"\xff\xd8Exif\x00\x00II*\x00\xff\xff\xff\xff",
        b"\xff\xd8Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff"
        + b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x63\x00\x00" * 3,
        b"\x89PNG Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00",
    ],
)
def test_damaged_or_foreign_headers_are_upright(data):
    assert orientation_in_graph(tf.constant(data)).numpy() == 1


def test_nothing_is_black_and_a_batch_may_be_empty():
    data = file_of(blobs(40, 40, "RGB"), "PNG")
    images = decode_images(tf.constant([b"", data, b""]), SIZE).numpy()
    assert not images[[0, 2]].any() and images[1].any()
    assert decode_images(tf.zeros([0], tf.string), SIZE).shape == (0, SIZE, SIZE, 3)


@pytest.mark.parametrize("data", [b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0 cut off"])
def test_what_is_no_image_is_refused(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_images(tf.constant([data]), SIZE)
