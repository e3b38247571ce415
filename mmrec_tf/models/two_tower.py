"""The retrieval model: query and candidate towers trained by in-batch softmax."""

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from mmrec_tf.losses.float32_tasks import float32_tasks
from mmrec_tf.models.item_embedding import ItemEmbedding, hide_ids
from mmrec_tf.models.towers import CandidateTower, QueryTower


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TwoTower(tfrs.Model):
    """Finds, among all items, the few hundred that a user may want.

    Queries and candidates meet only in a dot product, so the items' side is computed once and a user's request costs
    one pass through the query tower and one matrix product. Training takes the other examples of the batch as
    negatives, corrected for how often each item is drawn.

    A query and a candidate meet as

        score(u, i) = cos(query(u), candidate(i)) + popularity(i)

    where the popularity is a learned number per id, best started at temperature * log of the item's share of the
    training interactions: the towers then have only to learn what makes this user differ from everybody, and somebody
    who is not known is served by popularity from the first step. As embeddings, a query carries a 1 behind its `dim`
    numbers and a candidate its popularity, so that one dot product is the score.

    Args:
        items: `ItemEmbedding`, shared by both towers.
        query_tower: `QueryTower`.
        candidate_tower: `CandidateTower`.
        temperature: float. Divides the score in the softmax.
        logq: bool. Correct the softmax for how often each item is drawn, as `sampling_probabilities` says. Defaults to
            True; the probabilities are equal until they are assigned.
        remove_accidental_hits: bool. Mask negatives that are the example's own positive. Defaults to True.
        user_dropout: float in [0, 1). Chance that a training example hides all that is known of its user, so that
            the query of somebody unknown is trained too: it comes to rank by popularity. Defaults to 0.

    Call arguments:
        inputs: dict with `user_index` `[batch]`, `history` `[batch, length]` and, for training, `item_index`
            `[batch]`; all int32.

    Returns:
        `[batch, dim + 1]` query embeddings.

    Reference: Yi et al., Sampling-bias-corrected neural modeling for large corpus item recommendations (RecSys 2019).
    """

    def __init__(
        self,
        items: ItemEmbedding,
        query_tower: QueryTower,
        candidate_tower: CandidateTower,
        temperature: float = 0.1,
        logq: bool = True,
        remove_accidental_hits: bool = True,
        user_dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.items = items
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.temperature = temperature
        self.remove_accidental_hits = remove_accidental_hits
        self.logq = logq
        self.user_dropout = user_dropout
        self.sampling_probabilities = self.add_weight(
            name="sampling_probabilities",
            shape=[items.lookup.size],
            initializer=tf_keras.initializers.Constant(1.0 / items.lookup.size),
            trainable=False,
        )
        self.popularity = tf_keras.layers.Embedding(
            items.lookup.id_vocabulary_size, 1, embeddings_initializer="zeros", name="popularity"
        )
        with float32_tasks():
            self.task = tfrs.tasks.Retrieval(
                loss=tf_keras.losses.CategoricalCrossentropy(
                    from_logits=True, reduction=tf_keras.losses.Reduction.SUM_OVER_BATCH_SIZE
                ),
                temperature=temperature,
                remove_accidental_hits=remove_accidental_hits,
            )

    def call(self, inputs, training=False):
        return self.embed_query(inputs["user_index"], inputs["history"], training=training)

    def embed_query(self, user_index, history, training=False):
        """`[batch, dim + 1]` embeddings of users given their recent item indices."""
        return self._query(user_index, history, self._rows(history.shape.num_elements(), training), training)

    def embed_candidate(self, item_index, training=False):
        """`[batch, dim + 1]` embeddings of items."""
        return self._candidate(item_index, self.items(item_index, training=training), training)

    def place_by_content(self, item_index, vectors, training=False):
        """`[batch, dim]` places of items as if their ids were new, with other vectors than the stored ones.

        Args:
            item_index: `[batch]` int tensor.
            vectors: dict of modality -> `[batch, width]`; see `ItemEmbedding`.
            training: bool.
        """
        item = self.items(item_index, training=training, vectors=vectors, without_ids=True)
        return self.candidate_tower({"item": item}, training=training)

    def compute_loss(self, inputs, training=False):
        examples = (inputs["history"].shape.num_elements() or 0) + (inputs["item_index"].shape.num_elements() or 0)
        rows = self._rows(examples, training)
        user_index, history = inputs["user_index"], inputs["history"]
        if training and self.user_dropout > 0.0:
            known = tf.cast(tf.random.uniform(tf.shape(user_index)) >= self.user_dropout, user_index.dtype)
            user_index, history = user_index * known, history * known[:, None]
        queries = self._query(user_index, history, rows, training)
        candidates = self._candidate(inputs["item_index"], rows(inputs["item_index"]), training)
        with float32_tasks():
            return self.task(
                queries,
                candidates,
                candidate_sampling_probability=(
                    tf.gather(self.sampling_probabilities, inputs["item_index"]) if self.logq else None
                ),
                candidate_ids=inputs["item_index"],
                compute_metrics=False,
            )

    def candidate_embeddings(self, batch_size: int = 4096) -> np.ndarray:
        """`[size, dim + 1]` float32 embeddings of all items, index 0 (no item) included."""
        index = np.arange(self.items.lookup.size, dtype=np.int32)
        return np.concatenate(
            [
                self.embed_candidate(index[start : start + batch_size]).numpy()
                for start in range(0, len(index), batch_size)
            ]
        )

    def query_embeddings(self, user_index: np.ndarray, history: np.ndarray, batch_size: int = 1024) -> np.ndarray:
        """`[n, dim + 1]` float32 embeddings of users given their histories."""
        embed = tf.function(self.embed_query, reduce_retracing=True)
        parts = [
            embed(
                tf.constant(user_index[start : start + batch_size], tf.int32),
                tf.constant(history[start : start + batch_size], tf.int32),
            ).numpy()
            for start in range(0, len(user_index), batch_size)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.query_tower.dim + 1), np.float32)

    def get_config(self):
        serialize = tf_keras.saving.serialize_keras_object
        return {
            "items": serialize(self.items),
            "query_tower": serialize(self.query_tower),
            "candidate_tower": serialize(self.candidate_tower),
            "temperature": self.temperature,
            "logq": self.logq,
            "remove_accidental_hits": self.remove_accidental_hits,
            "user_dropout": self.user_dropout,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        layers = ("items", "query_tower", "candidate_tower")
        deserialized = {name: tf_keras.saving.deserialize_keras_object(config[name]) for name in layers}
        return cls(**{**config, **deserialized})

    def create_weights(self, history_length: int) -> None:
        """Makes every weight, so that they can be counted, saved or loaded before the first batch."""
        index = tf.zeros([1], tf.int32)
        self({"user_index": index, "history": tf.zeros([1, history_length], tf.int32)})
        self.embed_candidate(index)

    def build_from_config(self, config):
        # Keras' own way calls the model with floats, and leaves out the candidates' side.
        self.create_weights(config["input_shape"]["history"][-1])

    def _query(self, user_index, history, rows, training):
        features = {"user_index": user_index, "history": history, "history_items": rows(history)}
        place = self.query_tower(features, training=training)
        return tf.concat([place, tf.ones_like(place[:, :1])], axis=1)

    def _candidate(self, item_index, item, training):
        place = self.candidate_tower({"item": item}, training=training)
        id_index = hide_ids(tf.gather(self.items.lookup.id_index, item_index), self.items.id_dropout, training)
        return tf.concat([place, tf.cast(self.popularity(id_index), tf.float32)], axis=1)

    def _rows(self, needed, training):
        """A function from item indices to their embeddings.

        A step looks up the same popular items over and over. When it needs more rows than the catalogue has, the
        whole catalogue is embedded once and gathered from.
        """
        if needed is not None and needed >= self.items.lookup.size:
            catalogue = self.items(tf.range(self.items.lookup.size), training=training)
            return lambda index: tf.gather(catalogue, index)

        def embed(index):
            flat = self.items(tf.reshape(index, [-1]), training=training)
            return tf.reshape(flat, tf.concat([tf.shape(index), [self.items.dim]], axis=0))

        return embed
