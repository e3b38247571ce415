"""The retrieval model: query and candidate towers trained by in-batch softmax."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from mmrec_tf.losses.float32_tasks import float32_tasks
from mmrec_tf.losses.pairwise_alignment import PairwiseAlignment
from mmrec_tf.models.adversarial import adversarial_vectors
from mmrec_tf.models.batched_calls import call_in_batches
from mmrec_tf.models.item_embedding import ItemEmbedding, hide_ids
from mmrec_tf.models.loss_scaled_model import LossScaledModel
from mmrec_tf.models.towers import CandidateTower, QueryTower


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TwoTower(LossScaledModel):
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
        alignment: `PairwiseAlignment` of what the fusion makes of each modality of the batch's items, whose loss is
            added in training; None, the default, for none.
        adversarial: dict with `weight` and `epsilon`: the weight of a second loss, on modality vectors of the batch's
            items that are pushed by `epsilon` where it hurts (see `adversarial_vectors`); None, the default, for none.

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
        alignment: PairwiseAlignment | None = None,
        adversarial: dict[str, float] | None = None,
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
        self.alignment = alignment
        self.adversarial = None if adversarial is None else dict(adversarial)
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

    def embed_candidate(self, item_index, training=False, vectors=None, without_ids=False, without=()):
        """`[batch, dim + 1]` embeddings of items.

        Args:
            item_index: `[batch]` int tensor.
            training: bool.
            vectors: dict of modality -> `[batch, width]` in place of the stored ones; see `ItemEmbedding`.
            without_ids: bool. As if the items' ids were new: without what only their interactions tell.
            without: modalities that are left out; see `ItemEmbedding`.
        """
        item = self.items(item_index, training=training, vectors=vectors, without_ids=without_ids, without=without)
        return self._candidate(item_index, item, training, without_ids)

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
        item_index = inputs["item_index"]
        loss = self._softmax(queries, self._candidate(item_index, rows(item_index), training), item_index)
        if training and self.items.lookup.has_modalities:
            if self.adversarial is not None:
                loss += self.adversarial["weight"] * self._loss_of_pushed(queries, item_index)
            if self.alignment is not None:
                loss += self._misalignment(item_index)
        return loss

    def candidate_embeddings(
        self, batch_size: int = 4096, without_ids: bool = False, without: Sequence[str] = ()
    ) -> np.ndarray:
        """`[size, dim + 1]` float32 embeddings of all items, index 0 (no item) included; see `embed_candidate`."""
        index = np.arange(self.items.lookup.size, dtype=np.int32)
        return np.concatenate(
            [
                self.embed_candidate(
                    index[start : start + batch_size], without_ids=without_ids, without=without
                ).numpy()
                for start in range(0, len(index), batch_size)
            ]
        )

    def query_embeddings(self, user_index: np.ndarray, history: np.ndarray, batch_size: int = 1024) -> np.ndarray:
        """`[n, dim + 1]` float32 embeddings of users given their histories."""
        inputs = (np.asarray(array, np.int32) for array in (user_index, history))
        return call_in_batches(self.embed_query, *inputs, batch_size=batch_size)

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
            "alignment": None if self.alignment is None else serialize(self.alignment),
            "adversarial": self.adversarial,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        layers = ("items", "query_tower", "candidate_tower")
        deserialized = {name: tf_keras.saving.deserialize_keras_object(config[name]) for name in layers}
        if config.get("alignment") is not None:
            deserialized["alignment"] = tf_keras.saving.deserialize_keras_object(config["alignment"])
        return cls(**{**config, **deserialized})

    def create_weights(self, history_length: int) -> None:
        """Makes every weight, so that they can be counted, saved or loaded before the first batch."""
        index = tf.zeros([1], tf.int32)
        self({"user_index": index, "history": tf.zeros([1, history_length], tf.int32)})
        self.embed_candidate(index)
        if self.alignment is not None and self.items.lookup.has_modalities:
            self._misalignment(index)

    def build_from_config(self, config):
        # Keras' own way calls the model with floats, and leaves out the candidates' side.
        self.create_weights(config["input_shape"]["history"][-1])

    def _query(self, user_index, history, rows, training):
        features = {"user_index": user_index, "history": history, "history_items": rows(history)}
        place = self.query_tower(features, training=training)
        return tf.concat([place, tf.ones_like(place[:, :1])], axis=1)

    def _candidate(self, item_index, item, training, without_ids=False):
        place = self.candidate_tower({"item": item}, training=training)
        rate = 1.0 if without_ids else self.items.id_dropout
        id_index = hide_ids(tf.gather(self.items.lookup.id_index, item_index), rate, training or without_ids)
        return tf.concat([place, tf.cast(self.popularity(id_index), tf.float32)], axis=1)

    def _softmax(self, queries, candidates, item_index):
        with float32_tasks():
            return self.task(
                queries,
                candidates,
                candidate_sampling_probability=tf.gather(self.sampling_probabilities, item_index)
                if self.logq
                else None,
                candidate_ids=item_index,
                compute_metrics=False,
            )

    def _loss_of_pushed(self, queries, item_index):
        vectors = self.items.lookup(item_index)["vectors"]

        def loss(vectors, queries):
            candidates = self.embed_candidate(item_index, training=True, vectors=vectors)
            return self._softmax(queries, candidates, item_index)

        frozen = tf.stop_gradient(queries)
        pushed = adversarial_vectors(vectors, lambda vectors: loss(vectors, frozen), self.adversarial["epsilon"])
        return loss(pushed, queries)

    def _misalignment(self, item_index):
        features = self.items.lookup(item_index)
        tokens = self.items.fusion.modality_tokens(features["vectors"], features["masks"])
        return self.alignment(tokens, masks=features["masks"], ids=item_index)

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
