"""What the stages that look at items share: the catalogue's vectors, and the fusion seen through some of them."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf._keras import weight_name
from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.item_embedding import ItemEmbedding
from mmrec_tf.pretraining.stage_model import StageModel, uniform


class ItemStage(StageModel):
    """A stage over the items: it trains the fusion of an `ItemEmbedding` on the modalities that its lookup holds.

    Args:
        items: the `ItemEmbedding` whose fusion is trained.
        decoded: names of the modalities that get a linear decoder from the fused vector. Linear, so that what a
            modality says has to lie open in the fused vector, where the towers can read it off.
    """

    def __init__(self, items: ItemEmbedding, decoded: list[str], **kwargs):
        super().__init__(**kwargs)
        self.lookup = items.lookup
        self.fusion = items.fusion
        widths = {name: shape[-1] for name, shape in items.lookup.shapes["vectors"].items()}
        self.names = sorted(widths)
        self.decoders = {
            name: tf_keras.layers.Dense(widths[name], name=f"decode_{weight_name(name)}") for name in sorted(decoded)
        }

    def modalities(self, item_index: tf.Tensor) -> tuple[dict, dict]:
        """Vectors and masks of a batch of items."""
        features = self.lookup(item_index)
        return features["vectors"], features["masks"]

    def fuse(self, vectors: dict, masks: dict) -> tf.Tensor:
        """`[batch, dim]`: the fusion of what the masks leave, and of nothing less.

        The fusion is called as in inference: which modality is hidden is the stage's decision.
        """
        return self.fusion(vectors, masks, training=False)


def choose_one(masks: dict, seed: tf.Tensor, draw: int) -> dict[str, tf.Tensor]:
    """One of the present modalities of each row at random: name -> `[batch]` bool, False throughout where none is."""
    names = sorted(masks)
    present = tf.stack([masks[name] for name in names], axis=1)
    scores = tf.where(present, uniform(seed, draw, tf.shape(present)), -1.0)
    chosen = tf.logical_and(tf.one_hot(tf.argmax(scores, axis=1), len(names), on_value=True, off_value=False), present)
    return dict(zip(names, tf.unstack(chosen, num=len(names), axis=1)))


def count_present(masks: dict) -> tf.Tensor:
    """`[batch]` int32: how many modalities each row has."""
    return tf.add_n([tf.cast(mask, tf.int32) for mask in masks.values()])


def items_with(table: FeatureTable, least: int, stage: str) -> np.ndarray:
    """`[n]` int32 indices of the items with at least that many modalities.

    Raises:
        ConfigError: if the schema has fewer.
        DataError: if no item has that many.
    """
    names = sorted(table.masks)
    if len(names) < least:
        raise ConfigError(
            f"pretraining stage {stage} needs {least} or more item features with content (text, image, audio, video, "
            f"vector); schema.item has {len(names)}{': ' + ', '.join(names) if names else ''}. "
            "Take the stage out of pretraining, or declare more features."
        )
    found = np.flatnonzero(np.sum([table.masks[name] for name in names], axis=0) >= least).astype(np.int32)
    if not len(found):
        raise DataError(
            f"pretraining stage {stage} needs items with at least {least} of {', '.join(names)}, and none has. "
            "Take the stage out of pretraining."
        )
    return found


def check_names(names: list[str], table: FeatureTable, setting: str) -> None:
    """Refuses names that are no modality of the items.

    Raises:
        ConfigError: with those that are.
    """
    for name in names:
        if name not in table.masks:
            raise ConfigError(
                f"{setting} names {name!r}, which is no item feature with content. "
                f"Allowed: {', '.join(sorted(table.masks))}."
            )


def arrays_of(*tables: FeatureTable) -> list[np.ndarray]:
    """All arrays of feature tables, in a fixed order: what a stage on them depends on."""
    groups = ("categorical", "multi_categorical", "numbers", "vectors", "masks")
    return [
        array
        for table in tables
        for array in (
            table.id_index,
            *(getattr(table, group)[name] for group in groups for name in sorted(getattr(table, group))),
        )
    ]
