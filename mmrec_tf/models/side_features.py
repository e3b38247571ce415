"""Categories and numbers to embeddings: the part of a tower that is neither id nor media."""

import tensorflow as tf
import tf_keras

from mmrec_tf._keras import weight_name


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class SideFeatures(tf_keras.layers.Layer):
    """One embedding per categorical, multi-categorical and number feature.

    A category is looked up, several categories are averaged, and a number scales a learned direction; a missing
    number is told apart by a direction of its own. Every field comes out with the same width, which is what a
    factorisation machine needs and what a tower concatenates.

    Args:
        dim: int. Width of each field's embedding.
        vocabulary_sizes: dict of feature name -> rows of its embedding.

    Call arguments:
        features: dict with `categorical` (name -> `[batch]` int), `multi_categorical` (name -> `[batch, n]` int, 0 is
            padding) and `numbers` (name -> `[batch, 2]` float: value and presence).

    Returns:
        `[batch, fields, dim]` float tensor, the fields in alphabetical order within each kind.
    """

    def __init__(self, dim, vocabulary_sizes, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.vocabulary_sizes = vocabulary_sizes

    def build(self, input_shape):
        names = [*input_shape["categorical"], *input_shape["multi_categorical"]]
        self.embeddings = {
            name: self.add_weight(
                name=f"embedding_{weight_name(name)}",
                shape=[self.vocabulary_sizes[name], self.dim],
                initializer=tf_keras.initializers.RandomNormal(stddev=0.05),
            )
            for name in sorted(names)
        }
        self.directions = {
            name: self.add_weight(name=f"number_{weight_name(name)}", shape=[2, self.dim], initializer="glorot_uniform")
            for name in sorted(input_shape["numbers"])
        }
        super().build(input_shape)

    def call(self, features):
        fields = [tf.gather(self.embeddings[name], index) for name, index in sorted(features["categorical"].items())]
        for name, index in sorted(features["multi_categorical"].items()):
            present = tf.cast(index > 0, self.compute_dtype)[..., None]
            total = tf.reduce_sum(tf.gather(self.embeddings[name], index) * present, axis=1)
            fields.append(total / tf.maximum(tf.reduce_sum(present, axis=1), 1.0))
        for name, value in sorted(features["numbers"].items()):
            fields.append(tf.matmul(tf.cast(value, self.compute_dtype), self.directions[name]))
        return tf.stack(fields, axis=1)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "vocabulary_sizes": self.vocabulary_sizes}
