"""Fusion: (vectors, presence masks) by modality -> one vector."""

from mmrec_tf.fusion.base import Fusion
from mmrec_tf.fusion.concat import ConcatFusion
from mmrec_tf.fusion.registry import build_fusion, register_fusion

__all__ = ["ConcatFusion", "Fusion", "build_fusion", "register_fusion"]
