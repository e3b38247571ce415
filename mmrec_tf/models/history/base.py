"""What every encoder of histories shares: the contract, padding and causality."""

import tensorflow as tf
import tf_keras


class HistoryEncoder(tf_keras.layers.Layer):
    """Summarises what a user did, in order, at each point of it.

    The output at a position is made of the items up to there and of nothing that came after, so that one pass over a
    window of history trains on every position of it, and the last is the user's present state.

    A subclass implements `encode(items, present, gaps, training)`, which is given zeros for the items of padding, and
    whose output at padding is replaced by zeros. Where the present state is less work than those of all positions, it
    implements `encode_latest` too.

    Args:
        dim: int. Width of the items' embeddings and of the output.
        length: int. The longest history; 0 for none, whose encoder has no weights.

    Call arguments:
        items: `[batch, l, dim]` float tensor, the oldest first, `l` up to `length`.
        mask: `[batch, l]` bool or number tensor: where there is an item. Padding stands in front.
        gaps: `[batch, l]` int tensor, the bucket of the time between an item and the one before it (see
            `mmrec_tf.data.time_gaps`), 0 where it is not known.
        training: bool.
        latest_only: bool. Only the last position is asked about. Defaults to False.

    Returns:
        `[batch, l, dim]` float tensor, 0 at padding; of the last position alone `[batch, dim]`, 0 where nobody has
        done anything.

    Raises:
        ValueError: if the items are of another width, or more than `length`.
    """

    def __init__(self, dim: int, length: int, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.length = length

    def build(self, input_shape):
        steps, width = input_shape[1], input_shape[2]
        if steps is None or steps > self.length or width != self.dim:
            raise ValueError(
                f"{type(self).__name__} was made for histories of up to {self.length} items of width {self.dim}, "
                f"got items of shape {list(input_shape)}. Make it with the length and width of what it is called with."
            )
        super().build(input_shape)

    def call(self, items, mask, gaps, training=False, latest_only=False):
        if not items.shape[1]:
            return tf.zeros([tf.shape(items)[0], self.dim], items.dtype) if latest_only else items
        present = tf.cast(mask, tf.bool)
        # What stands at padding has no influence, whatever it is: a product with 0 would keep a NaN.
        items = tf.where(present[..., None], items, tf.zeros([], items.dtype))
        encode, asked = (self.encode_latest, present[:, -1]) if latest_only else (self.encode, present)
        encoded = encode(items, present, gaps, training)
        return tf.where(asked[..., None], encoded, tf.zeros([], encoded.dtype))

    def encode(self, items: tf.Tensor, present: tf.Tensor, gaps: tf.Tensor, training: bool) -> tf.Tensor:
        """`[batch, l, dim]` of `[batch, l, dim]` items, `[batch, l]` bool and `[batch, l]` int; causal."""
        raise NotImplementedError

    def encode_latest(self, items: tf.Tensor, present: tf.Tensor, gaps: tf.Tensor, training: bool) -> tf.Tensor:
        """`[batch, dim]`: what `encode` gives for the last position."""
        return self.encode(items, present, gaps, training)[:, -1]

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "length": self.length}


def by_distance(values: tf.Tensor, steps: int) -> tf.Tensor:
    """Spreads values by distance over pairs of positions, where what an item counts depends on how far back it lies.

    Args:
        values: `[..., length]` tensor, for the farthest distance first and distance 0 last, as in a history.
        steps: int. Positions, up to `length`.

    Returns:
        `[..., steps, steps]`: at `[i, j]` the value of distance `i - j`, 0 where j comes after i.
    """
    near = values[..., values.shape[-1] - steps :]
    position = tf.range(steps)
    place = steps - 1 - position[:, None] + position[None, :]
    return tf.gather(tf.concat([near, tf.zeros_like(near)], axis=-1), place, axis=-1)


def recency_start(shape, dtype=None, **_):
    """Logits at which the newest item counts most: 0, and -2 for the oldest of a full history."""
    return tf.broadcast_to(tf.cast(tf.linspace(-2.0, 0.0, shape[-1]), dtype), shape)
