"""Fusions by name, as the configuration asks for them."""

from mmrec_tf.config import FusionConfig, suggestion
from mmrec_tf.errors import ConfigError
from mmrec_tf.fusion.base import Fusion
from mmrec_tf.fusion.concat import ConcatFusion

_FUSIONS: dict[str, type[Fusion]] = {"concat": ConcatFusion}


def register_fusion(name: str, fusion: type[Fusion]) -> None:
    """Makes a fusion of your own available as `fusion.method: name`."""
    _FUSIONS[name] = fusion


def build_fusion(config: FusionConfig) -> Fusion:
    """The fusion that the configuration names.

    Raises:
        ConfigError: for an unknown name, with the nearest known one.
    """
    if config.method not in _FUSIONS:
        raise ConfigError(
            f"fusion.method {config.method!r} is unknown.{suggestion(config.method, _FUSIONS)} "
            f"Allowed: {', '.join(sorted(_FUSIONS))}."
        )
    return _FUSIONS[config.method](dim=config.dim, modality_dropout=config.modality_dropout)
