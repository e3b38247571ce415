"""Fusion by products of two modalities."""

from itertools import combinations

import tensorflow as tf
import tf_keras

from mmrec_tf.fusion.tokens import TokenFusion


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class BilinearFusion(TokenFusion):
    """Adds to the modalities' sum what every two of them say only together.

    Whether a red dress in the photo is a match or a contradiction depends on the word in the title; no weighted sum
    can say so, a product can. A full bilinear form has dim^3 weights for each pair, so it is kept at a low rank:

        t_m = W_m x_m + b_m,   u_m = tanh(U_m t_m),   z = sum_m t_m + sum_{m < n} P_mn (u_m * u_n)

    with `*` by element and u_m of width `rank`. An absent modality enters by its stand-in, whose product with the
    others is 0 before training.

    See `Fusion` for the other arguments and shapes.

    Args:
        rank: int. Rank of each pair's bilinear form. Defaults to 16.

    Example:

        >>> fusion = BilinearFusion(dim=8, rank=4)
        >>> masks = {"image": tf.constant([True, False]), "text": tf.constant([True, True])}
        >>> fusion({"image": tf.ones([2, 5]), "text": tf.ones([2, 3])}, masks).shape
        TensorShape([2, 8])

    Reference: Kim et al., Hadamard product for low-rank bilinear pooling (2017).
    """

    def __init__(self, dim: int, rank: int = 16, modality_dropout: float = 0.0, **kwargs):
        super().__init__(dim=dim, modality_dropout=modality_dropout, **kwargs)
        self.rank = rank

    def build(self, input_shape):
        # A lone modality has no partner, and a weight that nothing reaches would only be carried along.
        if len(input_shape) > 1:
            self.factors = [
                tf_keras.layers.Dense(self.rank, activation="tanh", use_bias=False, name=f"factor_{place}")
                for place in range(len(input_shape))
            ]
            self.mix_pairs = tf_keras.layers.Dense(self.dim, use_bias=False, name="mix_pairs")
        super().build(input_shape)

    def combine(self, tokens, attended):
        total = tf.reduce_sum(tokens, axis=1)
        if tokens.shape[1] == 1:
            return total
        factors = [factor(token) for factor, token in zip(self.factors, tf.unstack(tokens, axis=1))]
        return total + self.mix_pairs(tf.concat([one * other for one, other in combinations(factors, 2)], axis=1))

    def get_config(self):
        return {**super().get_config(), "rank": self.rank}
