"""The text of HTML fragments by TensorFlow's own operations: tags out, entities resolved."""

import tensorflow as tf

# Elements whose content nobody reads.
_UNREAD = [
    r"(?s)<!--.*?(?:-->|\z)",
    r"(?is)<script\b.*?(?:</script\s*>|\z)",
    r"(?is)<style\b.*?(?:</style\s*>|\z)",
]
# Markup inside words; any other tag stands between words.
_INLINE = r"(?i)</?(?:b|i|u|s|em|strong|sub|sup|small|big|mark|font|wbr|abbr|tt|code|del|ins)(?:\s[^<>]*)?/?>"
_TAG_WITH_QUOTES = r"""</?[A-Za-z](?:[^<>"']|"[^"]*"|'[^']*')*>"""
_TAG = r"</?[A-Za-z][^<>]*>|<[!?][^<>]*>"

_NAMED = {
    "nbsp": " ", "ensp": " ", "emsp": " ", "thinsp": " ", "shy": "", "zwnj": "\u200c", "zwj": "\u200d",
    "lt": "<", "gt": ">", "quot": '"', "apos": "'", "lsquo": "‘", "rsquo": "’", "sbquo": "‚", "ldquo": "“",
    "rdquo": "”", "bdquo": "„", "laquo": "«", "raquo": "»", "lsaquo": "‹", "rsaquo": "›", "ndash": "–", "mdash": "—",
    "hellip": "…", "bull": "•", "middot": "·", "iexcl": "¡", "iquest": "¿", "sect": "§", "para": "¶", "copy": "©",
    "reg": "®", "trade": "™", "deg": "°", "plusmn": "±", "times": "×", "divide": "÷", "frac12": "½", "frac14": "¼",
    "frac34": "¾", "sup2": "²", "sup3": "³", "micro": "µ", "euro": "€", "pound": "£", "yen": "¥", "cent": "¢",
    "szlig": "ß", "aelig": "æ", "AElig": "Æ", "oelig": "œ", "OElig": "Œ", "oslash": "ø", "Oslash": "Ø", "eth": "ð",
    "ETH": "Ð", "thorn": "þ", "THORN": "Þ", "infin": "∞", "larr": "←", "rarr": "→", "hearts": "♥",
}  # fmt: skip
# `&eacute;` is `e` followed by the mark; normalisation composes the two.
_MARKS = {
    "grave": "\u0300", "acute": "\u0301", "circ": "\u0302", "tilde": "\u0303", "uml": "\u0308", "ring": "\u030a",
    "caron": "\u030c", "cedil": "\u0327",
}  # fmt: skip

_WINDOWS_1252 = [ord(character) for character in bytes(range(0x80, 0xA0)).decode("cp1252", "replace")]
_DIGITS = 7
# Control characters cannot occur in the text any more, so they mark what is to be put in.
_EDGE, _DECIMAL, _HEXADECIMAL = "\x01", "\x02", "\x03"


def without_html(texts: tf.Tensor) -> tf.Tensor:
    """The text that a browser would show, white space aside.

    Scripts, styles, comments and tags go; named entities of Latin letters, punctuation and currencies and all numeric
    ones are resolved, others stay. Markup that was itself escaped, as feeds often have it (`&lt;p&gt;`), goes too. A
    `<` that no letter follows is no tag: "5 < 6" stays.

    Args:
        texts: `[batch]` strings, valid UTF-8 without control characters.

    Returns:
        `[batch]` strings; accents of entities are marks of their own until the text is normalised.
    """
    return _without_tags(_resolved(_without_tags(texts)))


def _without_tags(texts):
    for pattern in _UNREAD:
        texts = tf.strings.regex_replace(texts, pattern, " ")
    texts = tf.strings.regex_replace(texts, r"(?s)<!\[CDATA\[(.*?)\]\]>", r"\1")
    texts = tf.strings.regex_replace(texts, _INLINE, "")
    return tf.strings.regex_replace(tf.strings.regex_replace(texts, _TAG_WITH_QUOTES, " "), _TAG, " ")


def _resolved(texts):
    """Entities as characters; `&amp;` comes last, so that `&amp;lt;` becomes the `&lt;` that it stands for."""
    for name, mark in _MARKS.items():
        texts = tf.strings.regex_replace(texts, f"&([A-Za-z]){name};", rf"\1{mark}")
    texts = tf.strings.regex_replace(texts, r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{7,});?", " ")
    texts = tf.strings.regex_replace(texts, r"&#([0-9]{1,7});?", f"{_EDGE}{_DECIMAL}\\1{_EDGE}")
    texts = tf.strings.regex_replace(texts, r"&#[xX]([0-9a-fA-F]{1,6});?", f"{_EDGE}{_HEXADECIMAL}\\1{_EDGE}")
    for name, character in _NAMED.items():
        texts = tf.strings.regex_replace(texts, f"&{name};", character)
    texts = _with_characters(texts)
    return tf.strings.regex_replace(texts, "&(?:amp|AMP);", "&")


def _with_characters(texts):
    """Marked numbers as the characters that they number; those that number none, or a control, as spaces."""
    pieces = tf.strings.split(texts, _EDGE)
    flat = pieces.flat_values
    kinds = tf.strings.substr(flat, 0, 1)
    is_hexadecimal = tf.equal(kinds, _HEXADECIMAL)
    is_number = tf.logical_or(is_hexadecimal, tf.equal(kinds, _DECIMAL))
    bare = tf.strings.regex_replace(tf.where(is_number, flat, "0"), f"[{_DECIMAL}{_HEXADECIMAL}]", "")
    padded = tf.strings.join(["0" * _DIGITS, bare])
    digits = tf.strings.lower(tf.strings.substr(padded, -_DIGITS, _DIGITS))
    codes = tf.reshape(tf.io.decode_raw(digits, tf.uint8), [-1, _DIGITS])
    codes = tf.cast(codes, tf.int32)
    values = tf.where(codes >= ord("a"), codes - ord("a") + 10, codes - ord("0"))
    base = tf.where(is_hexadecimal, 16, 10)[:, tf.newaxis]
    numbers = tf.reduce_sum(values * base ** tf.range(_DIGITS - 1, -1, -1), axis=1)
    # As browsers do: pages of old number these as Windows-1252 does, not as Unicode.
    is_windows = (numbers >= 0x80) & (numbers < 0xA0)
    numbers = tf.where(is_windows, tf.gather(_WINDOWS_1252, tf.where(is_windows, numbers - 0x80, 0)), numbers)
    is_character = (numbers >= 0xA0) | ((numbers >= 0x20) & (numbers < 0x7F))
    is_character &= (numbers <= 0x10FFFF) & ((numbers < 0xD800) | (numbers > 0xDFFF))
    characters = tf.strings.unicode_encode(tf.where(is_character, numbers, 0x20)[:, tf.newaxis], "UTF-8")
    pieces = pieces.with_flat_values(tf.where(is_number, characters, flat))
    return tf.ensure_shape(tf.strings.reduce_join(pieces, axis=1), texts.shape)
