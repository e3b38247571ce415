"""The factorisation machine."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.fields import repeated, with_repeated


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class FM(Ranker):
    """Lets each pair of fields meet in a dot product.

        y = b + sum_f w_f + sum_{f < g} v_f . v_g

    See `Ranker` for arguments, call arguments and shapes.

    Reference: Rendle, Factorization machines (ICDM 2010).
    """

    title = "FM"
    looks_up_vectors = False

    def item_parts(self, item_vectors):
        return sums_and_squares(item_vectors)

    def interactions(self, pairs, training):
        return tf.cast(pairwise_products(self.parts_of(pairs), pairs.user_vectors), tf.float32)


def sums_and_squares(vectors: tf.Tensor) -> dict[str, tf.Tensor]:
    """What `pairwise_products` needs of the fields of one side.

    Args:
        vectors: `[rows, fields, dim]`.

    Returns:
        `sum`, `[rows, dim]`, over the fields, and `square`, `[rows]`, over all numbers.
    """
    return {"sum": tf.reduce_sum(vectors, axis=1), "square": tf.reduce_sum(tf.square(vectors), axis=[1, 2])}


def pairwise_products(item: dict[str, tf.Tensor], user_vectors: tf.Tensor) -> tf.Tensor:
    """The sum of v_f . v_g over all pairs of fields f < g of item and user.

    Args:
        item: `sums_and_squares` of the pairs' item fields.
        user_vectors: `[batch, fields, dim]`; the pairs of one user stand together.

    Returns:
        `[pairs]`.
    """
    # It is half of |sum v|^2 - sum |v|^2: linear in the number of fields, and most of it once per user.
    user = sums_and_squares(user_vectors)
    total = with_repeated(item["sum"], user["sum"])
    squares = item["square"] + repeated(user["square"], item["square"])
    return 0.5 * (tf.reduce_sum(tf.square(total), axis=1) - squares)
