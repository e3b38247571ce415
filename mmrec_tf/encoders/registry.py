"""Encoders by name, as the configuration asks for them."""

import importlib
import inspect
from pathlib import Path

from mmrec_tf.config import EncoderConfig
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.named import NAMED
from mmrec_tf.encoders.pretrained.registry import PRETRAINED
from mmrec_tf.errors import EncoderError, suggestion
from mmrec_tf.schema import Feature

_ENCODERS: dict[str, str | type[Encoder]] = {
    # Classes by place, as most configurations need one and each brings its own libraries.
    "hashed_text": "mmrec_tf.encoders.hashed_text:HashedTextEncoder",
    "image_cnn": "mmrec_tf.encoders.image_cnn:ImageCnnEncoder",
    "audio_cnn": "mmrec_tf.encoders.audio_cnn:AudioCnnEncoder",
    "video_cnn": "mmrec_tf.encoders.video_cnn:VideoCnnEncoder",
    "frames": "mmrec_tf.encoders.frames:FramesEncoder",
    "hub": "mmrec_tf.encoders.hub:HubEncoder",
    "kerasnlp": "mmrec_tf.encoders.kerasnlp:KerasNlpEncoder",
}
_DEFAULTS = {"text": "hashed_text", "image": "image_cnn", "audio": "audio_cnn", "video": "video_cnn"}
_DOWNLOADING = ("hub", "kerasnlp")
_PRETRAINED = {name: declared for name, declared in PRETRAINED.items() if declared.role == "encoder"}


def register_encoder(name: str, encoder: type[Encoder]) -> None:
    """Makes an encoder of your own available as `encoders: {feature: {type: name}}`.

    Those of its init arguments that have the name of an `EncoderConfig` field, or are named `modality`, are filled in
    from the configuration.

    Branches on tensors are to be written as `tf.where`, `tf.cond` or `tf.while_loop`: AutoGraph leaves alone what the
    package's own code calls.

    Raises:
        EncoderError: if it is not a subclass of `Encoder`.
    """
    if not (isinstance(encoder, type) and issubclass(encoder, Encoder)):
        raise EncoderError(f"register_encoder({name!r}, ...) takes a subclass of Encoder, got {encoder!r}.")
    _ENCODERS[name] = encoder


def encoder_names() -> list[str]:
    """Every name that `type` may have."""
    return sorted({*_ENCODERS, *NAMED, *_PRETRAINED})


def build_encoder(feature: Feature, config: EncoderConfig | None = None) -> Encoder:
    """The encoder that turns an item feature into a vector.

    Of a list of types the first is taken that needs no download: a light one, a pretrained one that has been built, or
    any whose copy `path` names; the last, if there is none.

    Args:
        feature: an item feature of kind text, image, audio or video.
        config: what the configuration says about it; None for the built-in encoder of its kind.

    Raises:
        EncoderError: for a kind without an encoder, an unknown type (with the nearest known one), an encoder of another
            kind, or one that cannot be built from what the configuration says.
    """
    config = config or EncoderConfig()
    if feature.kind not in _DEFAULTS:
        raise EncoderError(f"feature {feature.name!r} is of kind {feature.kind}, which needs no encoder.")
    name = _chosen(feature, config)
    if name in _DEFAULTS.values() and (config.handle or config.path):
        raise EncoderError(
            f"feature {feature.name!r}: the built-in encoder {name} takes neither handle nor path, got "
            f"{config.handle or config.path}. Leave that out, or set the type to `hub` or a published module's name."
        )
    if name in _DOWNLOADING and not (config.handle or config.path):
        raise EncoderError(
            f"feature {feature.name!r}: the encoder {name} needs a handle, or a path (a local directory)."
        )
    if name in NAMED:
        return _named_encoder(name, config)
    if name in _PRETRAINED:
        return _pretrained_encoder(name, feature, config)
    if name == "frames":
        return _frames_encoder(feature, config)
    encoder_class = _class_of(name)
    return encoder_class(**_arguments(encoder_class, feature, config))


def resolved(feature: Feature, config: EncoderConfig) -> EncoderConfig:
    """The configuration with the type that `build_encoder` takes, so that a run means the same on another machine.

    That of `frames` names its image encoder too.
    """
    named = config.model_copy(update={"type": _chosen(feature, config)})
    if named.type != "frames":
        return named
    return named.model_copy(update={"image": _chosen(*_over_images(feature, config))})


def _chosen(feature: Feature, config: EncoderConfig) -> str:
    """The one of the configured types that is built; all of them must be of the feature's kind."""
    names = config.type or _DEFAULTS[feature.kind]
    names = names if isinstance(names, list) else [names]
    for name in names:
        _check_kind(name, feature)
    return next((name for name in names if not _needs_download(name, config)), names[-1])


def _check_kind(name: str, feature: Feature) -> None:
    if name in NAMED:
        modality = NAMED[name].modality
    elif name in _PRETRAINED:
        modality = _PRETRAINED[name].modality
    elif name in _ENCODERS:
        modality = getattr(_class_of(name), "modality", feature.kind)
    else:
        known = encoder_names()
        raise EncoderError(
            f"feature {feature.name!r}: encoder type {name!r} is unknown.{suggestion(name, known)} "
            f"Allowed: {', '.join(known)}."
        )
    if modality != feature.kind:
        raise EncoderError(
            f"feature {feature.name!r} is of kind {feature.kind}, but the encoder {name} takes {modality}. "
            f"Leave the type out for {_DEFAULTS[feature.kind]}, or set it to an encoder of {feature.kind}."
        )


