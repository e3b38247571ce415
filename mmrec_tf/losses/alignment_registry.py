"""Alignment losses by name."""

import inspect

from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.losses.alignment import Alignment
from mmrec_tf.losses.canonical import CanonicalAlignment
from mmrec_tf.losses.contrastive import ContrastiveAlignment
from mmrec_tf.losses.sigmoid import SigmoidAlignment
from mmrec_tf.losses.triplet import TripletAlignment

_ALIGNMENTS: dict[str, type[Alignment]] = {
    "cca": CanonicalAlignment,
    "contrastive": ContrastiveAlignment,
    "sigmoid": SigmoidAlignment,
    "triplet": TripletAlignment,
}


def register_alignment(name: str, alignment: type[Alignment]) -> None:
    """Makes an alignment loss of your own available by name.

    Branches on tensors are to be written as `tf.where`, `tf.cond` or `tf.while_loop`: AutoGraph leaves alone what the
    package's own code calls.
    """
    _ALIGNMENTS[name] = alignment


def alignment_names() -> list[str]:
    """The registered methods, in alphabetical order."""
    return sorted(_ALIGNMENTS)


def build_alignment(name: str, **options) -> Alignment:
    """The alignment loss of that name.

    Args:
        name: `contrastive`, `sigmoid`, `triplet`, `cca`, or one that was registered.
        options: its init arguments.

    Raises:
        ConfigError: for an unknown name, with the nearest known one, or for an option that the method does not have.
    """
    if name not in _ALIGNMENTS:
        raise ConfigError(
            f"alignment {name!r} is unknown.{suggestion(name, _ALIGNMENTS)} Allowed: {', '.join(alignment_names())}."
        )
    parameters = inspect.signature(_ALIGNMENTS[name].__init__).parameters
    taken = [option for option in parameters if option not in ("self", "kwargs")]
    for option in options:
        if option not in taken and option not in ("name", "dtype", "trainable"):
            raise ConfigError(f"{option} is no option of the alignment {name}. It takes {', '.join(taken)}.")
    return _ALIGNMENTS[name](**options)
