"""Categories and numbers to embeddings: the part of a tower that is neither id nor media."""

import tensorflow as tf
import tf_keras

from mmrec_tf._keras import weight_name
from mmrec_tf.models.number_embeddings import build_number_embedding
from mmrec_tf.models.row_sums import row_sums


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class SideFeatures(tf_keras.layers.Layer):
    """One embedding per categorical, multi-categorical and number feature.

    A category is looked up, several categories are averaged, and a number is embedded as `number_embedding` says; a
    missing number is told apart by a direction of its own. Every field comes out with the same width, which is what a
    factorisation machine needs and what a tower concatenates.

    Args:
        dim: int. Width of each field's embedding.
        vocabulary_sizes: dict of feature name -> rows of its embedding.
        number_embedding: `linear`, `periodic`, `piecewise_linear` or `bucketised`; see `NumberEmbedding`. Defaults to
            `linear`.
        number_edges: dict of number feature -> edges of its bins, for the latter two; without, `normal_edges`.
        number_stddev: see `NumberEmbedding`. Defaults to None.

    Call arguments:
        features: dict with `categorical` (name -> `[batch]` int), `multi_categorical` (name -> `[batch, n]` int, 0 is
            padding) and `numbers` (name -> `[batch, 2]` float: value and presence).

    Returns:
        `[batch, fields, dim]` float tensor, the fields in alphabetical order within each kind.
    """

    def __init__(
        self, dim, vocabulary_sizes, number_embedding="linear", number_edges=None, number_stddev=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.dim = dim
        self.vocabulary_sizes = vocabulary_sizes
        self.number_embedding = number_embedding
        self.number_edges = dict(number_edges or {})
        self.number_stddev = number_stddev

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
        self.numbers = {
            name: build_number_embedding(
                self.number_embedding,
                self.dim,
                self.number_edges.get(name),
                stddev=self.number_stddev,
                name=f"number_{weight_name(name)}",
            )
            for name in sorted(input_shape["numbers"])
        }
        for name, embed in self.numbers.items():
            embed.build(input_shape["numbers"][name])
        super().build(input_shape)

    def call(self, features):
        fields = [tf.gather(self.embeddings[name], index) for name, index in sorted(features["categorical"].items())]
        for name, index in sorted(features["multi_categorical"].items()):
            fields.append(self._mean_of(self.embeddings[name], index))
        for name, value in sorted(features["numbers"].items()):
            fields.append(self.numbers[name](value))
        return tf.stack(fields, axis=1)

    def _mean_of(self, embeddings, index):
        # Index 0 is what rows are padded with.
        present = index > 0
        total = row_sums(tf.convert_to_tensor(embeddings), index, present)
        count = tf.reduce_sum(tf.cast(present, total.dtype), axis=1, keepdims=True)
        return total / tf.maximum(count, 1.0)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "vocabulary_sizes": self.vocabulary_sizes,
            "number_embedding": self.number_embedding,
            "number_edges": self.number_edges,
            "number_stddev": self.number_stddev,
        }