def _needs_download(name: str, config: EncoderConfig) -> bool:
    if name in NAMED:
        return config.path is None and not _are_at_hand(_handles(name, config))
    if name in _PRETRAINED:
        from mmrec_tf.encoders.pretrained.build import built_path

        return config.path is None and not (built_path(name) / "saved_model.pb").is_file()
    if name == "frames":
        return config.image is not None and _needs_download(config.image, config)
    if name == "hub":
        return config.path is None and not (config.handle and _are_at_hand([config.handle]))
    return name in _DOWNLOADING and config.path is None


def _are_at_hand(handles: list[str]) -> bool:
    from mmrec_tf.encoders.hub_loading import is_downloaded, is_url

    return all(is_downloaded(handle) if is_url(handle) else Path(handle).is_dir() for handle in handles)


def _handles(name: str, config: EncoderConfig) -> list[str]:
    declared = NAMED[name]
    preprocessor = config.preprocessor or declared.preprocessor
    return [config.handle or declared.handle, *([preprocessor] if preprocessor else [])]


def _named_encoder(name: str, config: EncoderConfig) -> Encoder:
    from mmrec_tf.encoders.hub import HubEncoder

    declared = NAMED[name]
    offered = {"preprocessor": declared.preprocessor, **declared.settings(), **_set(config)}
    if config.path is not None and config.preprocessor is None and declared.preprocessor:
        # A copy made where there is internet lies beside the copy of its preprocessor.
        beside = config.path.with_name(config.path.name + "-preprocessor")
        offered["preprocessor"] = str(beside) if beside.is_dir() else declared.preprocessor
    offered["handle"] = str(config.path) if config.path else config.handle or declared.handle
    return HubEncoder(modality=declared.modality, **_taken(HubEncoder, offered))


def _pretrained_encoder(name: str, feature: Feature, config: EncoderConfig) -> Encoder:
    """An encoder built from packages: as a network of layers where it is to be tuned and is one, else as a module."""
    if config.handle:
        raise EncoderError(
            f"feature {feature.name!r}: the encoder {name} is built from a package and takes no handle. Leave it out, "
            "name a built copy by `path`, or set the type to `hub`."
        )
    if config.tuning.mode != "frozen":
        from mmrec_tf.encoders.tuning import native_encoder

        native = native_encoder(name, config)
        if native is not None:
            return native
    from mmrec_tf.encoders.hub import HubEncoder
    from mmrec_tf.encoders.pretrained.build import build_pretrained

    declared = _PRETRAINED[name]
    offered = {"sample_rate": declared.sample_rate, "batch_size": declared.batch_size, **_set(config)}
    offered["handle"] = str(config.path or build_pretrained(name))
    return HubEncoder(modality=feature.kind, **_taken(HubEncoder, offered))


def _frames_encoder(feature: Feature, config: EncoderConfig) -> Encoder:
    """The configured image encoder, over a video's frames."""
    image = build_encoder(*_over_images(feature, config))
    encoder_class = _class_of("frames")
    return encoder_class(**_taken(encoder_class, {**_set(config), "image": image}))


def _over_images(feature: Feature, config: EncoderConfig) -> tuple[Feature, EncoderConfig]:
    """The frames as a feature of their own, and what the configuration says about its encoder."""
    from mmrec_tf.encoders.frames import DEFAULT_IMAGE

    names = config.image or ("hub" if config.handle or config.path else list(DEFAULT_IMAGE))
    return Feature(name=feature.name, kind="image"), config.model_copy(update={"type": names})


def _class_of(name: str) -> type[Encoder]:
    found = _ENCODERS[name]
    if isinstance(found, str):
        module, _, attribute = found.partition(":")
        found = getattr(importlib.import_module(module), attribute)
    return found


def _arguments(encoder_class: type[Encoder], feature: Feature, config: EncoderConfig) -> dict:
    place = str(config.path) if config.path else config.handle
    # An argument without a default of its own takes the configuration's.
    needed = {
        name: value
        for name, value in config.model_dump().items()
        if _parameters(encoder_class).get(name) is inspect.Parameter.empty
    }
    return _taken(encoder_class, {**needed, **_set(config), "handle": place, "modality": feature.kind})


def _set(config: EncoderConfig) -> dict:
    """What the configuration changes; its other fields leave an encoder's own settings alone."""
    fields = EncoderConfig.model_fields
    return {name: value for name, value in config.model_dump().items() if value != fields[name].default}


def _taken(encoder_class: type[Encoder], offered: dict) -> dict:
    """Those of the settings that the class takes. What the configuration leaves open is left to its own default."""
    taken = _parameters(encoder_class)
    return {name: value for name, value in offered.items() if name in taken and value is not None}


def _parameters(encoder_class: type[Encoder]) -> dict:
    """The class's init arguments with their defaults."""
    parameters = inspect.signature(encoder_class.__init__).parameters
    return {name: parameter.default for name, parameter in parameters.items()}
