"""Image decoding: formats, orientation, colour modes, aspect, hostile files."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from mmrec_tf.data import image_files, images
from mmrec_tf.data.image_files import image_formats
from mmrec_tf.data.images import decode_image

RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def encoded(image, form="PNG", **options):
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def halves(left, right, size=(40, 40)):
    image = Image.new("RGB", size, left)
    image.paste(right, (size[0] // 2, 0, *size))
    return image


def half_transparent(side=300):
    """Transparent red beside opaque blue."""
    image = Image.new("RGBA", (side, side), (*RED, 0))
    image.paste((*BLUE, 255), (side // 2, 0, side, side))
    return image


def assert_colours(found, left, right, tolerance=6):
    """The left and the right side of a decoded image, away from the edge between them."""
    assert found.dtype == np.uint8 and found.shape[2] == 3 and found.shape[0] == found.shape[1]
    third = found.shape[1] // 3
    for part, colour in ((found[:, :third], left), (found[:, -third:], right)):
        np.testing.assert_allclose(part.astype(int), np.broadcast_to(colour, part.shape), atol=tolerance)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_formats_by_path_and_bytes(form, tmp_path):
    if form not in image_formats():
        pytest.skip(f"{form} cannot be read here (HEIF needs pillow-heif, AVIF a Pillow that was built with it)")
    data = encoded(halves(RED, BLUE, (48, 48)), form)
    (tmp_path / "misnamed.txt").write_bytes(data)
    found = decode_image(tmp_path / "misnamed.txt", 24)
    assert_colours(found, RED, BLUE, tolerance=12)
    np.testing.assert_array_equal(decode_image(data, 24), found)


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    # 0x0112 is the orientation; 3 means that the camera was upside down.
    exif[0x0112] = 3
    data = encoded(halves(RED, BLUE), "JPEG", exif=exif, quality=95, subsampling=0)
    assert_colours(decode_image(data, 40), BLUE, RED, 12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_as_pillow_has_it(orientation):
    random = np.random.default_rng(0)
    image = Image.fromarray(random.integers(0, 256, (3, 3, 3), np.uint8)).resize((30, 30), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(decode_image(data, 30), np.asarray(upright.convert("RGB")))


UPRIGHT = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda pixels: np.rot90(pixels),
}
"""What is to be done to the stored pixels, by the EXIF standard's description of each orientation."""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}], ids=["plain", "compressed"])
@pytest.mark.parametrize("large_pixels", [images.LARGE_PIXELS, 1], ids=["usual", "in strips"])
def test_every_orientation_of_a_tiff(orientation, options, large_pixels, monkeypatch):
    monkeypatch.setattr(images, "LARGE_PIXELS", large_pixels)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode_image(encoded(Image.fromarray(pixels), "TIFF", exif=exif, **options), 30)
    # The middle 30 of the longer side are kept, whichever that is.
    np.testing.assert_array_equal(found, UPRIGHT[orientation](pixels[:, 10:40]))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_data_do_not_cost_the_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    damaged = exif.tobytes()[:-9]
    assert_colours(decode_image(encoded(halves(RED, BLUE), "JPEG", exif=damaged, quality=95), 40), RED, BLUE, 12)


def test_an_upright_phone_photo_in_heic():
    if "HEIF" not in image_formats():
        pytest.skip("HEIC needs pillow-heif")
    exif = Image.Exif()
    exif[0x0112] = 3
    data = encoded(halves(RED, BLUE, (64, 64)), "HEIF", exif=exif.tobytes(), quality=95)
    assert_colours(decode_image(data, 32), BLUE, RED, 16)


def test_transparency_is_laid_on_white():
    image = Image.new("RGBA", (40, 40), (*RED, 0))
    image.paste((0, 0, 255, 255), (20, 0, 40, 40))
    assert_colours(decode_image(encoded(image), 20), WHITE, BLUE)
    # Half transparent black on white is 255 * (1 - 128 / 255) = 127.
    assert_colours(decode_image(encoded(Image.new("LA", (10, 10), (0, 128))), 10), (127,) * 3, (127,) * 3, tolerance=1)
    palette = image.quantize(4)
    assert_colours(decode_image(encoded(palette, "PNG"), 20), WHITE, BLUE)


