"""The factorisation machine."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.fields import Pairs, repeated, with_repeated


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class FM(Ranker):
    """Lets each pair of fields meet in a dot product.

        y = b + sum_f w_f + sum_{f < g} v_f . v_g

    See `Ranker` for arguments, call arguments and shapes.

    Reference: Rendle, Factorization machines (ICDM 2010).
    """

    title = "FM"

    def interactions(self, pairs, training):
        return tf.cast(pairwise_products(pairs), tf.float32)


def pairwise_products(pairs: Pairs) -> tf.Tensor:
    """`[pairs]`: the sum of v_f . v_g over all pairs of fields f < g."""
    # It is half of |sum v|^2 - sum |v|^2: linear in the number of fields, and most of it once per user.
    item, user = pairs.item_vectors, pairs.user_vectors
    total = with_repeated(tf.reduce_sum(item, axis=1), tf.reduce_sum(user, axis=1))
    squares = [tf.reduce_sum(tf.square(vectors), axis=[1, 2]) for vectors in (item, user)]
    return 0.5 * (tf.reduce_sum(tf.square(total), axis=1) - squares[0] - repeated(squares[1], item))
