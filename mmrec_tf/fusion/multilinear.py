"""Fusion by a low-rank tensor over all modalities."""

import tensorflow as tf
import tf_keras

from mmrec_tf.fusion.tokens import TokenFusion


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class MultilinearFusion(TokenFusion):
    """Lets any set of modalities interact: each alone, every two, up to all of them at once.

    The outer product of all tokens, each with a 1 behind it, holds every such interaction, and a linear map of it is
    the richest multilinear fusion there is; it also has dim^(M + 1) weights. Written as a sum of `rank` products, the
    tensor is never formed:

        t_m = W_m x_m + b_m,   z = sum_r (prod_m (1 + F_m^r t_m + c_m^r) - 1)

    with products by element. The factors are the reference's F [t; 1], moved by a constant so that they start near 1:
    a modality that says nothing then leaves the product of the others as it is, and so does an absent one, whose
    stand-in and offsets are 0 before training.

    See `Fusion` for the other arguments and shapes.

    Args:
        rank: int. Number of products. Defaults to 3.

    Example:

        >>> fusion = MultilinearFusion(dim=8, rank=2)
        >>> masks = {"image": tf.constant([True, False]), "text": tf.constant([True, True])}
        >>> fusion({"image": tf.ones([2, 5]), "text": tf.ones([2, 3])}, masks).shape
        TensorShape([2, 8])

    Reference: Liu et al., Efficient low-rank multimodal fusion with modality-specific factors (ACL 2018).
    """

    def __init__(self, dim: int, rank: int = 3, modality_dropout: float = 0.0, **kwargs):
        super().__init__(dim=dim, modality_dropout=modality_dropout, **kwargs)
        self.rank = rank

    def build(self, input_shape):
        self.factors = [
            tf_keras.layers.Dense(self.rank * self.dim, name=f"factor_{place}") for place in range(len(input_shape))
        ]
        super().build(input_shape)

    def combine(self, tokens, attended):
        product = 1.0
        for factor, token in zip(self.factors, tf.unstack(tokens, axis=1)):
            product *= 1.0 + factor(token)
        return tf.reduce_sum(tf.reshape(product - 1.0, [-1, self.rank, self.dim]), axis=1)

    def get_config(self):
        return {**super().get_config(), "rank": self.rank}
