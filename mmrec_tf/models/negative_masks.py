"""Which negatives are negatives of which example."""

from typing import NamedTuple

import tensorflow as tf

from mmrec_tf.losses.negatives import NegativeSource


class NegativeMask(NamedTuple):
    """Who is told from what, kept as what it follows from, so that it can be worked out for some examples at a time.

    Args:
        examples: dict of `[examples]` int32: `window`, the row of `counted`, or `own` and, where negatives come from a
            batch, `user`.
        negatives: dict of `counted`, `[windows, negatives]` bool; or of `ids` and `user`, `[negatives]` int32, with -1
            where no user brought one.
    """

    examples: dict[str, tf.Tensor]
    negatives: dict[str, tf.Tensor]

    def of(self, examples: dict[str, tf.Tensor]) -> tf.Tensor:
        """`[some, negatives]` bool, of some rows of `examples`."""
        if "window" in examples:
            return tf.gather(self.negatives["counted"], examples["window"])
        ids = self.negatives["ids"]
        counted = (ids != examples["own"][:, None]) & (ids > 0)
        if "user" not in examples:
            return counted
        return counted & (examples["user"][:, None] != self.negatives["user"])


def counted_negatives(inputs: dict[str, tf.Tensor], ids: tf.Tensor, source: NegativeSource, size: int) -> NegativeMask:
    """Leaves out what an example cannot be told from: its own item, and what its user is known to have touched.

    What stands in a user's history is not shown to them again, so that its score says nothing; and the tower that is
    near to it by design would have to be torn away from it. Of the whole catalogue, all that the example's row holds
    is left out. Of items that come from a batch, it is those of the same user.

    Args:
        inputs: a batch of `retrieval_dataset`.
        ids: `[negatives]` int32 item indices, 0 for none.
        source: where they come from.
        size: int. Number of item indices.
    """
    history, item_index = inputs["history"], tf.reshape(inputs["item_index"], [-1])
    rows = history.shape[0] or tf.shape(history)[0]
    is_window = inputs["item_index"].shape.rank == 2
    if source.is_whole_catalogue:
        touched = tf.concat([history, tf.reshape(item_index, [rows, -1])], axis=1)
        # What is padded stands for what is touched anyway, so that no column is needed for it and cut off again.
        columns = tf.where(touched > 0, touched, tf.reduce_max(touched, axis=1, keepdims=True)) - 1
        places = tf.stack([tf.broadcast_to(tf.range(rows)[:, None], tf.shape(touched)), columns], axis=2)
        everything = tf.ones([rows, size - 1], tf.bool)
        counted = tf.tensor_scatter_nd_update(everything, tf.maximum(places, 0), tf.zeros_like(touched, tf.bool))
        window = tf.range(rows)
        if is_window:
            window = tf.repeat(window, inputs["item_index"].shape[1])
        return NegativeMask({"window": window}, {"counted": counted})
    if not source.has_batch:
        return NegativeMask({"own": item_index}, {"ids": ids})
    users = inputs["user_index"]
    if is_window:
        users = tf.reshape(tf.broadcast_to(users[:, None], tf.shape(history)), [-1])
    of_negatives = tf.pad(users, [[0, tf.size(ids) - tf.size(users)]], constant_values=-1)
    return NegativeMask({"own": item_index, "user": users}, {"ids": ids, "user": of_negatives})
