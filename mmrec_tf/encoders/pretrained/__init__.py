"""Pretrained encoders from weights that ordinary Python packages carry, for machines that reach pip but not TF-Hub."""

from mmrec_tf.encoders.pretrained.build import build_pretrained
from mmrec_tf.encoders.pretrained.registry import PRETRAINED, PretrainedModule

__all__ = ["PRETRAINED", "PretrainedModule", "build_pretrained"]
