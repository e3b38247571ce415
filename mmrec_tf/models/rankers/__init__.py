"""Rankers: the fields of user, item, history and context -> the order in which items are shown."""

from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.deepfm import DeepFM
from mmrec_tf.models.rankers.registry import make_ranker, ranker_class, ranker_names, register_ranker

__all__ = ["DeepFM", "Ranker", "make_ranker", "ranker_class", "ranker_names", "register_ranker"]
