"""Fusion by a small Transformer encoder."""

import tf_keras

from mmrec_tf._keras import weight_name
from mmrec_tf.fusion.token_attention import TokenAttention
from mmrec_tf.fusion.tokens import TokenFusion, masked_mean


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class CoAttentionFusion(TokenFusion):
    """Reads an item's modalities as a sentence of a few words: a Transformer encoder over their tokens.

    Self-attention lets each modality look at the others, the network behind it works on what it saw, and further
    layers do so again:

        t_m = W_m x_m + b_m + e_m
        T <- T + s Attention(LN(T)),   T <- T + s' F2 gelu(F1 LN(T)),   `layers` times
        z = mean over present m of t_m

    with e_m the embedding of modality m, and F1 twice as wide as `dim`. s and s', learned, a number for each of the
    `dim` columns, start at 0.1: what modalities tell each other is added little by little to what each says by itself,
    which is what is left when another is missing. Absent modalities are not attended to; a row without any attends to
    the stand-ins of all.

    See `Fusion` for the other arguments and shapes.

    Args:
        heads: int. Attention heads, a divisor of `dim`. Defaults to 4.
        layers: int. Transformer layers. Defaults to 1.

    Raises:
        ConfigError: if `heads` does not divide `dim`.

    Example:

        >>> fusion = CoAttentionFusion(dim=8, layers=2)
        >>> masks = {"image": tf.constant([True, False]), "text": tf.constant([True, True])}
        >>> fusion({"image": tf.ones([2, 5]), "text": tf.ones([2, 3])}, masks).shape
        TensorShape([2, 8])

    Reference: Vaswani et al., Attention is all you need (2017); Xiong et al., On layer normalization in the
    Transformer architecture (2020), for the norms in front; Touvron et al., Going deeper with image Transformers
    (2021), for the scales; Lu et al., ViLBERT (2019), for co-attention.
    """

    def __init__(self, dim: int, heads: int = 4, layers: int = 1, modality_dropout: float = 0.0, **kwargs):
        super().__init__(dim=dim, modality_dropout=modality_dropout, **kwargs)
        self.heads = heads
        self.layers = layers
        self.blocks = [_TransformerBlock(dim, heads, name=f"block_{number}") for number in range(layers)]

    def build(self, input_shape):
        # As large as the tokens that a unit vector gives, so that the modality is seen from the first step.
        self.embeddings = {
            name: self.add_weight(
                name=f"embedding_{weight_name(name)}",
                shape=[self.dim],
                initializer=tf_keras.initializers.RandomNormal(stddev=0.05),
            )
            for name in sorted(input_shape)
        }
        super().build(input_shape)

    def project(self, features):
        return {name: token + self.embeddings[name] for name, token in super().project(features).items()}

    def combine(self, tokens, attended):
        for block in self.blocks:
            tokens = block(tokens, attended)
        return masked_mean(tokens, attended)

    def get_config(self):
        return {**super().get_config(), "heads": self.heads, "layers": self.layers}


class _TransformerBlock(tf_keras.layers.Layer):
    """`[batch, modalities, dim]` tokens to the same shape: attention, then a network for each token."""

    def __init__(self, dim, heads, **kwargs):
        super().__init__(**kwargs)
        self.normalize_attention = tf_keras.layers.LayerNormalization(name="normalize_attention")
        self.attention = TokenAttention(dim, heads, name="attention")
        self.normalize_network = tf_keras.layers.LayerNormalization(name="normalize_network")
        self.widen = tf_keras.layers.Dense(2 * dim, activation="gelu", name="widen")
        small = tf_keras.initializers.RandomNormal(stddev=0.02)
        self.narrow = tf_keras.layers.Dense(dim, kernel_initializer=small, name="narrow")

    def build(self, input_shape):
        start = tf_keras.initializers.Constant(0.1)
        dim = input_shape[-1]
        self.attention_scale = self.add_weight(name="attention_scale", shape=[dim], initializer=start)
        self.network_scale = self.add_weight(name="network_scale", shape=[dim], initializer=start)
        super().build(input_shape)

    def call(self, tokens, attended):
        normalized = self.normalize_attention(tokens)
        tokens += self.attention_scale * self.attention(normalized, normalized, attended)[0]
        return tokens + self.network_scale * self.narrow(self.widen(self.normalize_network(tokens)))
