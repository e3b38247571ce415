"""From an item's cell to what an encoder takes, for each modality: decoding, cleaning, shapes.

Encoders of one modality differ in their networks, not in how a file is opened: every encoder has a reader.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from mmrec_tf.config_encoders import CleaningConfig
from mmrec_tf.data.audio import decode_audio
from mmrec_tf.data.images import decode_image
from mmrec_tf.data.text_cleaning import clean_texts
from mmrec_tf.data.video import decode_video

Source = str | Path | bytes

_WORD = r"(?s).*[\p{L}\p{N}].*"


class TextReader:
    """Texts as strings, cleaned in `prepare`, so that an exported graph cleans as training did.

    A text without a letter or a digit is none, nor is one of which cleaning leaves none: bare markup, a bare address.

    Args:
        clean: what is done to a text; nothing when None.
    """

    content_shape: tuple[int, ...] = ()
    varying_length = False

    def __init__(self, clean: CleaningConfig | dict | None = None):
        self.clean = CleaningConfig.model_validate(clean) if clean is not None else None

    def decode(self, source: Source) -> str | None:
        text = source.decode("utf-8", "replace") if isinstance(source, bytes) else str(source)
        # TensorFlow's strings are UTF-8, which has no lone surrogates.
        text = text.encode("utf-8", "replace").decode("utf-8")
        return text if any(character.isalnum() for character in text) else None

    def content_length(self, content: str) -> int:
        return len(content)

    def prepare(self, batch: tf.Tensor) -> tf.Tensor:
        return batch if self.clean is None else clean_texts(batch, self.clean)

    def is_there(self, batch: tf.Tensor) -> tf.Tensor:
        """`[batch]` bool: which of the texts say something. In a graph, as cleaning one by one would take too long."""
        there = tf.strings.regex_full_match(batch, _WORD)
        return there if self.clean is None else there & tf.strings.regex_full_match(self.prepare(batch), _WORD)

    def get_config(self) -> dict:
        """The argument as an encoder passes it on."""
        return {"clean": self.clean.model_dump() if self.clean else None}

    def identity(self) -> dict:
        # A store remembers which texts say something, and it depends on what they are judged by.
        return {**self.get_config(), **({"judged": "cleaned"} if self.clean else {})}


class ImageReader:
    """Images as squares of pixels, `[size, size, 3]` uint8.

    Args:
        size: int. Pixels of the square's side.
    """

    varying_length = False

    def __init__(self, size: int):
        self.size = size

    @property
    def content_shape(self) -> tuple[int, ...]:
        return (self.size, self.size, 3)

    def decode(self, source: Source) -> np.ndarray | None:
        return decode_image(source, self.size)

    def content_length(self, content: np.ndarray) -> int:
        return 0

    def prepare(self, batch: tf.Tensor) -> tf.Tensor:
        return batch

    def identity(self) -> dict:
        return {"image_size": self.size}


class AudioReader:
    """Sound as mono waveforms, `[samples]` float32: up to `windows` windows one after the other.

    A clip shorter than all windows comes as long as it is; in a batch zeros fill it up, and an encoder leaves windows
    of zeros out (`mmrec_tf.encoders.parts`).

    Args:
        sample_rate: int. Hz.
        seconds: float. Length of a window.
        windows: int. The most windows of a clip, spread evenly over it. Defaults to 1, its beginning.
        loudness: float. Level in LUFS that a clip is brought to; as it is when None.
        trim_silence: bool. Take out silence at both ends. Defaults to False.
    """

    varying_length = True

    def __init__(
        self,
        sample_rate: int,
        seconds: float,
        windows: int = 1,
        loudness: float | None = None,
        trim_silence: bool = False,
    ):
        self.sample_rate, self.seconds, self.windows = sample_rate, seconds, windows
        self.loudness, self.trim_silence = loudness, trim_silence

    @property
    def window(self) -> int:
        """Samples of a window."""
        return max(1, round(self.sample_rate * self.seconds))

    @property
    def content_shape(self) -> tuple[int, ...]:
        return (self.windows * self.window,)

    def decode(self, source: Source) -> np.ndarray | None:
        return decode_audio(source, self.sample_rate, self.seconds, self.windows, self.loudness, self.trim_silence)

    def content_length(self, content: np.ndarray) -> int:
        return len(content)

    def prepare(self, batch: tf.Tensor) -> tf.Tensor:
        return batch

    def identity(self) -> dict:
        names = ("sample_rate", "seconds", "windows", "loudness", "trim_silence")
        return {name: getattr(self, name) for name in names}


class VideoReader:
    """Videos as frames, `[frames, size, size, 3]` uint8.

    Args:
        frames: int. The most frames.
        size: int. Pixels of a frame's side.
        sampling: `uniform`, `keyframes`, `scenes`, or `shots` with `shot_scores`.
        shot_scores: function from thumbnails `[n, 27, 48, 3]` uint8 to `[n]` scores in [0, 1] of a cut at each.
        fixed: bool. Always exactly `frames`, the frames of a shorter video repeated in order. Defaults to False: a
            shorter video gives fewer.
    """

    def __init__(
        self,
        frames: int,
        size: int,
        sampling: str = "uniform",
        shot_scores: Callable[[np.ndarray], np.ndarray] | None = None,
        fixed: bool = False,
    ):
        self.frames, self.size, self.sampling = frames, size, sampling
        self.shot_scores, self.fixed = shot_scores, fixed
        self.varying_length = not fixed

    @property
    def content_shape(self) -> tuple[int, ...]:
        return (self.frames, self.size, self.size, 3)

    def decode(self, source: Source) -> np.ndarray | None:
        frames = decode_video(source, self.frames, self.size, self.sampling, self.shot_scores)
        if frames is None or not self.fixed:
            return frames
        return frames[np.arange(self.frames) * len(frames) // self.frames]

    def content_length(self, content: np.ndarray) -> int:
        return len(content)

    def prepare(self, batch: tf.Tensor) -> tf.Tensor:
        return batch

    def identity(self) -> dict:
        return {"frames": self.frames, "image_size": self.size, "sampling": self.sampling}


Reader = TextReader | ImageReader | AudioReader | VideoReader
