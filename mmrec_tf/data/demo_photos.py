"""The demo shop's product photos: a small painter of objects on a studio background.

The subcategory decides the shape, the item's palette (a hue of eight on the colour circle) and pattern decide the look.
Everything else, such as place, size, direction of light, background and grain, varies at random and means nothing.
"""

import colorsys
from io import BytesIO

import numpy as np

from mmrec_tf.data.demo_shapes import ON_THE_WALL, SHAPES

SIZE = 96
_CANVAS = 192  # painted larger and then reduced, which smooths the edges

PALETTE_HUES = (2, 26, 48, 105, 168, 212, 262, 322)
PATTERN_NAMES = ("plain", "stripes", "dots", "checks", "zigzag")

# Roles without the item's own colour.
_NEUTRAL = {
    "wood": (176, 140, 104),
    "metal": (150, 152, 156),
    "dark": (58, 56, 58),
    "white": (246, 243, 238),
    "glass": (208, 214, 218),
    "glow": (255, 244, 214),
    "sage": (128, 138, 120),
    "straw": (196, 182, 156),
}


def paint_photo(rng: np.random.Generator, subcategory: str, palette: int, pattern: int) -> bytes:
    """A product photo as a JPEG file's bytes, `SIZE` pixels square.

    Args:
        rng: decides all that means nothing: place, size, light, background, grain.
        subcategory: str. A key of `SHAPES`.
        palette: int. Position in `PALETTE_HUES`.
        pattern: int. Position in `PATTERN_NAMES`.
    """
    from PIL import Image, ImageDraw, ImageFilter

    colours = _colours(rng, palette)
    image = _background(rng)
    scale = rng.uniform(0.76, 0.88)
    corner = 0.5 - scale / 2 + rng.uniform(-0.03, 0.03, size=2)
    mirrored = rng.random() < 0.5
    object_mask = Image.new("L", (_CANVAS, _CANVAS))
    masks = []
    for role, *primitive in SHAPES[subcategory]:
        mask = Image.new("L", (_CANVAS, _CANVAS))
        _draw(ImageDraw.Draw(mask), primitive, scale, corner, mirrored)
        masks.append((role, mask))
        object_mask.paste(255, mask=mask)

    shadow = object_mask.filter(ImageFilter.GaussianBlur(5)).transform(
        object_mask.size, Image.Transform.AFFINE, (1, 0, -4, 0, 1, -5)
    )
    if subcategory not in ON_THE_WALL:
        left, _, right, bottom = object_mask.getbbox()
        floor = Image.new("L", image.size)
        ImageDraw.Draw(floor).ellipse((left - 5, bottom - 10, right + 9, bottom + 9), fill=255)
        shadow.paste(255, mask=floor.filter(ImageFilter.GaussianBlur(5)))
    image.paste((70, 66, 64), mask=shadow.point(lambda value: value * 2 // 5))

    cloth = _cloth(rng, pattern, colours, scale)
    for role, mask in masks:
        image.paste(cloth if role == "body" else colours[role], mask=mask)
    return _develop(rng, image, object_mask)


def _colours(rng, palette):
    hue = (PALETTE_HUES[palette] + rng.normal(0, 3)) % 360 / 360
    saturation, value = rng.uniform(0.62, 0.76), rng.uniform(0.76, 0.9)

    def shade(saturation, value):
        return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))

    return {
        "main": shade(saturation, value),
        "light": shade(saturation * 0.34, 0.97),
        "trim": shade(min(1.0, saturation * 1.1), value * 0.58),
        **_NEUTRAL,
    }


def _background(rng):
    from PIL import Image

    top = rng.uniform(234, 247) + rng.uniform(-4, 4, size=3)
    depth = np.linspace(0, rng.uniform(14, 34), _CANVAS)[:, None, None]
    ramp = np.linspace(0, rng.uniform(-10, 10), _CANVAS)[None, :, None]
    return Image.fromarray(np.clip(top - depth + ramp, 0, 255).astype(np.uint8), "RGB")


def _cloth(rng, pattern, colours, scale):
    """The whole canvas covered with the pattern; the shapes are cut out of it."""
    from PIL import Image

    step = 22.6 * scale * rng.uniform(0.9, 1.1)
    y, x = np.mgrid[0:_CANVAS, 0:_CANVAS] + rng.uniform(0, step, size=2)[:, None, None]
    name = PATTERN_NAMES[pattern]
    if name == "plain":
        marked = np.zeros(x.shape, dtype=bool)
    elif name == "stripes":
        marked = (x % step) < step * 0.42
    elif name == "dots":
        row = np.floor(y / step)
        marked = ((x + row % 2 * step / 2) % step - step / 2) ** 2 + (y % step - step / 2) ** 2 < (step * 0.29) ** 2
    elif name == "checks":
        marked = ((x % (2 * step)) < step) != ((y % (2 * step)) < step)
    else:
        marked = (y + np.abs(x % (1.6 * step) - 0.8 * step)) % step < step * 0.42
    return Image.fromarray(np.where(marked[:, :, None], np.uint8(colours["light"]), np.uint8(colours["main"])), "RGB")


def _draw(draw, primitive, scale, corner, mirrored):
    kind, points, *extra = primitive
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    if mirrored:
        points = points * (-1, 1) + (1, 0)
        if kind in ("box", "ellipse", "arc", "chord"):
            points[:, 0] = points[::-1, 0]
        if kind in ("arc", "chord"):
            extra[:2] = 540 - extra[1], 540 - extra[0]
    if kind == "blob":
        points = _smooth(points)
    points = [tuple(point) for point in (points * scale + corner) * _CANVAS]
    if kind == "polygon" or kind == "blob":
        draw.polygon(points, fill=255)
    elif kind == "ellipse":
        draw.ellipse(points, fill=255)
    elif kind == "box":
        draw.rounded_rectangle(points, radius=extra[0] * scale * _CANVAS, fill=255)
    elif kind == "chord":
        draw.chord(points, *extra, fill=255)
    elif kind == "arc":
        draw.arc(points, *extra[:2], fill=255, width=round(extra[2] * scale * _CANVAS))
    else:
        draw.line(points, fill=255, width=round(extra[0] * scale * _CANVAS))


def _smooth(points, steps=8):
    """A closed Catmull-Rom curve through the points."""
    before, after, beyond = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0), np.roll(points, -2, axis=0)
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (part[:, None, :] for part in (before, points, after, beyond))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return curve.reshape(-1, 2)


def _develop(rng, image, object_mask):
    """Lights the object from one side, reduces the picture, adds grain, and writes the JPEG."""
    from PIL import Image

    pixels = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX), dtype=float)
    inside = np.asarray(object_mask.resize((SIZE, SIZE), Image.Resampling.BOX), dtype=float)[:, :, None] / 255
    side = np.linspace(0.13, -0.17, SIZE) * (1 if rng.random() < 0.5 else -1)
    light = 1 + inside * (side[None, :, None] + np.linspace(0.06, -0.08, SIZE)[:, None, None])
    grain = rng.normal(0, 1.8, size=(SIZE, SIZE, 1))
    file = BytesIO()
    Image.fromarray(np.clip(pixels * light + grain, 0, 255).astype(np.uint8), "RGB").save(file, "JPEG", quality=88)
    return file.getvalue()
