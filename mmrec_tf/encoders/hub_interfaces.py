"""How modules in TF-Hub's format are called, one class for each interface that text, image and video modules have.

Reference: https://www.tensorflow.org/hub/common_saved_model_apis
"""

import tensorflow as tf

from mmrec_tf.encoders.hub_loading import CALL_ERRORS
from mmrec_tf.encoders.hub_outputs import pick_vector
from mmrec_tf.encoders.module_interface import ModuleInterface
from mmrec_tf.encoders.readers import ImageReader, Reader, TextReader, VideoReader
from mmrec_tf.errors import EncoderError

_EXAMPLE_TEXTS = ("one", "two words")
_MARKS = 2
"""Word pieces that a packed text has besides its own: one before it, one behind it."""


class ModuleCall:
    """From what a reader gives to a module's vectors, by the interface that the module was published with.

    Args:
        module: the module, as a `hub.KerasLayer`.
        handle: its name in messages.
        output_key: which of its outputs is the vector, if the user has chosen.
        interface: what its page says of its input.
        reader: what decodes an item for it.
    """

    ranks: tuple[int, ...] = (2,)
    remedy = ""

    def __init__(self, module, handle: str, output_key: str | None, interface: ModuleInterface, reader: Reader):
        self.module, self.handle, self.output_key = module, handle, output_key
        self.interface, self.reader = interface, reader

    @property
    def takes(self) -> str:
        """What the module is given, for the message when it refuses that."""
        raise NotImplementedError

    def prepare(self, batch: tf.Tensor, static_shape: bool = False):
        """A batch of decoded items as numbers; see `Encoder.prepare`."""
        return self.reader.prepare(batch)

    def vectors(self, prepared, training: bool) -> tf.Tensor:
        """`[batch, dim]` float32 of what `prepare` gave, of any length."""
        raise NotImplementedError

    def probe(self) -> int:
        """Calls the module once, to see that it can be called; gives the width of its vectors."""
        raise NotImplementedError

    def identity(self) -> dict:
        """The settings that decide the vectors."""
        return self.reader.identity()

    def output(self, inputs, training: bool, ranks: tuple[int, ...] | None = None) -> tf.Tensor:
        """The vectors among what the module returns."""
        return pick_vector(self.module(inputs, training=training), ranks or self.ranks, self.output_key, self.handle)


class ImageCall(ModuleCall):
    """Images: `[batch, size, size, 3]` float32 in the module's range of values, giving `[batch, dim]`."""

    remedy = "If it is made for one size of image, set `image_size`."
    reader: ImageReader

    @property
    def takes(self) -> str:
        return f"[batch, {self.reader.size}, {self.reader.size}, 3] floats"

    def vectors(self, prepared, training):
        return self.output(in_range(prepared, self.interface.value_range), training)

    def probe(self):
        return _width(self.vectors(tf.zeros([1, *self.reader.content_shape], tf.uint8), training=False))


class VideoCall(ModuleCall):
    """Videos: `[batch, frames, size, size, 3]` float32 in the module's range of values, giving `[batch, dim]`.

    The tensor itself, or in a dict under the interface's `input_key`. Every video gives the same number of frames: a
    network over time would take the zeros that fill a shorter one up for a black picture.
    """

    remedy = "If it is made for one size or number of frames, set `image_size` and `frames`."
    reader: VideoReader

    @property
    def takes(self) -> str:
        frames = f"[batch, {self.reader.frames}, {self.reader.size}, {self.reader.size}, 3] floats"
        return f"{{{self.interface.input_key!r}: {frames}}}" if self.interface.input_key else frames

    def vectors(self, prepared, training):
        frames = in_range(prepared, self.interface.value_range)
        return self.output({self.interface.input_key: frames} if self.interface.input_key else frames, training)

    def probe(self):
        return _width(self.vectors(tf.zeros([1, *self.reader.content_shape], tf.uint8), training=False))


class TextCall(ModuleCall):
    """Texts: `[batch]` strings, giving `[batch, dim]`. The module's graph splits them into tokens."""

    remedy = "A module that takes token ids needs its `preprocessor`."
    takes = "[batch] strings"
    reader: TextReader

    def vectors(self, prepared, training):
        return self.output(prepared, training)

    def probe(self):
        return _width(self.vectors(self.prepare(tf.constant(_EXAMPLE_TEXTS)), training=False))


