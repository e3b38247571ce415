"""Fusion: (vectors, presence masks) by modality -> one vector."""

from mmrec_tf.fusion.attention import AttentionFusion
from mmrec_tf.fusion.attention_pooling import AttentionPoolingFusion
from mmrec_tf.fusion.base import Fusion
from mmrec_tf.fusion.bilinear import BilinearFusion
from mmrec_tf.fusion.co_attention import CoAttentionFusion
from mmrec_tf.fusion.concat import ConcatFusion
from mmrec_tf.fusion.cross_attention import CrossAttentionFusion
from mmrec_tf.fusion.encoder_decoder import EncoderDecoderFusion
from mmrec_tf.fusion.gated import GatedFusion
from mmrec_tf.fusion.multilinear import MultilinearFusion
from mmrec_tf.fusion.registry import build_fusion, fusion_names, register_fusion
from mmrec_tf.fusion.weighted_sum import WeightedSumFusion

__all__ = [
    "AttentionFusion",
    "AttentionPoolingFusion",
    "BilinearFusion",
    "CoAttentionFusion",
    "ConcatFusion",
    "CrossAttentionFusion",
    "EncoderDecoderFusion",
    "Fusion",
    "GatedFusion",
    "MultilinearFusion",
    "WeightedSumFusion",
    "build_fusion",
    "fusion_names",
    "register_fusion",
]
