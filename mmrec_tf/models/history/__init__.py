"""Encoders of histories: (items in order, presence, gaps) -> the user's state after each of them."""

from mmrec_tf.models.history.attention_pooling import AttentionPoolingHistory
from mmrec_tf.models.history.base import HistoryEncoder
from mmrec_tf.models.history.gru import GruHistory
from mmrec_tf.models.history.mean import MeanHistory
from mmrec_tf.models.history.registry import (
    build_history_encoder,
    history_encoder_names,
    register_history_encoder,
)
from mmrec_tf.models.history.transformer import TransformerHistory

__all__ = [
    "AttentionPoolingHistory",
    "GruHistory",
    "HistoryEncoder",
    "MeanHistory",
    "TransformerHistory",
    "build_history_encoder",
    "history_encoder_names",
    "register_history_encoder",
]
