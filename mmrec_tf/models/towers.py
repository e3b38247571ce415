"""The two towers: users and items into one space where nearness means relevance."""

import tensorflow as tf
import tf_keras

from mmrec_tf.data.time_gaps import GAP_BUCKETS
from mmrec_tf.models.byte_dropout import ByteDropout
from mmrec_tf.models.context_fields import ContextFields, masked
from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.history.base import HistoryEncoder
from mmrec_tf.models.item_embedding import hide_ids
from mmrec_tf.models.multi_gate_experts import MultiGateExperts
from mmrec_tf.models.side_features import SideFeatures

RETRIEVAL = "retrieval"
"""The task that the towers' places are for."""


class _Tower(tf_keras.layers.Layer):
    """Hidden layers, a linear layer in float32, and L2 normalisation.

    With experts, the first hidden layer is their mixture as gated for retrieval, which is how other tasks share them.
    """

    def __init__(self, dim, hidden, dropout=0.0, experts=0, tasks=(RETRIEVAL,), **kwargs):
        super().__init__(**kwargs)
        if experts and not hidden:
            raise ValueError("experts take the place of the first hidden layer; hidden must name its width.")
        self.dim = dim
        self.hidden = list(hidden)
        self.dropout = dropout
        self.experts = experts
        self.tasks = list(tasks)
        if experts:
            self.mixture = MultiGateExperts(experts, self.hidden[0], self.tasks)
        plain = self.hidden[1:] if experts else self.hidden
        self.layers = [tf_keras.layers.Dense(width, activation="gelu") for width in plain]
        self.drop = ByteDropout(dropout)
        # Float32 whatever the policy: the softmax that follows is not safe in half precision.
        self.project = tf_keras.layers.Dense(dim, dtype="float32", name="project")

    def transform(self, inputs, shortcut, training, task):
        hidden = inputs
        if self.experts:
            hidden = self.mixture(inputs, tasks=[task])[task]
            if task != RETRIEVAL:
                return hidden
        for layer in self.layers:
            hidden = layer(hidden)
        output = self.project(self.drop(hidden, training=training)) + tf.cast(shortcut, tf.float32)
        return tf.math.l2_normalize(output, axis=-1)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "hidden": list(self.hidden),
            "dropout": self.dropout,
            "experts": self.experts,
            "tasks": list(self.tasks),
        }


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class CandidateTower(_Tower):
    """Places an item, given its `ItemEmbedding`, in the shared space.

    Args:
        dim: int. Width of the shared space; the item embeddings have the same.
        hidden: list of int. Widths of the hidden layers.
        dropout: float in [0, 1). Before the last layer.
        experts: int. Experts in place of the first hidden layer; 0 (the default) for a plain one.
        tasks: list of str. The tasks that share the experts, `retrieval` among them.

    Call arguments:
        features: dict with `item` `[batch, dim]`.
        task: str. For whom. Defaults to `retrieval`.

    Returns:
        `[batch, dim]` float32 tensor of unit length; of experts, for other tasks, their `[batch, hidden[0]]` mixture.
    """

    def call(self, features, training=False, task=RETRIEVAL):
        return self.transform(features["item"], features["item"], training, task)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class QueryTower(_Tower):
    """Places a user, given id, profile and recent history, in the shared space.

    The history's encoder makes one vector of the items' embeddings. It is added to the output, so that a user nobody
    has seen in training is placed near what they just looked at. A user of whom nothing is known is placed at zero,
    equally near to all items. In between, the length of a place says how far it can be trusted, as against what is
    popular: a history that ended a year ago says less than one of today. It starts at 1 for everybody and stays below
    2.

    Args:
        lookup: `FeatureLookup` of the users.
        history: `HistoryEncoder` of width `dim`.
        dim: int. Width of the shared space.
        hidden: list of int. Widths of the hidden layers.
        dropout: float in [0, 1). Before the last layer.
        id_dropout: float in [0, 1). Chance of hiding the user's id while training.
        context: dict as `ContextFeatures.spec` gives it, of what is known of a request; None, the default, for nothing.
        experts, tasks: as for `CandidateTower`.

    Call arguments:
        features: dict with `user_index` `[batch]` int, `history` `[batch, length]` int (0 is padding, in front),
            `history_items` `[batch, length, dim]`, the embeddings of the history's items; and, where they are known,
            `gaps` `[batch, length]` and `since` `[batch]` int (see `Sequences.asked_at`), and `known` `[batch]` bool,
            False where all that is known of a user is to be hidden. With `since` and `known` `[batch, length]`, every
            position asks, with what the history holds up to there. `context`, where it is known, is a dict as
            `ContextFeatures.encode` gives it, with one row for each that asks. `added` `[users, dim]`, where it is
            there, is added to the users' id embeddings, and hidden with them.
        task: as for `CandidateTower`.

    Returns:
        As `CandidateTower` but of a length below 2, `[batch, dim]` or, of every position, `[batch * length, dim]`.
    """

    def __init__(
        self,
        lookup: FeatureLookup,
        history: HistoryEncoder,
        dim,
        hidden,
        dropout=0.0,
        id_dropout=0.0,
        context=None,
        **kwargs,
    ):
        super().__init__(dim=dim, hidden=hidden, dropout=dropout, **kwargs)
        self.lookup = lookup
        self.history = history
        self.id_dropout = id_dropout
        self.context = context
        self.ids = tf_keras.layers.Embedding(
            lookup.id_vocabulary_size, dim, embeddings_initializer=tf_keras.initializers.RandomNormal(stddev=0.05)
        )
        self.confidence = tf_keras.layers.Dense(1, kernel_initializer="zeros", dtype="float32", name="confidence")
        self.since = tf_keras.layers.Embedding(
            GAP_BUCKETS, 8, embeddings_initializer=tf_keras.initializers.RandomNormal(stddev=0.05)
        )
        if lookup.has_side_features:
            self.side = SideFeatures(dim=16, vocabulary_sizes=lookup.vocabulary_sizes)
        if context:
            # Hidden as often as ids are, because whoever asks a server may leave the context out.
            self.context_fields = ContextFields(dim=16, spec=context, hide=id_dropout)

    def call(self, features, training=False, task=RETRIEVAL):
        history, user_index = features["history"], features["user_index"]
        gaps = features.get("gaps", tf.zeros_like(history))
        since = features.get("since", tf.zeros_like(user_index))
        all_ask = since.shape.rank == 2
        state = self.history(features["history_items"], history > 0, gaps, training=training, latest_only=not all_ask)
        present = tf.cast(history > 0, state.dtype)
        if all_ask:
            state = tf.reshape(state, [-1, self.dim])
            count = tf.reshape(tf.cumsum(present, axis=1), [-1, 1])
            user_index = tf.reshape(tf.broadcast_to(user_index[:, None], tf.shape(history)), [-1])
        else:
            count = tf.reduce_sum(present, axis=1, keepdims=True)
        since = tf.reshape(since, [-1])
        if "known" in features:
            known = tf.reshape(features["known"], [-1])
            since, user_index = tf.where(known, since, 0), tf.where(known, user_index, 0)
            state, count = (x * tf.cast(known, x.dtype)[:, None] for x in (state, count))
        user = self.lookup(user_index)
        id_index = hide_ids(user["id_index"], self.id_dropout, training)
        ids = self.ids(id_index)
        if "added" in features:
            ids += tf.where(id_index[:, None] > 0, tf.gather(features["added"], user_index), 0.0)
        parts = [ids, state, tf.math.log1p(count)]
        # Hidden as often as ids are, because whoever asks a server may leave the times out.
        parts.append(self.since(hide_ids(since, self.id_dropout, training)))
        if self.lookup.has_side_features:
            fields = self.side({key: user[key] for key in ("categorical", "multi_categorical", "numbers")})
            parts.append(tf.reshape(fields, [-1, fields.shape[1] * fields.shape[2]]))
        if self.context:
            context = features.get("context", self.context_fields.unknown(tf.shape(user_index)[0]))
            if "known" in features:
                context = masked(context, known)
            fields = self.context_fields(context, training=training)
            parts.append(tf.reshape(fields, [-1, fields.shape[1] * fields.shape[2]]))
        known_of_user = tf.concat(parts, axis=1)
        place = self.transform(known_of_user, state, training, task)
        if task != RETRIEVAL and self.experts:
            return place
        place *= 2.0 * tf.sigmoid(self.confidence(known_of_user))
        # Whatever is learned of those of whom nothing is known is a popularity, and an older one than the trends'.
        is_stranger = (id_index == 0) & (count[:, 0] == 0)
        if self.lookup.has_side_features:
            is_stranger &= user_index == 0
        if self.context:
            is_stranger &= ~self.context_fields.is_told(context)
        return place * tf.cast(~is_stranger, place.dtype)[:, None]

    def get_config(self):
        serialize = tf_keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "lookup": serialize(self.lookup),
            "history": serialize(self.history),
            "id_dropout": self.id_dropout,
            "context": self.context,
        }

    @classmethod
    def from_config(cls, config):
        deserialize = tf_keras.saving.deserialize_keras_object
        return cls(**{**config, "lookup": deserialize(config["lookup"]), "history": deserialize(config["history"])})
