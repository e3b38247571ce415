"""Losses of the ranking model by name, as the configuration asks for them."""

import tf_keras

from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.losses.listwise_losses import ApproxNdcgLoss, ListMleLoss, PairwiseLoss, SoftmaxListLoss
from mmrec_tf.losses.ordinal_loss import OrdinalLoss

_NONE = tf_keras.losses.Reduction.NONE
"""Keras takes no mean itself where a `tf.distribute` strategy trains."""

_LOSSES = {
    "click": {
        "log_loss": lambda: tf_keras.losses.BinaryCrossentropy(from_logits=True, reduction=_NONE),
        "pairwise": PairwiseLoss,
        "softmax": SoftmaxListLoss,
        "list_mle": ListMleLoss,
        "approx_ndcg": ApproxNdcgLoss,
    },
    "rating": {
        "mse": lambda: tf_keras.losses.MeanSquaredError(reduction=_NONE),
        "huber": lambda: tf_keras.losses.Huber(reduction=_NONE),
        "ordinal": lambda levels: OrdinalLoss(levels, reduction=_NONE),
    },
}


def ranking_loss_names(target: str) -> list[str]:
    """The losses for `click` or `rating`, the default first."""
    return list(_LOSSES[target])


def build_ranking_loss(target: str, name: str | None = None, levels: list[float] | None = None) -> tf_keras.losses.Loss:
    """The loss of that name, for `tfrs.tasks.Ranking`.

    Args:
        target: `click` or `rating`.
        name: of clicks `log_loss`, `pairwise`, `softmax`, `list_mle` or `approx_ndcg`; of ratings `mse`, `huber`
            (linear from 1 on) or `ordinal`. None for the first of them.
        levels: list of float, rising. The ratings there are; for `ordinal`.

    Returns:
        A `GroupLoss`, which gives a scalar; or a loss that gives `[pairs]` weighted losses, of which the caller takes
        the mean.

    Raises:
        ConfigError: for an unknown target or name, with the nearest known one, or `ordinal` without levels.
    """
    if target not in _LOSSES:
        raise ConfigError(
            f"models.ranking.target {target!r} is unknown.{suggestion(target, _LOSSES)} Allowed: {', '.join(_LOSSES)}."
        )
    losses = _LOSSES[target]
    name = next(iter(losses)) if name is None else name
    if name not in losses:
        raise ConfigError(
            f"models.ranking.loss {name!r} is no loss for the target {target}.{suggestion(name, losses)} "
            f"Allowed: {', '.join(losses)}."
        )
    if name != "ordinal":
        return losses[name]()
    if not levels:
        raise ConfigError(
            "models.ranking.loss ordinal needs the ratings there are: set models.ranking.levels, as in [1, 2, 3, 4, 5]."
        )
    return losses[name](levels)
