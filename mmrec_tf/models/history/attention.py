"""Who may look at whom in a history, and how much."""

import tensorflow as tf


def attended_by(present: tf.Tensor) -> tf.Tensor:
    """`[batch, l, l]` bool of `[batch, l]`: at `[:, i, j]` whether j is present and does not come after i."""
    position = tf.range(present.shape[1])
    return tf.logical_and(present[:, None, :], position[:, None] >= position[None, :])


def attention(queries: tf.Tensor, keys: tf.Tensor, bias: tf.Tensor, attended: tf.Tensor) -> tf.Tensor:
    """How much each query looks at each key: softmax over the attended keys of q . k / sqrt(width) + bias.

    Args:
        queries, keys: `[..., l, width]` float tensors.
        bias: float32 tensor that broadcasts to `[..., l, l]`.
        attended: bool tensor that broadcasts to `[..., l, l]`.

    Returns:
        `[..., l, l]` tensor of the keys' dtype, worked out in float32. It is exactly 0 where nothing is attended, which
        can be a whole row.
    """
    products = tf.cast(tf.matmul(queries * queries.shape[-1] ** -0.5, keys, transpose_b=True), tf.float32)
    # Far below any score, yet finite, so that no inf - inf arises in the softmax or its gradient. The mask stands
    # between product and bias also because XLA merges a sum right behind a batched product into it, which is a hundred
    # times slower on a CPU.
    scores = tf.where(attended, products, -1e9) + bias
    # A row without anything attended would come out even.
    return tf.cast(tf.where(attended, tf.nn.softmax(scores), 0.0), keys.dtype)
