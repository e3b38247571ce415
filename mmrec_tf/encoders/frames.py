"""Any image encoder over a video's frames."""

from functools import partial

import tensorflow as tf
import tf_keras

from mmrec_tf.config_encoders import EncoderConfig
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.parts import mean_over_parts
from mmrec_tf.encoders.pretrained.registry import PRETRAINED
from mmrec_tf.encoders.readers import VideoReader
from mmrec_tf.errors import EncoderError
from mmrec_tf.schema import Feature

DEFAULT_IMAGE = ("efficientnet_lite0", "image_cnn")
"""Image encoders by name; the first is taken that needs no download."""

_SHOTS = "transnetv2"


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class FramesEncoder(Encoder):
    """Turns a video into the mean of what an image encoder sees in its frames.

    What a trailer or a product's clip shows is mostly in single pictures, and image encoders have been trained on far
    more of those than video encoders on videos. Each frame's vector has length 1, and so has their mean; frames of
    zeros, which fill a batch up, do not count.

    Args:
        image: an image `Encoder`, or one by name, or names of which the first is taken that needs no download. Defaults
            to EfficientNet-Lite0 where it has been built (`mmrec pretrained build efficientnet_lite0`), else the
            built-in `image_cnn`.
        frames: int. The most frames. Defaults to 8.
        sampling: str. Which ones: `uniform`, `keyframes`, `scenes` (one from each scene, found by changes of colour) or
            `shots` (the same, found by the network TransNet V2, which is built at first use). Defaults to `uniform`.
        image_size: int. Pixels of a frame's side; by default the image encoder's.
        batch_size: int. Items that the feature store encodes at a time. Defaults to 8.

    Call arguments:
        batch: `[batch, frames, image_size, image_size, 3]` uint8; fewer frames are filled up with zeros.

    Returns:
        `[batch, dim]` float32 tensor, `dim` being the image encoder's.

    Raises:
        EncoderError: if `image` is no image encoder or takes images of another size, or, for `shots`, if the network
            cannot be built.
    """

    modality = "video"

    def __init__(
        self,
        image: Encoder | str | list[str] | None = None,
        frames: int = 8,
        sampling: str = "uniform",
        image_size: int | None = None,
        batch_size: int = 8,
        **kwargs,
    ):
        super().__init__(batch_size=batch_size, **kwargs)
        self.image = image if isinstance(image, Encoder) else _build_image(image or list(DEFAULT_IMAGE), image_size)
        if self.image.modality != "image":
            raise EncoderError(
                f"frames takes an image encoder, but {type(self.image).__name__} is one of {self.image.modality}."
            )
        self.image_size = self.image.content_shape[0]
        if image_size not in (None, self.image_size):
            raise EncoderError(
                f"frames of {image_size} pixels are asked for, but the image encoder {type(self.image).__name__} takes "
                f"{self.image_size}. Leave image_size out, or set that of the image encoder."
            )
        self.frames = frames
        self.sampling = sampling
        self.dim = self.image.dim
        shot_scores = _shot_scores() if sampling == "shots" else None
        self.reader = VideoReader(frames, self.image_size, sampling, shot_scores)

    def build(self, input_shape=None):
        if not self.image.built:
            self.image.build(None)
        super().build(input_shape)

    def encode(self, prepared, training=False):
        return mean_over_parts(partial(self.image, training=training), prepared, self.dim, static_shape=training)

    def fingerprinted_weights(self):
        return self.image.fingerprinted_weights()

    def identity(self) -> dict:
        identity = {**super().identity(), "image": self.image.identity()}
        if self.sampling == "shots":
            identity["shots"] = PRETRAINED[_SHOTS].folder_name
        return identity

    def get_config(self):
        return {
            **super().get_config(),
            "image": tf_keras.layers.serialize(self.image),
            "frames": self.frames,
            "sampling": self.sampling,
            "image_size": self.image_size,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "image": tf_keras.layers.deserialize(config["image"])})


def _build_image(names: str | list[str], image_size: int | None) -> Encoder:
    # The registry knows this file.
    from mmrec_tf.encoders.registry import build_encoder

    config = EncoderConfig(type=names, image_size=image_size)
    return build_encoder(Feature(name="frames", kind="image"), config)


def _shot_scores():
    """Function from a video's thumbnails to each frame's score of ending a shot."""
    from mmrec_tf.encoders.pretrained.build import build_pretrained
    from mmrec_tf.encoders.pretrained.transnet import shot_scores

    return partial(shot_scores, module=tf.saved_model.load(str(build_pretrained(_SHOTS))))
