"""Which negatives are negatives of which example."""

import tensorflow as tf

from mmrec_tf.losses.negatives import NegativeSource


def counted_negatives(inputs: dict[str, tf.Tensor], ids: tf.Tensor, source: NegativeSource, size: int) -> tf.Tensor:
    """Leaves out what an example cannot be told from: its own item, and what its user is known to have touched.

    What stands in a user's history is not shown to them again, so that its score says nothing; and the tower that is
    near to it by design would have to be torn away from it. Of the whole catalogue, all that the example's row holds
    is left out. Of items that come from a batch, it is those of the same user.

    Args:
        inputs: a batch of `retrieval_dataset`.
        ids: `[negatives]` int32 item indices, 0 for none.
        source: where they come from.
        size: int. Number of item indices.

    Returns:
        `[examples, negatives]` bool.
    """
    history, item_index = inputs["history"], tf.reshape(inputs["item_index"], [-1])
    is_window = inputs["item_index"].shape.rank == 2
    if source.is_whole_catalogue:
        rows = history.shape[0] or tf.shape(history)[0]
        touched = tf.concat([history, tf.reshape(item_index, [rows, -1])], axis=1)
        places = tf.stack([tf.broadcast_to(tf.range(rows)[:, None], tf.shape(touched)), touched], axis=2)
        counted = tf.scatter_nd(places, tf.ones_like(touched, tf.float32), [rows, size])[:, 1:] == 0.0
        return tf.repeat(counted, inputs["item_index"].shape[1], axis=0) if is_window else counted
    counted = (ids != item_index[:, None]) & (ids > 0)
    if not source.has_batch:
        return counted
    users = inputs["user_index"]
    if is_window:
        users = tf.reshape(tf.broadcast_to(users[:, None], tf.shape(history)), [-1])
    others = users[:, None] != users
    return counted & tf.pad(others, [[0, 0], [0, tf.size(ids) - tf.size(users)]], constant_values=True)
