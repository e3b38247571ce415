"""Rankers by name, as the configuration asks for them."""

import inspect

from mmrec_tf.config_ranking import RANKER_SETTINGS, RANKERS
from mmrec_tf.config_targets import SEVERAL_TARGETS
from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.rankers.afm import AFM
from mmrec_tf.models.rankers.autoint import AutoInt
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.bst import BST
from mmrec_tf.models.rankers.dcn import DCN
from mmrec_tf.models.rankers.deepfm import DeepFM
from mmrec_tf.models.rankers.din import DIN
from mmrec_tf.models.rankers.esmm import ESMM
from mmrec_tf.models.rankers.finalmlp import FinalMLP
from mmrec_tf.models.rankers.fm import FM
from mmrec_tf.models.rankers.logistic_regression import LogisticRegression
from mmrec_tf.models.rankers.mmoe import MMoE
from mmrec_tf.models.rankers.ple import PLE
from mmrec_tf.models.rankers.shared_bottom import SharedBottom
from mmrec_tf.models.rankers.wide_deep import WideDeep

_RANKERS: dict[str, type[Ranker]] = {
    "deepfm": DeepFM,
    "wide_deep": WideDeep,
    "dcn": DCN,
    "finalmlp": FinalMLP,
    "afm": AFM,
    "autoint": AutoInt,
    "din": DIN,
    "bst": BST,
    "fm": FM,
    "logistic_regression": LogisticRegression,
    "shared_bottom": SharedBottom,
    "mmoe": MMoE,
    "ple": PLE,
    "esmm": ESMM,
}


def register_ranker(name: str, ranker: type[Ranker]) -> None:
    """Makes a ranker of your own available as `models.ranking.model: name`.

    It is made with the arguments of `Ranker`, and with those of `hidden`, `dropout`, `RANKER_SETTINGS` and, for
    `models.ranking.targets`, `targets`, `weighting` and `order_by` that its init names, or that of a ranker it extends.

    Branches on tensors are to be written as `tf.where`, `tf.cond` or `tf.while_loop`: AutoGraph leaves alone what the
    package's own code calls.

    Raises:
        ConfigError: if it is not a subclass of `Ranker`.
    """
    if not (isinstance(ranker, type) and issubclass(ranker, Ranker)):
        raise ConfigError(f"register_ranker({name!r}, ...) takes a subclass of Ranker, got {ranker!r}.")
    _RANKERS[name] = ranker
    parameters = _parameters(ranker)
    RANKERS[name] = tuple(setting for setting in RANKER_SETTINGS if setting in parameters)
    if "targets" in parameters and name not in SEVERAL_TARGETS:
        SEVERAL_TARGETS.append(name)


def ranker_names() -> list[str]:
    """The registered rankers, the default first."""
    return list(_RANKERS)


def ranker_class(name: str) -> type[Ranker]:
    """The class behind a name.

    Raises:
        ConfigError: for an unknown name, with the nearest known one.
    """
    if name not in _RANKERS:
        raise ConfigError(
            f"models.ranking.model {name!r} is unknown.{suggestion(name, _RANKERS)} Allowed: {', '.join(_RANKERS)}."
        )
    return _RANKERS[name]


def make_ranker(name: str, users: FeatureLookup, items: FeatureLookup, dim: int, **settings) -> Ranker:
    """The ranker of that name.

    Args:
        name: str. One of `ranker_names`.
        users, items, dim: see `Ranker`.
        settings: further arguments of its init. `hidden` and `dropout`, which most have, may be given to all.

    Raises:
        ConfigError: for an unknown name, or a setting that the ranker does not have.
    """
    ranker = ranker_class(name)
    own = _parameters(ranker)
    taken = own | set(inspect.signature(Ranker).parameters)
    settings = {key: value for key, value in settings.items() if key in own or key not in ("hidden", "dropout")}
    for setting in settings:
        if setting not in taken and setting not in ("name", "dtype", "trainable"):
            known = sorted(taken - {"users", "items", "dim", "kwargs"})
            raise ConfigError(
                f"{setting} is no setting of {name}.{suggestion(setting, known)} It takes {', '.join(known)}."
            )
    return ranker(users=users, items=items, dim=dim, **settings)


def _parameters(ranker):
    """What its init takes, also by way of the rankers that it extends."""
    names = set()
    for kind in ranker.__mro__:
        if kind is Ranker:
            break
        parameters = inspect.signature(kind).parameters if issubclass(kind, Ranker) else {}
        names |= set(parameters)
        # What does not take any further argument hands none on.
        if parameters and not any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return names
