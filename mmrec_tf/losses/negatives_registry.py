"""Sources of negatives by name, as the configuration asks for them."""

from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.losses.negatives import (
    CachedNegatives,
    InBatchNegatives,
    MixedNegatives,
    NegativeSource,
    UniformNegatives,
    WholeCatalogue,
)

_SOURCES: dict[str, type[NegativeSource]] = {
    "full": WholeCatalogue,
    "in_batch": InBatchNegatives,
    "uniform": UniformNegatives,
    "mixed": MixedNegatives,
    "cached": CachedNegatives,
}


def build_negatives(name: str, size: int, count: int = 1024, logq: str | bool = "counts") -> NegativeSource:
    """The source of that name.

    Args:
        name: `full`, `in_batch`, `uniform`, `mixed` or `cached`.
        size, count, logq: see `NegativeSource`.

    Raises:
        ConfigError: for an unknown name, with the nearest known one.
    """
    if name not in _SOURCES:
        raise ConfigError(
            f"models.retrieval.negatives.source {name!r} is unknown.{suggestion(name, _SOURCES)} "
            f"Allowed: {', '.join(_SOURCES)}."
        )
    return _SOURCES[name](size=size, count=count, logq=logq, name=f"{name}_negatives")
