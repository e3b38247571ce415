"""DeepFM: a factorisation machine and a deep network over the same embeddings."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.deep_part import DeepPart
from mmrec_tf.models.rankers.fields import flattened
from mmrec_tf.models.rankers.fm import pairwise_products, sums_and_squares


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
    looks_up_vectors = False

    def __init__(self, users, items, dim, hidden, dropout=0.0, **kwargs):
        super().__init__(users, items, dim, **kwargs)
        self.hidden = list(hidden)
        self.dropout = dropout
        self.deep = DeepPart(self.hidden, dropout, name="deep")

    def item_parts(self, item_vectors):
        return {"deep": self.deep.of_item(flattened(item_vectors)), **sums_and_squares(item_vectors)}

    def interactions(self, pairs, training):
        parts = self.parts_of(pairs)
        deep = self.deep.meet(parts["deep"], flattened(pairs.user_vectors), training)
        return tf.cast(pairwise_products(parts, pairs.user_vectors), tf.float32) + deep

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden, "dropout": self.dropout}
