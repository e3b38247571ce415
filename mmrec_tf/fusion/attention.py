"""Fusion by self-attention."""

import tensorflow as tf
import tf_keras

from mmrec_tf.fusion.token_attention import TokenAttention
from mmrec_tf.fusion.tokens import TokenFusion, masked_mean


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class AttentionFusion(TokenFusion):
    """Lets every modality look at the others before they are averaged.

    A photo is read in the light of the title, and the title in that of the photo. Self-attention over the tokens of
    the modalities that are present, with a shortcut around it:

        t_m = W_m x_m + b_m,   T' = T + Attention(T),   z = mean over present m of t'_m

    `modality_weights` is the attention that a modality receives, averaged over heads and present modalities. A row
    without any modality attends to the tokens of all the stand-ins.

    See `TokenAttention` for the attention, `Fusion` for the other arguments and shapes.

    Args:
        heads: int. Attention heads, a divisor of `dim`. Defaults to 4.

    Raises:
        ConfigError: if `heads` does not divide `dim`.

    Example:

        >>> fusion = AttentionFusion(dim=8)
        >>> masks = {"image": tf.constant([True, False]), "text": tf.constant([True, True])}
        >>> fusion({"image": tf.ones([2, 5]), "text": tf.ones([2, 3])}, masks).shape
        TensorShape([2, 8])

    Reference: Vaswani et al., Attention is all you need (2017).
    """

    weighs_modalities = True

    def __init__(self, dim: int, heads: int = 4, modality_dropout: float = 0.0, **kwargs):
        super().__init__(dim=dim, modality_dropout=modality_dropout, **kwargs)
        self.heads = heads
        self.attention = TokenAttention(dim, heads, name="attention")

    def combine(self, tokens, attended):
        return masked_mean(tokens + self.attention(tokens, tokens, attended)[0], attended)

    def weigh_tokens(self, tokens, attended):
        attention = self.attention(tokens, tokens, attended)[1]
        return masked_mean(tf.reduce_mean(attention, axis=3), attended)

    def get_config(self):
        return {**super().get_config(), "heads": self.heads}
