"""The stages that change encoders, run before the items are embedded."""

from pathlib import Path

from mmrec_tf.config import Config
from mmrec_tf.config_pretraining import MaskedLanguageConfig
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.registry import build_encoder, resolved
from mmrec_tf.encoders.tuning import native_encoder
from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.features.item_vectors import encoder_config
from mmrec_tf.pretraining.fitting import Progress
from mmrec_tf.pretraining.masked_language import masked_language
from mmrec_tf.pretraining.running import Results, leave_stages, named_stages, run_stage

ON_ENCODERS = ("masked_language",)
"""Their names."""


def pretrain_encoders(
    encoders: dict[str, Encoder],
    data: RecData,
    config: Config,
    folder: Path | None = None,
    progress: Progress | None = None,
    only_load: bool = False,
) -> Results:
    """Runs the stages on encoders, before the items are embedded; the encoders' fingerprints change with them.

    Args:
        encoders: by item feature, as `build_encoders` makes them. They are changed in place; one whose layers cannot be
            reached is replaced by the network that it was made from.
        data: validated data, of which the items' texts are read.
        config, folder, progress: as for `pretrain`.
        only_load: bool. Leave encoders as they come whose stage was not finished before.

    Returns:
        The results by stage, as `pretrain` gives them.

    Raises:
        ConfigError: if no feature, or more than one, is meant.
        EncoderError: if an encoder is of another kind.
        DataError: if there is nothing to read.
    """
    results = {}
    for name, stage in named_stages(config.pretraining, ON_ENCODERS):
        feature = _text_feature(stage, config)
        encoder = _with_layers(feature, encoders[feature], config)

        def make(seed, stage=stage, feature=feature, encoder=encoder):
            texts = (encoder.decode(source) for source in data.items[feature])
            return masked_language(encoder, [text for text in texts if text], stage, seed)

        results[name] = run_stage(stage, make, config, folder, progress, only_load)
        if results[name].reused == stage.epochs or not only_load:
            encoders[feature] = encoder
    leave_stages(config, ON_ENCODERS, folder)
    return results


def encoder_to_pretrain(config: Config, name: str) -> Encoder:
    """The encoder of a text feature as `pretrain_encoders` takes it, before it has learned."""
    feature = _feature(name, config)
    return _with_layers(name, build_encoder(feature, encoder_config(config, feature)), config)


def pretrained_features(config: Config) -> list[str]:
    """The item features whose encoders `pretrain_encoders` changes."""
    return sorted({_text_feature(stage, config) for _, stage in named_stages(config.pretraining, ON_ENCODERS)})


def _with_layers(name: str, encoder: Encoder, config: Config) -> Encoder:
    """A frozen encoder is a closed module; what it was made from is at hand for the pretrained ones."""
    if hasattr(encoder, "network"):
        return encoder
    feature = _feature(name, config)
    asked = resolved(feature, encoder_config(config, feature))
    return native_encoder(asked.type, asked) or encoder


def _feature(name: str, config: Config):
    return next(feature for feature in config.features.modalities if feature.name == name)


def _text_feature(stage: MaskedLanguageConfig, config: Config) -> str:
    texts = sorted(feature.name for feature in config.features.modalities if feature.kind == "text")
    if stage.feature is None and len(texts) == 1:
        return texts[0]
    if stage.feature is None:
        raise ConfigError(
            f"masked_language.feature must name the text feature that is meant; there are {len(texts)}"
            f"{': ' + ', '.join(texts) if texts else ''}."
        )
    if stage.feature not in texts:
        raise ConfigError(
            f"masked_language.feature {stage.feature!r} is no item feature of kind text."
            f"{suggestion(stage.feature, texts)} Allowed: {', '.join(texts) or 'none'}."
        )
    return stage.feature
