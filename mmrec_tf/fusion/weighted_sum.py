"""Fusion by a weighted sum."""

import tensorflow as tf
import tf_keras

from mmrec_tf.fusion.tokens import TokenFusion, masked_softmax


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class WeightedSumFusion(TokenFusion):
    """Adds the modalities up with one learned weight for each, the same for all items.

    The weights say at a glance what the catalogue's content is worth: photos in fashion, texts in books. They are
    divided among the modalities that an item has:

        t_m = W_m x_m + b_m,   g = softmax over present m of w_m,   z = sum_m g_m t_m

    All modalities start with the same weight. A row without any modality takes the tokens of the stand-ins, weighted
    as if all were there.

    See `Fusion` for arguments and shapes.

    Example:

        >>> fusion = WeightedSumFusion(dim=8)
        >>> features = {"image": tf.ones([2, 5]), "text": tf.ones([2, 3])}
        >>> masks = {"image": tf.constant([True, False]), "text": tf.constant([True, True])}
        >>> fusion(features, masks).shape
        TensorShape([2, 8])
        >>> fusion.modality_weights(features, masks)["text"].numpy()
        array([0.5, 1. ], dtype=float32)

    Reference: Kiela et al., Dynamic meta-embeddings for improved sentence representations (2018), without the
    dependence on the input.
    """

    weighs_modalities = True

    def build(self, input_shape):
        self.logits = self.add_weight(name="logits", shape=[len(input_shape)], initializer="zeros")
        super().build(input_shape)

    def combine(self, tokens, attended):
        return tf.einsum("bm,bmd->bd", self.weigh_tokens(tokens, attended), tokens)

    def weigh_tokens(self, tokens, attended):
        return masked_softmax(self.logits[None, :], attended, axis=1)
