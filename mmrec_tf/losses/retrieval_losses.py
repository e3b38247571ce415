"""Retrieval losses by name, as the configuration asks for them."""

from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.losses.binary_loss import BinaryLoss
from mmrec_tf.losses.bpr_loss import BprLoss
from mmrec_tf.losses.hinge_loss import HingeLoss
from mmrec_tf.losses.reinforce_loss import ReinforceLoss
from mmrec_tf.losses.retrieval_loss import RetrievalLoss
from mmrec_tf.losses.softmax_loss import SoftmaxLoss

_LOSSES: dict[str, type[RetrievalLoss]] = {
    "softmax": SoftmaxLoss,
    "bpr": BprLoss,
    "binary": BinaryLoss,
    "hinge": HingeLoss,
    "reinforce": ReinforceLoss,
}


def build_retrieval_loss(name: str, **settings) -> RetrievalLoss:
    """The loss of that name.

    Args:
        name: `softmax`, `bpr`, `binary`, `hinge` or `reinforce`.
        settings: its init arguments.

    Raises:
        ConfigError: for an unknown name, with the nearest known one.
    """
    if name not in _LOSSES:
        raise ConfigError(
            f"models.retrieval.loss.name {name!r} is unknown.{suggestion(name, _LOSSES)} Allowed: {', '.join(_LOSSES)}."
        )
    return _LOSSES[name](**settings)
