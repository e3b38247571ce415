"""An item as the towers see it: its id, its categories and numbers, and its modalities fused."""

import tensorflow as tf
import tf_keras

from mmrec_tf.fusion.base import Fusion
from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.graph_propagation import GraphSmoothing
from mmrec_tf.models.side_features import SideFeatures


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class ItemEmbedding(tf_keras.layers.Layer):
    """Embeds items by index, shared by the candidate tower and by the histories in the query tower.

        z = id embedding + W [categories; numbers] + fusion(modalities) + what neighbours' id embeddings add

    A sum, so that an item whose id is new is still placed by its content. In training the id is hidden at random for
    the same reason: the hidden id takes the embedding that new items will take.

    Args:
        lookup: `FeatureLookup` of the items.
        fusion: `Fusion` of width `dim`.
        dim: int. Width of the embedding.
        id_dropout: float in [0, 1). Chance of hiding an id while training.
        graph: `GraphSmoothing` over all items, by which an item that few have touched takes on what its neighbours have
            learned; None, the default, for none.

    Call arguments:
        index: `[batch]` int tensor.
        training: bool.
        vectors: dict of modality -> `[batch, width]`, centred and scaled as in the items' `FeatureTable`. They stand
            in for the stored ones, as where an encoder is trained.
        without_ids: bool. Embed all items as if their ids were new. Defaults to False.
        without: modalities that are left out, as if no item had them. Defaults to none.
        added: `[size, dim]` what is added to each item's id embedding, and hidden with it; see `IdPropagation`. None,
            the default, for nothing.

    Returns:
        `[batch, dim]` float tensor.
    """

    def __init__(
        self,
        lookup: FeatureLookup,
        fusion: Fusion,
        dim: int,
        id_dropout: float = 0.0,
        graph: GraphSmoothing | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.lookup = lookup
        self.fusion = fusion
        self.dim = dim
        self.id_dropout = id_dropout
        self.graph = graph
        self.ids = tf_keras.layers.Embedding(
            lookup.id_vocabulary_size, dim, embeddings_initializer=tf_keras.initializers.RandomNormal(stddev=0.05)
        )
        if lookup.has_side_features:
            self.side = SideFeatures(dim=16, vocabulary_sizes=lookup.vocabulary_sizes)
            self.mix_side = tf_keras.layers.Dense(dim, name="mix_side")

    def call(self, index, training=False, vectors=None, without_ids=False, without=(), added=None):
        features = self.lookup(index)
        rate = 1.0 if without_ids else self.id_dropout
        id_index = hide_ids(features["id_index"], rate, training or without_ids)
        embedding = self.ids(id_index)
        if added is not None:
            embedding += tf.where(id_index[:, None] > 0, tf.gather(added, index), 0.0)
        if self.graph is not None:
            embedding += self._of_neighbours(index)
        if self.lookup.has_side_features:
            fields = self.side({key: features[key] for key in ("categorical", "multi_categorical", "numbers")})
            embedding += self.mix_side(tf.reshape(fields, [-1, fields.shape[1] * fields.shape[2]]))
        if self.lookup.has_modalities:
            masks = {name: tf.zeros_like(mask) if name in without else mask for name, mask in features["masks"].items()}
            embedding += self.fusion({**features["vectors"], **(vectors or {})}, masks, training=training)
        return embedding

    def _of_neighbours(self, index):
        if self.graph.layers == 1 and (index.shape[0] is None or index.shape[0] < self.lookup.size):
            # The whole table's gradient would name all of its rows.
            return self.graph.added(lambda near: self.ids(tf.gather(self.lookup.id_index, near)), index)
        table = self.ids(self.lookup.id_index)
        # Without the item's own, which is there already and may be hidden.
        return self.graph(table, index) - tf.gather(table, index)

    def rows(self, needed: int | None, training: bool, added: tf.Tensor | None = None):
        """A function from item indices, of any shape, to their embeddings.

        A step looks up the same popular items over and over. When it needs more rows than the catalogue has, the
        whole catalogue is embedded once and gathered from.

        Args:
            needed: int. Rows that the step looks up; None where that is not known.
            training: bool.
            added: as for a call.
        """
        if needed is not None and needed >= self.lookup.size:
            catalogue = self(tf.range(self.lookup.size), training=training, added=added)
            return lambda index: tf.gather(catalogue, index)

        def embed(index):
            flat = self(tf.reshape(index, [-1]), training=training, added=added)
            return tf.reshape(flat, tf.concat([tf.shape(index), [self.dim]], axis=0))

        return embed

    def get_config(self):
        serialize = tf_keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "lookup": serialize(self.lookup),
            "fusion": serialize(self.fusion),
            "dim": self.dim,
            "id_dropout": self.id_dropout,
            "graph": None if self.graph is None else serialize(self.graph),
        }

    @classmethod
    def from_config(cls, config):
        deserialize = tf_keras.saving.deserialize_keras_object
        layers = {name: deserialize(config[name]) for name in ("lookup", "fusion", "graph") if config.get(name)}
        return cls(**{**config, **layers})


def hide_ids(id_index: tf.Tensor, rate: float, training: bool) -> tf.Tensor:
    """Replaces a random share of the ids by 0, the index of ids that training has not seen."""
    if not training or rate == 0.0:
        return id_index
    return tf.where(tf.random.uniform(tf.shape(id_index)) < rate, tf.zeros_like(id_index), id_index)
