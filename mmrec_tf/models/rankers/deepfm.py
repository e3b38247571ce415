"""DeepFM: a factorisation machine and a deep network over the same embeddings."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.deep_part import DeepPart
from mmrec_tf.models.rankers.fields import flattened
from mmrec_tf.models.rankers.fm import pairwise_products


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class DeepFM(Ranker):
    """Lets each pair of fields meet in a dot product, and all of them in a deep network.

        y = b + sum_f w_f + sum_{f < g} v_f . v_g + MLP([v_1; ...; v_F])

    See `Ranker` for the other arguments, call arguments and shapes.

    Args:
        hidden: list of int. Widths of the deep part.
        dropout: float in [0, 1). In the deep part. Defaults to 0.

    Reference: Guo et al., DeepFM: a factorization-machine based neural network for CTR prediction (IJCAI 2017).
    """

    title = "DeepFM"

    def __init__(self, users, items, dim, hidden, dropout=0.0, **kwargs):
        super().__init__(users, items, dim, **kwargs)
        self.hidden = list(hidden)
        self.dropout = dropout
        self.deep = DeepPart(self.hidden, dropout, name="deep")

    def interactions(self, pairs, training):
        deep = self.deep(flattened(pairs.item_vectors), flattened(pairs.user_vectors), training=training)
        return tf.cast(pairwise_products(pairs), tf.float32) + deep

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden, "dropout": self.dropout}
