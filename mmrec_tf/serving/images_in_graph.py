"""Image files into pixels inside a served graph, as `mmrec_tf.data.images` does it in Python, by core ops alone."""

import tensorflow as tf

_EXIF = b"Exif\x00\x00"
_HEAD_BYTES = 65_536
_MOST_ENTRIES = 64
_ORIENTATION = 0x0112


def decode_images(files: tf.Tensor, size: int) -> tf.Tensor:
    """Images as squares of pixels; black where there are no bytes.

    Like `mmrec_tf.data.images.decode_image`: the EXIF orientation is applied, transparency is laid on white, and the
    image is scaled until it covers the square, whose middle is kept. TensorFlow decodes JPEG, PNG, GIF (the first
    frame) and BMP, 8 bits of each colour; Python's decoder knows more formats, and pixels may differ by a few of 255
    levels.

    Args:
        files: `[batch]` string, the bytes of the files.
        size: int. Pixels of the square's side.

    Returns:
        `[batch, size, size, 3]` uint8.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, for bytes that are no such image.
    """
    black = tf.zeros([size, size, 3], tf.uint8)

    def decode(file):
        return tf.cond(tf.strings.length(file) > 0, lambda: _square(file, size), lambda: black)

    return tf.map_fn(decode, files, fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8))


def _square(file, size):
    image = tf.cast(tf.io.decode_image(file, expand_animations=False), tf.float32)
    # One channel is grey and two are grey with transparency, three are colours and four colours with transparency.
    height, width, channels = tf.unstack(tf.shape(image))
    colours = tf.cond(channels < 3, lambda: tf.repeat(image[..., :1], 3, axis=2), lambda: image[..., :3])
    opacity = tf.cond(channels % 2 == 0, lambda: image[..., -1:] / 255.0, lambda: tf.ones([height, width, 1]))
    colours = tf.round(colours * opacity + 255.0 * (1.0 - opacity))
    side = tf.minimum(height, width)
    scale = size / tf.cast(side, tf.float32)
    margins = tf.cast(tf.stack([height - side, width - side]), tf.float32) / 2.0
    # The triangle that widens with the shrinking is Pillow's bilinear filter.
    scaled = tf.raw_ops.ScaleAndTranslate(
        images=colours[None],
        size=tf.constant([size, size]),
        scale=tf.fill([2], scale),
        translation=-margins * scale,
        kernel_type="triangle",
        antialias=True,
    )
    pixels = tf.cast(tf.clip_by_value(tf.round(scaled[0]), 0.0, 255.0), tf.uint8)
    return tf.ensure_shape(_turned(pixels, orientation_in_graph(file)), [size, size, 3])


def _turned(image, orientation):
    flipped, across = tf.reverse(image, [1]), tf.transpose(image, [1, 0, 2])
    turns = [
        image,
        flipped,
        tf.reverse(image, [0, 1]),
        tf.reverse(image, [0]),
        across,
        tf.reverse(across, [1]),
        tf.reverse(across, [0, 1]),
        tf.reverse(across, [0]),
    ]
    return tf.gather(tf.stack(turns), orientation - 1)


def orientation_in_graph(file: tf.Tensor) -> tf.Tensor:
    """The EXIF orientation of a JPEG file, int32 scalar 1 to 8; 1, upright, where there is none."""
    head = tf.cast(tf.io.decode_raw(tf.strings.substr(file, 0, _HEAD_BYTES), tf.uint8), tf.int32)
    length = tf.size(head)
    filled = tf.pad(head, [[0, 1]])

    def byte(place):
        return tf.gather(filled, tf.where((place >= 0) & (place < length), place, length))

    places = tf.range(length)
    marks = tf.reduce_all(tf.stack([tf.equal(byte(places + n), mark) for n, mark in enumerate(_EXIF)]), axis=0)
    # A file without the mark reads its header behind its end, where all is 0.
    start = tf.reduce_min(tf.where(marks, places, length)) + len(_EXIF)
    is_little = tf.equal(byte(start), ord("I"))

    def number(place, size):
        parts = [byte(place + n) for n in range(size)]
        low_first = tf.add_n([part * 256**n for n, part in enumerate(parts)])
        high_first = tf.add_n([part * 256**n for n, part in enumerate(reversed(parts))])
        return tf.where(is_little, low_first, high_first)

    # The offset's upper two bytes are 0 in any header that ends within these bytes.
    entries = start + number(start + 4, 4) % _HEAD_BYTES
    places = entries + 2 + 12 * tf.range(_MOST_ENTRIES)
    is_entry = tf.range(_MOST_ENTRIES) < number(entries, 2)
    found = tf.where(is_entry & tf.equal(number(places, 2), _ORIENTATION), number(places + 8, 2), 0)
    orientation = tf.reduce_max(found)
    is_known = (orientation >= 1) & (orientation <= 8) & tf.equal(tf.strings.substr(file, 0, 2), b"\xff\xd8")
    return tf.where(is_known, orientation, 1)
