"""The circumstances of a request as embeddings."""

from typing import Any

import tensorflow as tf
import tf_keras

from mmrec_tf.features.context_features import CLOCK
from mmrec_tf.models.side_features import SideFeatures


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class ContextFields(tf_keras.layers.Layer):
    """One embedding per feature of the context, where requests may leave the context out.

    In training the whole context of an example is hidden at random, so that what is not known has an embedding that was
    trained too.

    Args:
        dim: int. Width of each field's embedding.
        spec: dict as `ContextFeatures.spec` gives it.
        hide: float in [0, 1). Chance of hiding an example's context while training. Defaults to 0.
        number_embedding, number_stddev: see `SideFeatures`; bins are cut by `normal_edges`.

    Call arguments:
        context: dict as `ContextFeatures.encode` gives it, `[batch, ...]`.
        training: bool.

    Returns:
        `[batch, fields, dim]` float tensor.
    """

    def __init__(
        self,
        dim: int,
        spec: dict[str, Any],
        hide: float = 0.0,
        number_embedding: str = "linear",
        number_stddev: float | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.dim = dim
        self.spec = spec
        self.hide = hide
        self.number_embedding = number_embedding
        self.number_stddev = number_stddev
        sizes = {**spec["categorical"], **spec["multi_categorical"]}
        self.side = SideFeatures(dim, sizes, number_embedding, number_stddev=number_stddev)

    def call(self, context, training=False):
        if training and self.hide:
            rows = tf.shape(tf.nest.flatten(context)[0])[0]
            context = masked(context, tf.random.uniform([rows]) >= self.hide)
        return self.side(context)

    def unknown(self, rows: tf.Tensor) -> dict[str, dict[str, tf.Tensor]]:
        """The context of `rows` requests that say nothing of it."""
        return {
            "categorical": {name: tf.zeros([rows], tf.int32) for name in self.spec["categorical"]},
            "multi_categorical": {name: tf.zeros([rows, 1], tf.int32) for name in self.spec["multi_categorical"]},
            "numbers": {name: tf.zeros([rows, 2]) for name in self.spec["numbers"]},
        }

    def is_told(self, context: dict[str, dict[str, tf.Tensor]]) -> tf.Tensor:
        """`[batch]` bool: whether a request says anything but what time it is, which says nothing of who asks."""
        told = [value > 0 for name, value in context["categorical"].items() if name not in CLOCK]
        told += [tf.reduce_any(value > 0, axis=1) for value in context["multi_categorical"].values()]
        told += [value[:, 1] > 0.0 for value in context["numbers"].values()]
        rows = tf.shape(tf.nest.flatten(context)[0])[0]
        return tf.reduce_any(tf.stack(told), axis=0) if told else tf.zeros([rows], tf.bool)

    def get_config(self):
        numbers = {"number_embedding": self.number_embedding, "number_stddev": self.number_stddev}
        return {**super().get_config(), "dim": self.dim, "spec": self.spec, "hide": self.hide, **numbers}


def masked(context, known: tf.Tensor):
    """A context, `[batch, ...]`, of which only the rows are left that are known, `[batch]` bool."""

    def kept(value):
        return value * tf.cast(tf.reshape(known, [-1, *[1] * (value.shape.rank - 1)]), value.dtype)

    return tf.nest.map_structure(kept, context)
