"""Encoders of histories by name, as the configuration asks for them."""

import inspect

from mmrec_tf.config_models import HISTORY_ENCODERS, HISTORY_SETTINGS
from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.models.history.attention_pooling import AttentionPoolingHistory
from mmrec_tf.models.history.base import HistoryEncoder
from mmrec_tf.models.history.gru import GruHistory
from mmrec_tf.models.history.mean import MeanHistory
from mmrec_tf.models.history.transformer import TransformerHistory

_ENCODERS: dict[str, type[HistoryEncoder]] = {
    "attention_pooling": AttentionPoolingHistory,
    "gru": GruHistory,
    "mean": MeanHistory,
    "transformer": TransformerHistory,
}


def register_history_encoder(name: str, encoder: type[HistoryEncoder]) -> None:
    """Makes an encoder of your own available as `models.retrieval.history.encoder: name`.

    It is made with `dim` and `length`, and with those of `blocks`, `heads` and `dropout` that its init names.

    Branches on tensors are to be written as `tf.where`, `tf.cond` or `tf.while_loop`: AutoGraph leaves alone what the
    package's own code calls.

    Raises:
        ConfigError: if it is not a subclass of `HistoryEncoder`.
    """
    if not (isinstance(encoder, type) and issubclass(encoder, HistoryEncoder)):
        raise ConfigError(
            f"register_history_encoder({name!r}, ...) takes a subclass of HistoryEncoder, got {encoder!r}."
        )
    _ENCODERS[name] = encoder
    parameters = inspect.signature(encoder.__init__).parameters
    HISTORY_ENCODERS[name] = tuple(setting for setting in HISTORY_SETTINGS if setting in parameters)


def history_encoder_names() -> list[str]:
    """The registered encoders, in alphabetical order."""
    return sorted(_ENCODERS)


def build_history_encoder(name: str, dim: int, length: int, **options) -> HistoryEncoder:
    """The encoder of that name.

    Args:
        name: `mean`, `gru`, `attention_pooling`, `transformer`, or one that was registered.
        dim: int. Width of the items' embeddings and of the output.
        length: int. The longest history.
        options: further init arguments: of `transformer` these are `blocks`, `heads` and `dropout`.

    Raises:
        ConfigError: for an unknown name, with the nearest known one, or for an option that the encoder does not have.
    """
    if name not in _ENCODERS:
        raise ConfigError(
            f"models.retrieval.history.encoder {name!r} is unknown.{suggestion(name, _ENCODERS)} "
            f"Allowed: {', '.join(history_encoder_names())}."
        )
    parameters = inspect.signature(_ENCODERS[name].__init__).parameters
    taken = [option for option in parameters if option not in ("self", "dim", "length", "kwargs")]
    for option in options:
        if option not in taken and option not in ("name", "dtype", "trainable"):
            raise ConfigError(
                f"{option} is no option of the history encoder {name}. It takes {', '.join(taken) or 'none'}."
            )
    return _ENCODERS[name](dim=dim, length=length, **options)
