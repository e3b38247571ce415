"""Recommenders by name, as `evaluation.baselines` asks for them."""

from __future__ import annotations

import inspect

from mmrec_tf.config_models import BASELINE_NAMES
from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.models.bpr import Bpr
from mmrec_tf.models.content_profile import ContentProfile
from mmrec_tf.models.ease import Ease
from mmrec_tf.models.explicit_als import ExplicitAls
from mmrec_tf.models.explicit_sgd import ExplicitSgd
from mmrec_tf.models.hybrid_blend import HybridBlend
from mmrec_tf.models.implicit_sgd import ImplicitSgd
from mmrec_tf.models.item_knn import ItemKnn
from mmrec_tf.models.matrix_factorization import MatrixFactorization
from mmrec_tf.models.popularity import Popularity
from mmrec_tf.models.recent_popularity import RecentPopularity
from mmrec_tf.models.recommender_model import RecommenderModel
from mmrec_tf.models.segment_popularity import SegmentPopularity
from mmrec_tf.models.user_knn import UserKnn
from mmrec_tf.models.vbpr import Vbpr

_RECOMMENDERS: dict[str, type[RecommenderModel]] = {
    "popularity": Popularity,
    "recent_popularity": RecentPopularity,
    "segment_popularity": SegmentPopularity,
    "item_knn": ItemKnn,
    "user_knn": UserKnn,
    "ease": Ease,
    "matrix_factorization": MatrixFactorization,
    "implicit_sgd": ImplicitSgd,
    "explicit_als": ExplicitAls,
    "explicit_sgd": ExplicitSgd,
    "bpr": Bpr,
    "vbpr": Vbpr,
    "content": ContentProfile,
    "hybrid": HybridBlend,
}


def register_recommender(name: str, recommender: type[RecommenderModel]) -> None:
    """Makes a recommender of your own available in `evaluation.baselines`.

    It is made without arguments, but for a `seed` where its init has one.

    Raises:
        ConfigError: if it is not a subclass of `RecommenderModel`.
    """
    if not (isinstance(recommender, type) and issubclass(recommender, RecommenderModel)):
        raise ConfigError(
            f"register_recommender({name!r}, ...) takes a subclass of RecommenderModel, got {recommender!r}."
        )
    _RECOMMENDERS[name] = recommender
    if name not in BASELINE_NAMES:
        BASELINE_NAMES.append(name)


def recommender_names() -> list[str]:
    """The registered names."""
    return list(_RECOMMENDERS)


def recommender_class(name: str) -> type[RecommenderModel]:
    """The class behind a name.

    Raises:
        ConfigError: for an unknown name, with the nearest known one.
    """
    if name not in _RECOMMENDERS:
        raise ConfigError(
            f"there is no baseline {name!r}.{suggestion(name, _RECOMMENDERS)} Allowed: {', '.join(_RECOMMENDERS)}."
        )
    return _RECOMMENDERS[name]


def build_recommender(name: str, seed: int = 0, **settings) -> RecommenderModel:
    """An unfitted recommender.

    Args:
        name: str. One of `recommender_names`.
        seed: int. For those that start from random numbers. Defaults to 0.
        settings: arguments of its init; its own defaults where left out.

    Raises:
        ConfigError: for an unknown name or setting.
    """
    recommender = recommender_class(name)
    known = inspect.signature(recommender).parameters
    for setting in settings:
        if setting not in known:
            raise ConfigError(f"{name} has no setting {setting!r}; it takes {', '.join(known) or 'none'}.")
    return recommender(**({"seed": seed} if "seed" in known else {}), **settings)