class TokenCall(ModuleCall):
    """Texts with a preprocessor, which makes the dict of int32 `[batch, tokens]` that the module takes.

    A preprocessor that offers `tokenize` and `bert_pack_inputs` is asked for as many tokens as the longest text of the
    batch has, up to `max_tokens`; another one for what it always makes. Of an output `[batch, tokens, dim]`, if that
    is the one chosen, the mean over a text's tokens is taken.

    Args:
        preprocess: the preprocessor, as a `hub.KerasLayer`.
        max_tokens: int. Tokens of a text that are read; what the preprocessor makes by itself when None.

    Raises:
        EncoderError: if the preprocessor cannot be called, or makes another number of tokens and no other.

    Reference: https://www.tensorflow.org/hub/common_saved_model_apis/text#transformer-encoders
    """

    remedy = "The preprocessor must be the one that the module's page names."
    reader: TextReader

    def __init__(self, *arguments, preprocess, max_tokens: int | None):
        super().__init__(*arguments)
        self.preprocess = preprocess
        offered = preprocess.resolved_object
        self._tokenize = getattr(offered, "tokenize", None)
        self._pack = getattr(offered, "bert_pack_inputs", None)
        self._varies = self._tokenize is not None and self._pack is not None
        own = self._own_length()
        if max_tokens not in (None, own) and not self._varies:
            raise EncoderError(
                f"the preprocessor of {self.handle} makes {own} tokens of every text, not {max_tokens}. Leave "
                "`max_tokens` out, or take a preprocessor that offers bert_pack_inputs."
            )
        self.max_tokens = max_tokens or own
        if self.output_key is not None:
            self.ranks = (2, 3)

    @property
    def takes(self) -> str:
        return "what its preprocessor makes"

    def prepare(self, batch, static_shape=False):
        texts = self.reader.prepare(batch)
        if self._tokenize is None or self._pack is None:
            return self.preprocess(texts)
        tokens = self._tokenize(texts)
        length = tf.constant(self.max_tokens)
        if self._varies and not static_shape:
            while tokens.ragged_rank > 1:
                tokens = tokens.merge_dims(-2, -1)
            longest = tf.cast(tf.reduce_max(tokens.row_lengths()), tf.int32)
            length = tf.minimum(longest + _MARKS, self.max_tokens)
        packed = self._pack([tokens], seq_length=length)
        if static_shape:
            packed = {name: tf.ensure_shape(value, [None, self.max_tokens]) for name, value in packed.items()}
        return packed

    def vectors(self, prepared, training):
        outputs = self.output(prepared, training)
        if outputs.shape.rank == 2:
            return outputs
        mask = tf.cast(prepared["input_mask"], tf.float32)[..., tf.newaxis]
        return tf.math.divide_no_nan(tf.reduce_sum(outputs * mask, axis=1), tf.reduce_sum(mask, axis=1))

    def probe(self):
        texts = tf.constant(_EXAMPLE_TEXTS)
        if self._varies:
            try:
                return _width(self.vectors(self.prepare(texts), training=False))
            except CALL_ERRORS:
                # Some modules were exported for one number of tokens.
                self._varies = False
        return _width(self.vectors(self.prepare(texts), training=False))

    def identity(self):
        return {**super().identity(), "max_tokens": self.max_tokens}

    def _own_length(self) -> int:
        try:
            return int(tf.nest.flatten(self.preprocess(tf.constant(_EXAMPLE_TEXTS)))[0].shape[1])
        except (*CALL_ERRORS, IndexError) as error:
            raise EncoderError(
                f"the preprocessor of {self.handle} does not make tensors [batch, tokens] of [batch] strings. Give the "
                "preprocessor that the module's page names."
            ) from error


def in_range(pixels: tf.Tensor, value_range: tuple[float, float]) -> tf.Tensor:
    """Pixels from 0 to 255 as float32 between the two values."""
    low, high = value_range
    return tf.cast(pixels, tf.float32) * ((high - low) / 255.0) + low


def _width(vectors: tf.Tensor) -> int:
    return int(vectors.shape[-1])
