"""Fusion by gates."""

import tensorflow as tf
import tf_keras

from mmrec_tf.fusion.tokens import TokenFusion, masked_softmax


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class GatedFusion(TokenFusion):
    """Lets each item's own content decide, in every dimension, which modality to believe.

    A product with a good photo and an empty description should be judged by its photo. A gate sees all the tokens
    and divides each dimension among the modalities that are present:

        t_m = W_m x_m + b_m,   g = softmax over present m of (G [t_1; ...; t_M] + c)_m,   z = sum_m g_m * tanh(t_m)

    with `*` by element; g_m is `[batch, dim]`. `modality_weights` averages the gates over the dimensions. A row
    without any modality takes the tokens of the stand-ins, gated as if all were there.

    See `Fusion` for arguments and shapes.

    Example:

        >>> fusion = GatedFusion(dim=8)
        >>> masks = {"image": tf.constant([True, False]), "text": tf.constant([True, True])}
        >>> fusion({"image": tf.ones([2, 5]), "text": tf.ones([2, 3])}, masks).shape
        TensorShape([2, 8])

    Reference: Arevalo et al., Gated multimodal units for information fusion (2017); there two modalities share a
    sigmoid gate, which the softmax carries over to any number and to absent ones.
    """

    weighs_modalities = True

    def build(self, input_shape):
        self.gate = tf_keras.layers.Dense(len(input_shape) * self.dim, name="gate")
        super().build(input_shape)

    def combine(self, tokens, attended):
        return tf.reduce_sum(self.gates(tokens, attended) * tf.tanh(tokens), axis=1)

    def weigh_tokens(self, tokens, attended):
        return tf.reduce_mean(tf.cast(self.gates(tokens, attended), tf.float32), axis=2)

    def gates(self, tokens: tf.Tensor, attended: tf.Tensor) -> tf.Tensor:
        """`[batch, modalities, dim]` gates that sum to 1 over the modalities."""
        modalities = tokens.shape[1]
        scores = self.gate(tf.reshape(tokens, [-1, modalities * self.dim]))
        return masked_softmax(tf.reshape(scores, [-1, modalities, self.dim]), attended[:, :, None], axis=1)
