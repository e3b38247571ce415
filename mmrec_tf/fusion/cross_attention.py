"""Fusion by cross-attention from one modality to the others."""

import tensorflow as tf
import tf_keras

from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.fusion.token_attention import TokenAttention
from mmrec_tf.fusion.tokens import TokenFusion, any_or_all


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class CrossAttentionFusion(TokenFusion):
    """Builds on one modality, which asks the others for what it lacks.

    Where one modality leads (the photo in fashion, the title in news), the others are there to complete it:

        t_m = W_m x_m + b_m,   z = t_q + Attention(query t_q, keys t_m of present m other than q)

    An absent query asks by its stand-in. A row that has none of the others attends to the stand-ins of all of them.
    `modality_weights` is the attention of the others, averaged over heads, and 0 for the query, which is added whole.
    In a row that has the query alone, it is 1 for the query.

    See `TokenAttention` for the attention, `Fusion` for the other arguments and shapes.

    Args:
        query: str. The modality that queries the others; the first in alphabetical order when None (the default).
        heads: int. Attention heads, a divisor of `dim`. Defaults to 4.

    Raises:
        ConfigError: if `heads` does not divide `dim`, or `query` is no modality.

    Example:

        >>> fusion = CrossAttentionFusion(dim=8, query="text")
        >>> masks = {"image": tf.constant([True, False]), "text": tf.constant([True, True])}
        >>> fusion({"image": tf.ones([2, 5]), "text": tf.ones([2, 3])}, masks).shape
        TensorShape([2, 8])

    Reference: Tsai et al., Multimodal transformer for unaligned multimodal language sequences (ACL 2019).
    """

    weighs_modalities = True

    def __init__(self, dim: int, query: str | None = None, heads: int = 4, modality_dropout: float = 0.0, **kwargs):
        super().__init__(dim=dim, modality_dropout=modality_dropout, **kwargs)
        self.query = query
        self.heads = heads
        self.attention = TokenAttention(dim, heads, name="attention")

    def build(self, input_shape):
        names = sorted(input_shape)
        if self.query is not None and self.query not in names:
            raise ConfigError(
                f"fusion.query {self.query!r} is no modality of the items.{suggestion(self.query, names)} "
                f"Allowed: {', '.join(names)}."
            )
        self.query_place = names.index(self.query) if self.query is not None else 0
        super().build(input_shape)

    def combine(self, tokens, attended):
        query = tokens[:, self.query_place]
        # A lone modality has nobody to ask.
        return query if tokens.shape[1] == 1 else query + self.attend(tokens, attended)[0][:, 0]

    def weigh_tokens(self, tokens, attended):
        if tokens.shape[1] == 1:
            return tf.ones_like(tokens[:, :, 0])
        others = tf.reduce_mean(self.attend(tokens, attended)[1][:, 0], axis=2)
        place = self.query_place
        present = tf.concat([attended[:, :place], attended[:, place + 1 :]], axis=1)
        alone = tf.cast(tf.logical_not(tf.reduce_any(present, axis=1, keepdims=True)), others.dtype)
        others *= 1.0 - alone
        return tf.concat([others[:, :place], alone, others[:, place:]], axis=1)

    def attend(self, tokens: tf.Tensor, attended: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Output `[batch, 1, dim]` and attention `[batch, 1, modalities - 1, heads]`."""
        # Taken apart at once: the gradient of each slice would fill a tensor of the whole size with zeros first.
        others, present = tf.unstack(tokens, axis=1), tf.unstack(attended, axis=1)
        query = others.pop(self.query_place)
        del present[self.query_place]
        return self.attention(query[:, None], tf.stack(others, axis=1), any_or_all(tf.stack(present, axis=1)))

    def get_config(self):
        return {**super().get_config(), "query": self.query, "heads": self.heads}
