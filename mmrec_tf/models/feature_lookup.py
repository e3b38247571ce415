"""The features of a whole catalogue inside the model, gathered by index."""

import tensorflow as tf
import tf_keras

from mmrec_tf._keras import weight_name
from mmrec_tf.features.feature_table import FeatureTable

_GROUPS = ("categorical", "multi_categorical", "numbers", "vectors", "masks")


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class FeatureLookup(tf_keras.layers.Layer):
    """Holds one side's `FeatureTable` as non-trainable variables.

    A training step then moves a few integers per example from host to device, not vectors, and an exported model
    carries its catalogue with it.

    Args:
        shapes: dict of group -> feature name -> shape of its array; group is one of `categorical`,
            `multi_categorical`, `numbers`, `vectors`, `masks`.
        size: int. Number of indices, the unknown at 0 included.
        id_vocabulary_size: int. Rows of the id embedding.
        vocabulary_sizes: dict of feature name -> rows of its embedding.

    Attributes:
        id_index: `[size]` int32; see `FeatureTable`.
        is_met: `[size]` bool. Whether training has met it at all, be it that nobody liked it and it has no id.

    Call arguments:
        index: int tensor of any shape.

    Returns:
        dict with `id_index` (the shape of `index`) and, by group, dicts of the gathered rows.
    """

    def __init__(self, shapes, size, id_vocabulary_size, vocabulary_sizes, **kwargs):
        super().__init__(**kwargs)
        self.shapes = shapes
        self.size = size
        self.id_vocabulary_size = id_vocabulary_size
        self.vocabulary_sizes = vocabulary_sizes
        self.id_index = self._table("id_index", [size], "int32")
        self.is_met = self._table("is_met", [size], "bool")
        dtypes = {"categorical": "int32", "multi_categorical": "int32", "masks": "bool"}
        self.tables = {
            group: {
                name: self._table(f"{group}_{weight_name(name)}", shape, dtypes.get(group, "float32"))
                for name, shape in sorted(shapes.get(group, {}).items())
            }
            for group in _GROUPS
        }

    @classmethod
    def from_table(cls, table: FeatureTable, **kwargs) -> "FeatureLookup":
        """A lookup that holds the table's arrays."""
        lookup = cls(
            shapes={group: {name: list(a.shape) for name, a in getattr(table, group).items()} for group in _GROUPS},
            size=table.size,
            id_vocabulary_size=table.id_vocabulary_size,
            vocabulary_sizes={name: vocabulary.size for name, vocabulary in table.vocabularies.items()},
            **kwargs,
        )
        lookup.id_index.assign(table.id_index)
        lookup.is_met.assign(table.met_index > 0)
        for group in _GROUPS:
            for name, array in getattr(table, group).items():
                lookup.tables[group][name].assign(array)
        return lookup

    @property
    def has_modalities(self) -> bool:
        return bool(self.shapes.get("vectors"))

    @property
    def has_side_features(self) -> bool:
        """Whether there are categories or numbers."""
        return any(self.shapes.get(group) for group in ("categorical", "multi_categorical", "numbers"))

    def call(self, index):
        gathered = {
            group: {name: tf.gather(table, index) for name, table in tables.items()}
            for group, tables in self.tables.items()
        }
        return {"id_index": tf.gather(self.id_index, index), **gathered}

    def get_config(self):
        return {
            **super().get_config(),
            "shapes": self.shapes,
            "size": self.size,
            "id_vocabulary_size": self.id_vocabulary_size,
            "vocabulary_sizes": self.vocabulary_sizes,
        }

    def _table(self, name, shape, dtype):
        return self.add_weight(
            name=name, shape=shape, dtype=dtype, trainable=False, initializer="zeros", experimental_autocast=False
        )
