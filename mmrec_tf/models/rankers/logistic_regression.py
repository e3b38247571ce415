"""The linear baseline."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.rankers.base import Ranker


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class LogisticRegression(Ranker):
    """Adds up what each feature says by itself: y = b + sum_f w_f.

    With a target of ratings it is linear regression. The embeddings' width is of no account, so there is none.

    See `Ranker` for the other arguments, call arguments and shapes.
    """

    title = "logistic regression"

    def __init__(self, users, items, dim=0, **kwargs):
        super().__init__(users, items, dim=0, **kwargs)

    def interactions(self, pairs, training):
        return tf.zeros(tf.shape(pairs.item_vectors)[:1])
