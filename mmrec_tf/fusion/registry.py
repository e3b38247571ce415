"""Fusions by name, as the configuration asks for them."""

import inspect

from mmrec_tf.config import FusionConfig
from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.fusion.attention import AttentionFusion
from mmrec_tf.fusion.attention_pooling import AttentionPoolingFusion
from mmrec_tf.fusion.base import Fusion
from mmrec_tf.fusion.bilinear import BilinearFusion
from mmrec_tf.fusion.co_attention import CoAttentionFusion
from mmrec_tf.fusion.concat import ConcatFusion
from mmrec_tf.fusion.cross_attention import CrossAttentionFusion
from mmrec_tf.fusion.encoder_decoder import EncoderDecoderFusion
from mmrec_tf.fusion.gated import GatedFusion
from mmrec_tf.fusion.multilinear import MultilinearFusion
from mmrec_tf.fusion.weighted_sum import WeightedSumFusion

_FUSIONS: dict[str, type[Fusion]] = {
    "attention": AttentionFusion,
    "attention_pooling": AttentionPoolingFusion,
    "bilinear": BilinearFusion,
    "co_attention": CoAttentionFusion,
    "concat": ConcatFusion,
    "cross_attention": CrossAttentionFusion,
    "encoder_decoder": EncoderDecoderFusion,
    "gated": GatedFusion,
    "multilinear": MultilinearFusion,
    "weighted_sum": WeightedSumFusion,
}
# Settings that only some methods have.
_OPTIONS = ("heads", "layers", "rank", "query", "reconstruction_weight")


def register_fusion(name: str, fusion: type[Fusion]) -> None:
    """Makes a fusion of your own available as `fusion.method: name`.

    It is made with `dim`, `modality_dropout`, `balance` where that is set, and those options of `FusionConfig` that
    its init names.

    Branches on tensors are to be written as `tf.where`, `tf.cond` or `tf.while_loop`: AutoGraph leaves alone what the
    package's own code calls.
    """
    _FUSIONS[name] = fusion


def fusion_names() -> list[str]:
    """The registered methods, in alphabetical order."""
    return sorted(_FUSIONS)


def build_fusion(config: FusionConfig) -> Fusion:
    """The fusion that the configuration names.

    Raises:
        ConfigError: for an unknown name, with the nearest known one, or for an option that the method does not have.
    """
    if config.method not in _FUSIONS:
        raise ConfigError(
            f"fusion.method {config.method!r} is unknown.{suggestion(config.method, _FUSIONS)} "
            f"Allowed: {', '.join(fusion_names())}."
        )
    fusion = _FUSIONS[config.method]
    taken = [name for name in _OPTIONS if name in inspect.signature(fusion.__init__).parameters]
    # What the configuration leaves open is left to the method's own default.
    given = {name: getattr(config, name) for name in _OPTIONS if getattr(config, name) is not None}
    for name in given:
        if name not in taken:
            raise ConfigError(
                f"fusion.{name} is no option of {config.method}, which takes {', '.join(taken) or 'none'}. "
                "Leave it out, or choose a method that has it."
            )
    if config.balance:
        given["balance"] = config.balance
    return fusion(dim=config.dim, modality_dropout=config.modality_dropout, **given)
