"""Encoders by name, as the configuration asks for them."""

import inspect

from mmrec_tf.config import EncoderConfig, suggestion
from mmrec_tf.encoders.audio_cnn import AudioCnnEncoder
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.encoders.hub import HubEncoder
from mmrec_tf.encoders.image_cnn import ImageCnnEncoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.schema import Feature

_ENCODERS: dict[str, type[Encoder]] = {
    "hashed_text": HashedTextEncoder,
    "image_cnn": ImageCnnEncoder,
    "audio_cnn": AudioCnnEncoder,
    "hub": HubEncoder,
}
_DEFAULTS = {"text": "hashed_text", "image": "image_cnn", "audio": "audio_cnn"}


def register_encoder(name: str, encoder: type[Encoder]) -> None:
    """Makes an encoder of your own available as `encoders: {feature: {type: name}}`.

    Those of its init arguments that have the name of an `EncoderConfig` field, or are named `modality`, are filled in
    from the configuration.

    Raises:
        EncoderError: if it is not a subclass of `Encoder`.
    """
    if not (isinstance(encoder, type) and issubclass(encoder, Encoder)):
        raise EncoderError(f"register_encoder({name!r}, ...) takes a subclass of Encoder, got {encoder!r}.")
    _ENCODERS[name] = encoder


def build_encoder(feature: Feature, config: EncoderConfig | None = None) -> Encoder:
    """The encoder that turns an item feature into a vector.

    Args:
        feature: an item feature of kind text, image, audio or video.
        config: what the configuration says about it; None for the built-in encoder of its kind.

    Raises:
        EncoderError: for a kind without an encoder, an unknown type (with the nearest known one), or an encoder of
            another kind.
    """
    config = config or EncoderConfig()
    name = config.type or _DEFAULTS.get(feature.kind)
    if feature.kind == "video" and name in (None, *_DEFAULTS.values(), "hub"):
        raise EncoderError(
            f"feature {feature.name!r} is of kind video, for which this version has no encoder. Embed the videos "
            "elsewhere and declare the column as vector, or take the feature out of schema.item."
        )
    if name is None:
        raise EncoderError(f"feature {feature.name!r} is of kind {feature.kind}, which needs no encoder.")
    if name not in _ENCODERS:
        raise EncoderError(
            f"feature {feature.name!r}: encoder type {name!r} is unknown.{suggestion(name, _ENCODERS)} "
            f"Allowed: {', '.join(sorted(_ENCODERS))}."
        )
    encoder_class = _ENCODERS[name]
    modality = getattr(encoder_class, "modality", feature.kind)
    if modality != feature.kind:
        raise EncoderError(
            f"feature {feature.name!r} is of kind {feature.kind}, but the encoder {name} takes {modality}. "
            f"Leave the type out for {_DEFAULTS.get(feature.kind, 'none')}, or set it to an encoder of {feature.kind}."
        )
    return encoder_class(**_arguments(encoder_class, feature, config))


def _arguments(encoder_class: type[Encoder], feature: Feature, config: EncoderConfig) -> dict:
    offered = {
        **config.model_dump(exclude={"type", "path"}),
        "handle": str(config.path) if config.path else config.handle,
        "modality": feature.kind,
    }
    # What the configuration leaves open is left to the encoder's own default.
    taken = inspect.signature(encoder_class.__init__).parameters
    return {name: value for name, value in offered.items() if name in taken and value is not None}
