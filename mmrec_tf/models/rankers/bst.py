"""BST: a Transformer over the history and the item at hand."""

import tensorflow as tf
import tf_keras

from mmrec_tf.config_ranking import check_divides
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.deep_part import DeepPart
from mmrec_tf.models.rankers.fields import flattened


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TargetBlock(tf_keras.layers.Layer):
    """One block of a Transformer over a history, with the items that are asked about at its end, each by itself.

        x = x + O [heads of softmax over the attended of q . k / sqrt(dim / heads), times v]
        x = x + W_2 gelu(W_1 LayerNorm(x) + b_1) + b_2,   q, k, v = LayerNorm(x) [Q; K; V]

    An item of the history attends to the history, an item at hand to the history and itself. As the history does not
    look at the item at hand, it is read once for a whole group of items.

    Args:
        dim: int. Width of the steps.
        heads: int. A divisor of `dim`. Defaults to 2.

    Call arguments:
        inputs: pair of `[batch, length, dim]` steps and `[batch, group, dim]` target, float.
        present: `[batch, length]` bool tensor.

    Returns:
        The steps and the target after the block, in their shapes.

    Raises:
        ConfigError: if `heads` does not divide `dim`.
    """

    def __init__(self, dim: int, heads: int = 2, **kwargs):
        super().__init__(**kwargs)
        check_divides(heads, dim, "dim")
        self.dim = dim
        self.heads = heads
        self.normalize_attention = tf_keras.layers.LayerNormalization(epsilon=1e-5, name="normalize_attention")
        self.queries_keys_values = tf_keras.layers.Dense(3 * dim, use_bias=False, name="queries_keys_values")
        self.attended_map = tf_keras.layers.Dense(dim, name="attended_map")
        self.normalize_transform = tf_keras.layers.LayerNormalization(epsilon=1e-5, name="normalize_transform")
        self.widen = tf_keras.layers.Dense(2 * dim, activation=tf.nn.gelu, name="widen")
        self.narrow = tf_keras.layers.Dense(dim, name="narrow")

    def call(self, inputs, present):
        steps, target = inputs
        query, key, value = self._mapped(steps)
        own_query, own_key, own_value = self._mapped(target)
        attended = present[:, None, None, :]
        weights = _softmax(_products(query, key), attended)
        seen = self._joined(tf.matmul(tf.cast(weights, value.dtype), value))
        itself = tf.reduce_sum(own_query * own_key, axis=-1, keepdims=True)
        products = tf.concat([_products(own_query, key), tf.cast(itself, tf.float32)], axis=-1)
        attended = tf.concat([attended, tf.ones_like(attended[..., :1])], axis=-1)
        weights = tf.cast(_softmax(products, attended), value.dtype)
        seen_by_target = self._joined(tf.matmul(weights[..., :-1], value) + weights[..., -1:] * own_value)
        return self._transformed(steps, seen), self._transformed(target, seen_by_target)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "heads": self.heads}

    def _mapped(self, steps):
        """Queries, divided by sqrt(width), keys and values, `[batch, heads, n, width]`."""
        width = self.dim // self.heads
        mapped = self.queries_keys_values(self.normalize_attention(steps))
        # Written out, as -1 cannot be told beside no items at hand.
        mapped = tf.reshape(mapped, [*_sizes(steps)[:2], 3, self.heads, width])
        query, key, value = tf.unstack(tf.transpose(mapped, [2, 0, 3, 1, 4]))
        return query * width**-0.5, key, value

    def _joined(self, seen):
        """`[batch, n, dim]` of `[batch, heads, n, width]`."""
        seen = tf.transpose(seen, [0, 2, 1, 3])
        return tf.reshape(seen, [*_sizes(seen)[:2], self.dim])

    def _transformed(self, steps, seen):
        steps += self.attended_map(seen)
        return steps + self.narrow(self.widen(self.normalize_transform(steps)))


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class Places(tf_keras.layers.Layer):
    """Adds to each item of a history an embedding of how far from the end it stands, and to the items at hand theirs.

    Call arguments:
        inputs: pair of `[batch, length, dim]` steps, padding in front, and `[batch, group, dim]` targets.

    Returns:
        The two, in their shapes.
    """

    def build(self, input_shape):
        length, dim = input_shape[0][1:]
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=[length + 1, dim],
            initializer=tf_keras.initializers.RandomNormal(stddev=0.01),
        )
        super().build(input_shape)

    def call(self, inputs):
        steps, target = inputs
        return steps + self.embeddings[:-1], target + self.embeddings[-1]


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class BST(Ranker):
    """Reads the history in order, and the item at hand in the light of it.

    An item of the history is the sum of its fields, its media among them, and of an embedding of its place, counted
    from the end; the item at hand is embedded by the same weights and has a place of its own. With z the item at hand
    after `blocks` blocks of `TargetBlock` and a layer normalisation:

        y = b + sum_f w_f + MLP([v_1; ...; v_F; z])

    See `Ranker` for the other arguments, call arguments and shapes.

    Args:
        hidden: list of int. Widths of the deep part.
        dropout: float in [0, 1). In the deep part. Defaults to 0.
        blocks: int. Defaults to 1.
        heads: int. A divisor of `dim`. Defaults to 2.

    Raises:
        ConfigError: if `heads` does not divide `dim`.

    Reference: Chen et al., Behavior sequence transformer for e-commerce recommendation in Alibaba (DLP-KDD 2019), where
    the history looks at the item at hand too.
    """

    title = "BST"
    reads_steps = True

    def __init__(self, users, items, dim, hidden, dropout=0.0, blocks=1, heads=2, **kwargs):
        super().__init__(users, items, dim, **kwargs)
        self.hidden = list(hidden)
        self.dropout = dropout
        self.blocks = blocks
        self.heads = heads
        self.places = Places(name="places")
        self.transformer = [TargetBlock(dim, heads, name=f"block_{number}") for number in range(blocks)]
        self.normalize = tf_keras.layers.LayerNormalization(epsilon=1e-5, name="normalize")
        self.deep = DeepPart(self.hidden, dropout, name="deep")

    def interactions(self, pairs, training):
        item = flattened(pairs.item_vectors)
        if pairs.history.shape[1]:
            steps, target = self.places((pairs.steps, pairs.target))
            for block in self.transformer:
                steps, target = block((steps, target), present=pairs.history > 0)
            item = tf.concat([item, tf.reshape(self.normalize(target), [-1, self.dim])], axis=1)
        return self.deep(item, flattened(pairs.user_vectors), training=training)

    def get_config(self):
        own = {"hidden": self.hidden, "dropout": self.dropout, "blocks": self.blocks, "heads": self.heads}
        return {**super().get_config(), **own}


def _products(queries, keys):
    return tf.cast(tf.matmul(queries, keys, transpose_b=True), tf.float32)


def _softmax(products, attended):
    # A history without items attends to nothing: a row of zeros, not of equal shares.
    return tf.where(attended, tf.nn.softmax(tf.where(attended, products, -1e9)), 0.0)


def _sizes(values):
    dynamic = tf.shape(values)
    return [size if size is not None else dynamic[axis] for axis, size in enumerate(values.shape)]
