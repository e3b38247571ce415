"""Wide & Deep: crosses that are learned by heart beside a network that generalises."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.deep_part import DeepPart
from mmrec_tf.models.rankers.fields import flattened

# A prime below 2^31, so that a product with a constant of 32 bits fits into 63.
_PRIME = 2**31 - 1


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class WideDeep(Ranker):
    """Remembers which things went together, and generalises where it has nothing to remember.

        y = b + sum_f w_f + sum over crosses c of w_hash(c) + MLP([v_1; ...; v_F])

    The crosses are each category of the user and of the context with the item's id and with each of its categories, and
    each item of the history with the item, averaged over the history. Each has one weight, found by hashing. Ids and
    categories that are not known take no part in a cross.

    See `Ranker` for the other arguments, call arguments and shapes.

    Args:
        hidden: list of int. Widths of the deep part.
        dropout: float in [0, 1). In the deep part. Defaults to 0.
        crosses: int. Weights that the crosses share; 0 for no crosses. Defaults to 65,536.

    Reference: Cheng et al., Wide & deep learning for recommender systems (DLRS 2016).
    """

    title = "Wide & Deep"
    looks_up_vectors = False

    def __init__(self, users, items, dim, hidden, dropout=0.0, crosses=65_536, **kwargs):
        super().__init__(users, items, dim, **kwargs)
        self.hidden = list(hidden)
        self.dropout = dropout
        self.crosses = crosses
        self.deep = DeepPart(self.hidden, dropout, name="deep")
        if crosses:
            self.cross_weights = self.add_weight(
                name="cross_weights", shape=[crosses], initializer="zeros", experimental_autocast=False
            )

    def item_parts(self, item_vectors):
        return {"deep": self.deep.of_item(flattened(item_vectors))}

    def interactions(self, pairs, training):
        deep = self.deep.meet(self.parts_of(pairs)["deep"], flattened(pairs.user_vectors), training)
        return deep + tf.reshape(self._crossed(pairs), [-1]) if self.crosses else deep

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden, "dropout": self.dropout, "crosses": self.crosses}

    def _crossed(self, pairs):
        """`[batch, group]`: the weights of each pair's crosses."""
        users, items = self.users.tables["categorical"], self.items.tables["categorical"]
        of_user = [tf.gather(table, pairs.user_index) for _, table in sorted(users.items())]
        if self.context_fields is not None:
            of_user += [values for _, values in sorted(pairs.context["categorical"].items())]
        of_item = [pairs.item_ids, *(tf.gather(table, pairs.item_index) for _, table in sorted(items.items()))]
        total, kind = tf.zeros(tf.shape(pairs.item_ids)), 1
        for left in of_user:
            for right in of_item:
                total += self._weights(left[:, None], right, kind)
                kind += 1
        if pairs.history.shape[1]:
            known = tf.cast(pairs.history_ids > 0, tf.float32)
            weights = self._weights(pairs.history_ids[:, None, :], pairs.item_ids[:, :, None], 0)
            total += tf.reduce_sum(weights, axis=2) / tf.maximum(tf.reduce_sum(known, axis=1, keepdims=True), 1.0)
        return total

    def _weights(self, left, right, kind):
        found = tf.gather(self.cross_weights, hashed(left, right, kind, self.crosses))
        return tf.where((left > 0) & (right > 0), found, 0.0)


def hashed(left: tf.Tensor, right: tf.Tensor, kind: int, buckets: int) -> tf.Tensor:
    """int64 numbers below `buckets` of pairs of non-negative int32, broadcast; others for each `kind`."""
    mixed = (tf.cast(left, tf.int64) * 2_654_435_761 + kind * 40_503) % _PRIME
    mixed = (tf.bitwise.bitwise_xor(mixed, tf.cast(right, tf.int64)) * 2_246_822_519) % _PRIME
    # The low digits of a product follow those of its factors.
    return tf.bitwise.right_shift(mixed * 3_266_489_917 % _PRIME, tf.constant(3, tf.int64)) % buckets