@pytest.mark.parametrize(
    ("image", "left", "right"),
    [
        (halves(BLACK, WHITE).convert("L"), BLACK, WHITE),
        (halves(BLACK, WHITE).convert("1"), BLACK, WHITE),
        (halves(RED, BLUE).convert("P"), RED, BLUE),
        # 16 bit: 40000 / 65535 * 255 = 155.6, where Pillow's own conversion would give 255.
        (Image.fromarray(np.repeat(np.uint16([[0] * 20 + [40000] * 20]), 40, axis=0)), BLACK, (156,) * 3),
    ],
)
def test_colour_modes(image, left, right):
    assert_colours(decode_image(encoded(image), 20), left, right)


def test_cmyk_and_floating_point():
    assert_colours(decode_image(encoded(halves(RED, WHITE).convert("CMYK"), "TIFF"), 20), RED, WHITE)
    shares = Image.fromarray(np.repeat(np.float32([[0.0] * 20 + [1.0] * 20]), 40, axis=0))
    assert_colours(decode_image(encoded(shares, "TIFF"), 20), BLACK, WHITE)


def test_aspect_is_kept_and_the_middle_taken():
    # 90 x 30 in thirds: only the middle third, a square, is left.
    image = Image.new("RGB", (90, 30), RED)
    image.paste(BLUE, (30, 0, 60, 30))
    assert_colours(decode_image(encoded(image), 30), BLUE, BLUE)
    # Scaling down, the pixels at the edge take in a little of what was cut off.
    assert_colours(decode_image(encoded(image.rotate(90, expand=True)), 10), BLUE, BLUE, tolerance=30)
    assert decode_image(encoded(Image.new("RGB", (1, 1), RED)), 16).shape == (16, 16, 3)


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"not an image",
        b"GIF89a",
        encoded(Image.new("RGB", (300, 300)), "JPEG")[:400],
        encoded(halves(RED, BLUE))[:60],
    ],
)
def test_what_cannot_be_decoded_is_none(source):
    assert decode_image(source, 16) is None


def test_missing_files_and_too_many_pixels_are_none(tmp_path, monkeypatch):
    assert decode_image(tmp_path / "none.png", 16) is None
    assert decode_image(tmp_path, 16) is None
    data = encoded(Image.new("RGB", (20, 20)))
    monkeypatch.setattr(image_files, "MAX_PIXELS", 399)
    assert decode_image(data, 16) is None
    monkeypatch.setattr(image_files, "MAX_PIXELS", 400)
    assert decode_image(data, 16).shape == (16, 16, 3)


def test_formats_that_take_more_memory_have_limits_of_their_own(monkeypatch):
    monkeypatch.setattr(image_files, "FORMAT_PIXELS", {"WEBP": 399})
    image = Image.new("RGB", (20, 20))
    assert decode_image(encoded(image, "WEBP"), 16) is None
    assert decode_image(encoded(image, "PNG"), 16).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("image", "left", "right"),
    [
        (halves(RED, BLUE, (300, 240)), RED, BLUE),
        (halves(RED, BLUE, (240, 300)).convert("P"), RED, BLUE),
        (halves(BLACK, WHITE, (290, 250)).convert("1"), BLACK, WHITE),
        (Image.fromarray(np.repeat(np.uint16([[0] * 150 + [40000] * 150]), 300, axis=0)), BLACK, (156,) * 3),
        (half_transparent(), WHITE, BLUE),
    ],
)
def test_large_images_in_strips_are_the_same(image, left, right, monkeypatch):
    data = encoded(image)
    usual = decode_image(data, 20)
    monkeypatch.setattr(images, "LARGE_PIXELS", 1000)
    found = decode_image(data, 20)
    assert_colours(found, left, right)
    # Averaged by whole cells first, only pixels at the edge between the colours may differ.
    assert np.abs(found.astype(int) - usual).mean() < 4


def test_a_wide_jpeg_is_decoded_at_a_fraction_of_its_size():
    data = encoded(halves(RED, BLUE, (20000, 3000)), "JPEG", quality=50)
    assert 20000 * 3000 < image_files.MAX_PIXELS
    assert_colours(decode_image(data, 64), RED, BLUE, 12)
