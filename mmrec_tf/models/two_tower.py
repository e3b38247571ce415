"""The retrieval model: query and candidate towers trained to tell what comes next from negatives."""

import tensorflow as tf
import tf_keras

from mmrec_tf.losses.negatives import hard_negatives
from mmrec_tf.losses.negatives_registry import build_negatives
from mmrec_tf.losses.pairwise_alignment import PairwiseAlignment
from mmrec_tf.models.id_propagation import IdPropagation
from mmrec_tf.models.item_embedding import ItemEmbedding, hide_ids
from mmrec_tf.models.loss_scaled_model import LossScaledModel
from mmrec_tf.models.negative_masks import counted_negatives
from mmrec_tf.models.neighbour_memory import NeighbourMemory
from mmrec_tf.models.retrieval_scores import Candidates, Queries
from mmrec_tf.models.retrieval_tables import MOST_HARD_ITEMS, RetrievalTables
from mmrec_tf.models.retrieval_task import RetrievalTask
from mmrec_tf.models.side_losses import loss_of_pushed, misalignment, squared_lengths
from mmrec_tf.models.towers import CandidateTower, QueryTower

_KNOWN_OF_USER = ("user_index", "history", "gaps", "since", "context")


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TwoTower(RetrievalTables, LossScaledModel):
    """Finds, among all items, the few hundred that a user may want.

    Queries and candidates meet only in a dot product, so the items' side is computed once and a user's request costs
    one pass through the query tower and one matrix product. A query and a candidate meet as

        score(u, i, t) = cos(query(u), candidate(i)) + popularity(i) + gain(u) * sum_h w_h trend_h(i, t)

    where the popularity is a learned number per id, `trend_h` how popular the item was of late when the user asked (see
    `Trends`), `w_h` a learned blend of the half-lives, and the gain how much that counts for this user; of users
    without a history it is multiplied by `newcomer_gain`, which is set after training. The towers then have only to
    learn what makes this user differ from everybody, and somebody who is not known is served by what is popular from
    the first step. As embeddings, a query carries a 1 and its gain behind its `dim` numbers, and a candidate its
    popularity and the trend of the moment, so that one dot product is the score.

    Args:
        items: `ItemEmbedding`, shared by both towers.
        query_tower: `QueryTower`.
        candidate_tower: `CandidateTower`.
        task: `RetrievalTask`; by default softmax at temperature 0.1.
        negatives: dict with the `name` of a source of negatives and its settings; see `build_negatives`. Defaults to
            `in_batch`.
        periods, half_lives: int. Of the trends, which `set_trends` fills. Default to 1 period of no half-lives: none.
        user_dropout: float in [0, 1). Chance that a training example hides all that is known of its user, so that
            the query of somebody unknown is trained too: it comes to rank by popularity. Defaults to 0.
        alignment: `PairwiseAlignment` of what the fusion makes of each modality of the batch's items, whose loss is
            added in training; None, the default, for none.
        adversarial: dict with `weight` and `epsilon`: the weight of a second loss, on modality vectors of the batch's
            items that are pushed by `epsilon` where it hurts (see `adversarial_vectors`); None, the default, for none.
        memories: dict of name -> `NeighbourMemory`, which are added to the score beside the towers, not in their
            embeddings and not in the loss; None, the default, for none.
        propagation: `IdPropagation`, by which ids take on each other's embeddings along what was consumed; None, the
            default, for none. What is asked of the model outside training is as `settle` left it.
        embedding_l2: float. Weight of the squared lengths of the id embeddings of a batch's users and items, which is
            added in training. Defaults to 0.
        hard_negatives: int. Further negatives of each example, drawn from what `set_hard_items` holds for its user.
            Defaults to 0.

    Call arguments:
        inputs: dict with `user_index` `[batch]` and `history` `[batch, length]`; where they are known, `gaps`
            `[batch, length]`, `since` and `moment` `[batch]`, and `context` (see `ContextFeatures.encode`); and, for
            training, `item_index` and, where examples differ in it, `weight` `[batch]`; all int32 but the weight and
            the context's numbers. With `since`, `moment`, `item_index` and `weight` `[batch, length]`, every position
            is an example; see `retrieval_dataset`.

    Returns:
        `[batch, dim + 2]` query embeddings.

    Reference: Yi et al., Sampling-bias-corrected neural modeling for large corpus item recommendations (RecSys 2019).
    """

    def __init__(
        self,
        items: ItemEmbedding,
        query_tower: QueryTower,
        candidate_tower: CandidateTower,
        task: RetrievalTask | None = None,
        negatives: dict | None = None,
        periods: int = 1,
        half_lives: int = 0,
        user_dropout: float = 0.0,
        alignment: PairwiseAlignment | None = None,
        adversarial: dict[str, float] | None = None,
        memories: dict[str, NeighbourMemory] | None = None,
        propagation: IdPropagation | None = None,
        embedding_l2: float = 0.0,
        hard_negatives: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.items = items
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.task = RetrievalTask() if task is None else task
        self.negatives_options = {"name": "in_batch", **(negatives or {})}
        self.periods = periods
        self.half_lives = half_lives
        self.user_dropout = user_dropout
        self.alignment = alignment
        self.adversarial = None if adversarial is None else dict(adversarial)
        self.memories = dict(memories or {})
        self.propagation = propagation
        self.embedding_l2 = embedding_l2
        self.hard_negatives = hard_negatives
        size = items.lookup.size
        self.negatives = build_negatives(size=size, **self.negatives_options)
        self.sampling_probabilities = self.add_weight(
            name="sampling_probabilities",
            shape=[size],
            initializer=tf_keras.initializers.Constant(1.0 / size),
            trainable=False,
        )
        self.popularity = tf_keras.layers.Embedding(
            items.lookup.id_vocabulary_size,
            1,
            embeddings_initializer="zeros",
            name="popularity",
            trainable=not half_lives,
        )
        users = query_tower.lookup.size if hard_negatives else 0
        self.hard_items = self.add_weight(
            name="hard_items", shape=[users, MOST_HARD_ITEMS], dtype="int32", initializer="zeros", trainable=False
        )
        self.trends = self.add_weight(
            name="trends", shape=[size, periods, half_lives], initializer="zeros", trainable=False, dtype="float32"
        )
        self.trend_blend = self.add_weight(
            name="trend_blend", shape=[half_lives], initializer="zeros", trainable=half_lives > 0, dtype="float32"
        )
        # With trends, which an item that nobody has touched has none of, this is all that it has in their place.
        self.newness = self.add_weight(
            name="newness", shape=[], initializer="zeros", trainable=half_lives > 0, dtype="float32"
        )
        self.gain = tf_keras.layers.Dense(1, kernel_initializer="zeros", dtype="float32", name="gain")
        self.newcomer_gain = self.add_weight(
            name="newcomer_gain", shape=[], initializer="ones", trainable=False, experimental_autocast=False
        )

    @property
    def temperature(self) -> tf.Tensor:
        """What scores are divided by in the loss."""
        return self.task.temperature.value

    @property
    def dim(self) -> int:
        """Width of the shared space, without the numbers behind it."""
        return self.items.dim

    def call(self, inputs, training=False):
        optional = {name: inputs.get(name) for name in ("gaps", "since", "context")}
        return self.embed_query(inputs["user_index"], inputs["history"], training=training, **optional)

    def embed_query(self, user_index, history, training=False, gaps=None, since=None, context=None):
        """`[batch, dim + 2]` embeddings of users who ask now, given their recent item indices.

        Args:
            user_index: `[batch]` int tensor.
            history: `[batch, length]` int tensor.
            training: bool.
            gaps, since: as `Sequences.asked_at` gives them; None where they are not known.
            context: as `ContextFeatures.encode` gives it; None where it is not known.
        """
        inputs = {"user_index": user_index, "history": history}
        optional = {"gaps": gaps, "since": since, "context": context}
        inputs |= {name: value for name, value in optional.items() if value is not None}
        queries = self._queries(inputs, self.item_rows(history.shape.num_elements(), training), training)
        gain = queries.gain * tf.where(self.is_newcomer(history), self.newcomer_gain, 1.0)
        return tf.concat([queries.place, tf.ones_like(gain)[:, None], gain[:, None]], axis=1)

    def is_newcomer(self, history: tf.Tensor) -> tf.Tensor:
        """`[batch]` bool: whose history is empty; nobody's where the model reads none."""
        return tf.reduce_all(history == 0, axis=1) if history.shape[1] else tf.zeros(tf.shape(history)[:1], tf.bool)

    def embed_candidate(self, item_index, training=False, vectors=None, without_ids=False, without=()):
        """`[batch, dim + 2]` embeddings of items as they stand now.

        Args:
            item_index: `[batch]` int tensor.
            training: bool.
            vectors: dict of modality -> `[batch, width]` in place of the stored ones; see `ItemEmbedding`.
            without_ids: bool. As if the items' ids were new: without what only their interactions tell.
            without: modalities that are left out; see `ItemEmbedding`.
        """
        options = {"vectors": vectors, "without_ids": without_ids, "without": without}
        item = self.items(item_index, training=training, added=self.added(training)[1], **options)
        candidates = self.candidates(item_index, item, training, without_ids)
        return tf.concat([candidates.place, candidates.popularity[:, None], candidates.trend[:, -1:]], axis=1)

    def item_rows(self, needed: int | None, training: bool):
        """A function from item indices to their embeddings; see `ItemEmbedding.rows`."""
        return self.items.rows(needed, training, self.added(training)[1])

    def added(self, training: bool):
        """What propagation adds to the users' and to the items' id embeddings; None and None without it."""
        return (None, None) if self.propagation is None else self.propagation(self._id_tables(), training=training)

    def trends_of(self, item_index):
        """`[items, periods]` what being popular of late adds to the score of items."""
        if not self.half_lives:
            return tf.zeros([item_index.shape[0] or tf.shape(item_index)[0], self.periods])
        return tf.linalg.matvec(tf.gather(self.trends, item_index), self.trend_blend)

    def compute_loss(self, inputs, training=False):
        item_index = tf.reshape(inputs["item_index"], [-1])
        is_content_trained = training and self.items.lookup.has_modalities
        # Before the items are embedded: a layer that Keras calls anew forgets what it has added to the loss.
        apart = misalignment(self, item_index) if is_content_trained and self.alignment is not None else 0.0
        ids, expected = self.negatives(item_index, training=training)
        looked_up = sum(x.shape.num_elements() or 0 for x in (inputs["history"], item_index, ids))
        rows = self.item_rows(looked_up, training)
        queries = self._queries(inputs, rows, training, self.user_dropout if training else 0.0)
        own = self.candidates(item_index, rows(item_index), training)
        # Of negatives that are the batch's positives, ids are the same tensor, and so need not be embedded again.
        pool = own if ids is item_index else self.candidates(ids, rows(ids), training)
        weight = tf.reshape(inputs.get("weight", tf.ones_like(item_index, tf.float32)), [-1])
        counted = counted_negatives(inputs, ids, self.negatives, self.items.lookup.size)
        hard = self._hard_negatives(inputs, item_index, training) if self.hard_negatives else {}
        loss = self.task(queries, own, pool, counted, expected, sample_weight=weight, items=(item_index, ids), **hard)
        if training and self.embedding_l2:
            loss += self.embedding_l2 * squared_lengths(self, inputs["user_index"], item_index)
        if is_content_trained and self.adversarial is not None:
            loss += self.adversarial["weight"] * loss_of_pushed(self, queries, item_index, weight)
        return loss + apart

    def get_config(self):
        serialize = tf_keras.saving.serialize_keras_object
        return {
            "items": serialize(self.items),
            "query_tower": serialize(self.query_tower),
            "candidate_tower": serialize(self.candidate_tower),
            "task": serialize(self.task),
            "negatives": dict(self.negatives_options),
            "periods": self.periods,
            "half_lives": self.half_lives,
            "user_dropout": self.user_dropout,
            "alignment": None if self.alignment is None else serialize(self.alignment),
            "adversarial": self.adversarial,
            "embedding_l2": self.embedding_l2,
            "hard_negatives": self.hard_negatives,
            "memories": {name: serialize(memory) for name, memory in self.memories.items()},
            "propagation": None if self.propagation is None else serialize(self.propagation),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = ("items", "query_tower", "candidate_tower", "task", "alignment", "propagation")
        deserialize = tf_keras.saving.deserialize_keras_object
        given = {name: deserialize(config[name]) for name in parts if config.get(name) is not None}
        memories = {name: deserialize(memory) for name, memory in config["memories"].items()}
        return cls(**{**config, **given, "memories": memories})

    def create_weights(self, history_length: int) -> None:
        """Makes every weight, so that they can be counted, saved or loaded before the first batch."""
        index = tf.zeros([1], tf.int32)
        self({"user_index": index, "history": tf.zeros([1, history_length], tf.int32)})
        self.embed_candidate(index)
        self.negatives(index)
        if self.alignment is not None and self.items.lookup.has_modalities:
            misalignment(self, index)

    def build_from_config(self, config):
        # Keras' own way calls the model with floats, and leaves out the candidates' side.
        self.create_weights(config["input_shape"]["history"][-1])

    def _queries(self, inputs, rows, training, user_dropout=0.0):
        features = {name: inputs[name] for name in _KNOWN_OF_USER if name in inputs}
        features["history_items"] = rows(inputs["history"])
        if self.propagation is not None:
            features["added"] = self.added(training)[0]
        if user_dropout > 0.0:
            features["known"] = tf.random.uniform(tf.shape(inputs["item_index"])) >= user_dropout
        place = self.query_tower(features, training=training)
        moment = inputs.get("moment", tf.fill(tf.shape(place)[:1], self.periods - 1))
        return Queries(place, 1.0 + self.gain(place)[:, 0], tf.reshape(moment, [-1]))

    def _id_tables(self):
        return tuple(side.ids(side.lookup.id_index) for side in (self.query_tower, self.items))

    def _hard_negatives(self, inputs, item_index, training):
        users = inputs["user_index"]
        if inputs["item_index"].shape.rank == 2:
            users = tf.reshape(tf.broadcast_to(users[:, None], tf.shape(inputs["item_index"])), [-1])
        ids = hard_negatives(self.hard_items, users, self.hard_negatives)
        flat = tf.reshape(ids, [-1])
        candidates = self.candidates(flat, self.item_rows(flat.shape[0], training)(flat), training)
        return {"extra": candidates, "extra_counted": (ids > 0) & (ids != item_index[:, None])}

    def candidates(self, item_index, item, training=False, without_ids=False) -> Candidates:
        """Items as they are scored at any time.

        Args:
            item_index: `[batch]` int tensor.
            item: `[batch, dim]`, their `ItemEmbedding`.
            training: bool.
            without_ids: bool. As if their ids were new.
        """
        place = self.candidate_tower({"item": item}, training=training)
        own_id = tf.gather(self.items.lookup.id_index, item_index)
        rate = 1.0 if without_ids else self.items.id_dropout
        id_index = hide_ids(own_id, rate, training or without_ids)
        popularity = tf.cast(self.popularity(id_index), tf.float32)[:, 0]
        trend = self.trends_of(item_index)
        is_new = id_index == 0
        if not without_ids:
            # What is known although it has no id needs nothing in place of a popularity: what training has met and
            # nobody liked, and what has come to have a trend since.
            is_known = tf.gather(self.items.lookup.is_met, item_index)
            if self.half_lives and not training:
                is_known |= tf.reduce_any(tf.gather(self.trends[:, -1], item_index) > 0.0, axis=1)
            is_known &= own_id == 0
            popularity = tf.where(is_known, 0.0, popularity)
            is_new &= ~is_known
        if training or without_ids:
            # Whose id is hidden stands for an item that nobody has touched yet.
            trend = tf.where(is_new[:, None], 0.0, trend)
        return Candidates(place, popularity + tf.where(is_new, self.newness, 0.0), trend)
