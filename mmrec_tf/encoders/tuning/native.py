"""The pretrained encoders as networks of layers, by name."""

from mmrec_tf.config_encoders import EncoderConfig
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.pretrained.registry import PRETRAINED


def native_encoder(name: str, config: EncoderConfig) -> Encoder | None:
    """A pretrained encoder in the form that is tuned, giving the vectors that its module gives.

    Args:
        name: of a pretrained encoder.
        config: what the configuration says about it; `path` names a copy of the built module.

    Returns:
        The encoder; None for one that exists as a module only, whose layers are out of reach: of such a one all
        weights or the last blocks can be tuned, or an adapter behind its vector.

    Raises:
        EncoderError: if the module cannot be built, or was built by an earlier version, without its network.
    """
    if name not in ("minilm", "efficientnet_lite0"):
        return None
    from mmrec_tf.encoders.pretrained.build import build_pretrained

    tuning = config.tuning
    options = {
        "handle": str(config.path or build_pretrained(name)),
        "adapter": tuning.adapter if tuning.mode == "adapter" else None,
        "rank": tuning.rank,
        "checkpointing": tuning.checkpointing,
        "batch_size": config.batch_size or PRETRAINED[name].batch_size,
    }
    if name == "minilm":
        from mmrec_tf.encoders.tuning.sentence_bert import SentenceBertEncoder

        return SentenceBertEncoder(max_tokens=config.max_tokens, clean=config.clean, **options)
    from mmrec_tf.encoders.tuning.efficientnet import EfficientNetLiteEncoder

    return EfficientNetLiteEncoder(**options)
