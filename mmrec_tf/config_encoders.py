"""The configuration's section about encoders: how content becomes vectors, is cleaned, varied and tuned."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from mmrec_tf.schema import StrictModel

TUNING_MODES = ("frozen", "adapter", "top", "full")


class CleaningConfig(StrictModel):
    """What is done to a text before it is split into tokens. Unicode is always brought to its composed form (NFKC).

    Args:
        strip_html: bool. Take out tags and resolve entities. Defaults to True.
        strip_urls: bool. Take out web and mail addresses. Defaults to True.
        lower: bool. Change to lower case. Defaults to False; most encoders settle case themselves.
        stop_words: list of str. ISO 639-1 codes of the languages whose most frequent words are taken out.
        max_words: int. Words that are kept, counted from the start.
    """

    strip_html: bool = True
    strip_urls: bool = True
    lower: bool = False
    stop_words: list[str] = Field(default_factory=list)
    max_words: int | None = Field(default=None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _accept_language(cls, values):
        if isinstance(values, dict) and isinstance(values.get("stop_words"), str):
            values = {**values, "stop_words": [values["stop_words"]]}
        return values


class AugmentationConfig(StrictModel):
    """Random changes to the content an encoder is trained on; each has a strength, and 0 leaves it out.

    Args:
        flip: float. Chance of mirroring an image left to right.
        crop: float. Largest share of an image's sides that is cut off.
        rotation: float. Largest angle in degrees.
        zoom: float. Largest change of an image's scale, as a share.
        colour: float. Largest change of brightness, contrast and saturation, as a share; hue changes by a tenth of it.
        cutout: float. Side of a grey square laid on an image, as a share of the image's side.
        noise: float. Largest standard deviation of white noise added to a waveform, as a share of its own.
        gain: float. Largest change of a waveform's level in decibels.
        shift: float. Longest shift of a waveform in seconds.
        speed: float. Largest change of a waveform's speed, and pitch with it, as a share.
        pitch: float. Largest change of pitch in semitones, the length kept.
        time_mask: float. Longest stretch of silence laid on a waveform, as a share of it.
        frequency_mask: float. Widest band of frequencies taken out, as a share of the mel scale.
    """

    flip: float = Field(default=0.0, ge=0.0, le=1.0)
    crop: float = Field(default=0.0, ge=0.0, lt=1.0)
    rotation: float = Field(default=0.0, ge=0.0, le=180.0)
    zoom: float = Field(default=0.0, ge=0.0, lt=1.0)
    colour: float = Field(default=0.0, ge=0.0, lt=1.0)
    cutout: float = Field(default=0.0, ge=0.0, lt=1.0)
    noise: float = Field(default=0.0, ge=0.0, le=1.0)
    gain: float = Field(default=0.0, ge=0.0, le=40.0)
    shift: float = Field(default=0.0, ge=0.0)
    speed: float = Field(default=0.0, ge=0.0, lt=0.5)
    pitch: float = Field(default=0.0, ge=0.0, le=12.0)
    time_mask: float = Field(default=0.0, ge=0.0, lt=1.0)
    frequency_mask: float = Field(default=0.0, ge=0.0, lt=1.0)


class TuningConfig(StrictModel):
    """Whether and how an encoder learns from the interactions before the items are embedded.

    Args:
        mode: `frozen` (vectors as the encoder comes), `adapter` (small matrices inside its layers are trained; of a
            module whose layers are out of reach, a small network behind its vector), `top` (its last `blocks` blocks)
            or `full` (all of it).
        blocks: int. How many of the last blocks, for `top`.
        adapter: `lora` (a low-rank change of each dense and attention matrix) or `bottleneck` (a small network behind
            each block).
        rank: int. Rank of the low-rank matrices, or width of the bottlenecks.
        epochs: int. Passes over the items with training interactions.
        batch_size: int. Items encoded at a time; each is told from the others.
        accumulate: int. Steps whose gradients are added up before the weights change.
        checkpointing: bool. Work out blocks again for their gradients instead of keeping them in memory.
        learning_rate: float. Peak rate of the top block; reached by a linear warm-up.
        layer_decay: float. Each block below learns at this share of the rate of the one above.
        warm_up: float. Share of the steps in which the rate rises.
        mixed_precision: bool. Compute in bfloat16, keep weights in float32.
        max_steps: int. The most steps in all.
    """

    mode: Literal["frozen", "adapter", "top", "full"] = "frozen"
    blocks: int = Field(default=1, ge=1)
    adapter: Literal["lora", "bottleneck"] = "lora"
    rank: int = Field(default=8, ge=1)
    epochs: int = Field(default=3, ge=1)
    batch_size: int = Field(default=64, ge=2)
    accumulate: int = Field(default=1, ge=1)
    checkpointing: bool = False
    learning_rate: float = Field(default=5e-4, gt=0.0)
    layer_decay: float = Field(default=1.0, gt=0.0, le=1.0)
    warm_up: float = Field(default=0.1, ge=0.0, lt=1.0)
    mixed_precision: bool = False
    max_steps: int | None = Field(default=None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _accept_mode(cls, values):
        """`tuning: adapter`, and `tuning: {top: 2}` for two blocks."""
        if isinstance(values, str):
            return {"mode": values}
        if isinstance(values, dict) and "top" in values:
            values = dict(values)
            return {"mode": "top", "blocks": values.pop("top"), **values}
        return values


class EncoderConfig(StrictModel):
    """How one item feature becomes a vector.

    Args:
        type: str. An encoder by name: a light built-in one (`hashed_text`, `image_cnn`, `audio_cnn`, `video_cnn`), a
            pretrained one (`mmrec pretrained list`), `frames` (an image encoder over a video's frames), `kerasnlp`, or
            `hub` (a module in TF-Hub's format). A list of names takes the first that needs no download.
        handle: str. URL of a TF-Hub or Kaggle module; for `kerasnlp` the name of a preset.
        path: path of a local module directory; for `kerasnlp` of a preset's or Hugging Face directory. With the name of
            a published module, a local copy of it.
        preprocessor: path or URL of the text module's preprocessor, for `hub`.
        image: str. The image encoder that `frames` uses, by name.
        dim: int. Width of a built-in encoder's vector.
        image_size: int. Pixels of the square that an image is resized to; the module's own default when None.
        sample_rate: int. Hz of the waveform that an audio encoder takes; the module's own, or 16000, when None.
        seconds: float. Length of the window of an audio clip that is heard at a time; by default the encoder's own.
        windows: int. Windows that a longer clip is heard in, spread evenly; their vectors are averaged.
        loudness: float. Level that clips are brought to, in LUFS (-23 in broadcasting); as they are when None.
        trim_silence: bool. Take out silence at both ends of a clip.
        frames: int. Frames of a video that are seen; the module's own number when None.
        sampling: `uniform`, `keyframes`, `scenes` (where the picture changes) or `shots` (by a trained network).
        max_tokens: int. Word pieces of a text that are read; the encoder's own limit when None.
        output_key: str. Which of the module's outputs is the vector, for modules that return several.
        batch_size: int. Items encoded at a time; the encoder's own number when None.
        dtype: `float32` or `float16`, in which vectors are stored.
        clean: what is done to texts first.
        augment: random changes to what it is trained on.
        tuning: whether and how it learns from the interactions; a mode's name, or a section.
    """

    type: str | list[str] | None = None
    handle: str | None = None
    path: Path | None = None
    preprocessor: str | None = None
    image: str | None = None
    dim: int | None = Field(default=None, ge=1)
    image_size: int | None = Field(default=None, ge=8, le=1024)
    sample_rate: int | None = Field(default=None, ge=1000, le=192000)
    seconds: float | None = Field(default=None, gt=0.0, le=600.0)
    windows: int = Field(default=1, ge=1, le=100)
    loudness: float | None = Field(default=None, ge=-70.0, le=0.0)
    trim_silence: bool = False
    frames: int | None = Field(default=None, ge=1, le=256)
    sampling: Literal["uniform", "keyframes", "scenes", "shots"] = "uniform"
    max_tokens: int | None = Field(default=None, ge=4, le=4096)
    output_key: str | None = None
    batch_size: int | None = Field(default=None, ge=1)
    dtype: Literal["float32", "float16"] = "float32"
    clean: CleaningConfig | None = None
    augment: AugmentationConfig | None = None
    tuning: TuningConfig = TuningConfig()

    @model_validator(mode="after")
    def _check(self):
        if self.handle and self.path:
            raise ValueError("give either handle (a URL) or path (a local directory), not both.")
        if (self.handle or self.path) and self.type is None:
            self.type = "hub"
        if self.type in ("hub", "kerasnlp") and not (self.handle or self.path):
            raise ValueError(f"a {self.type} encoder needs handle or path (a local directory).")
        if isinstance(self.type, list) and not self.type:
            raise ValueError("type lists no encoder; name one, or leave it out.")
        return self
