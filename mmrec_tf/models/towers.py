"""The two towers: users and items into one space where nearness means relevance."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.feature_lookup import FeatureLookup
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
        self.drop = tf_keras.layers.Dropout(dropout)
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

    The history is a weighted mean of item embeddings; the weights depend on how recent an item is and are learned.
    Its mean is added to the output, so that a user nobody has seen in training is placed near what they just looked
    at, and a user without anything is placed where the average user is.

    Args:
        lookup: `FeatureLookup` of the users.
        dim: int. Width of the shared space.
        hidden: list of int. Widths of the hidden layers.
        dropout: float in [0, 1). Before the last layer.
        id_dropout: float in [0, 1). Chance of hiding the user's id while training.
        experts, tasks: as for `CandidateTower`.

    Call arguments:
        features: dict with `user_index` `[batch]` int, `history` `[batch, length]` int (0 is padding, in front) and
            `history_items` `[batch, length, dim]`, the embeddings of the history's items.
        task: as for `CandidateTower`.

    Returns:
        As `CandidateTower`.
    """

    def __init__(self, lookup: FeatureLookup, dim, hidden, dropout=0.0, id_dropout=0.0, **kwargs):
        super().__init__(dim=dim, hidden=hidden, dropout=dropout, **kwargs)
        self.lookup = lookup
        self.id_dropout = id_dropout
        self.ids = tf_keras.layers.Embedding(
            lookup.id_vocabulary_size, dim, embeddings_initializer=tf_keras.initializers.RandomNormal(stddev=0.05)
        )
        if lookup.has_side_features:
            self.side = SideFeatures(dim=16, vocabulary_sizes=lookup.vocabulary_sizes)

    def build(self, input_shape):
        # Newer positions start with more weight: the last position has logit 0, the oldest a negative one.
        length = input_shape["history"][1]
        self.recency = self.add_weight(
            name="recency",
            shape=[length],
            initializer=lambda shape, dtype: tf.cast(tf.linspace(-2.0, 0.0, shape[0]) if shape[0] else [], dtype),
        )
        super().build(input_shape)

    def call(self, features, training=False, task=RETRIEVAL):
        user = self.lookup(features["user_index"])
        mean, count = self.pool(features["history_items"], features["history"])
        parts = [self.ids(hide_ids(user["id_index"], self.id_dropout, training)), mean, tf.math.log1p(count)]
        if self.lookup.has_side_features:
            fields = self.side({key: user[key] for key in ("categorical", "multi_categorical", "numbers")})
            parts.append(tf.reshape(fields, [-1, fields.shape[1] * fields.shape[2]]))
        return self.transform(tf.concat(parts, axis=1), mean, training, task)

    def pool(self, items, history):
        """Weighted mean `[batch, dim]` and number `[batch, 1]` of the history's items."""
        present = tf.cast(history > 0, items.dtype)
        weights = tf.exp(self.recency - tf.reduce_max(self.recency)) if history.shape[1] else self.recency
        weights = weights * present
        total = tf.reduce_sum(weights, axis=1, keepdims=True)
        # Not the maximum with something tiny: the gradient divides by its square, which half precision cannot hold.
        weights = weights / tf.where(total > 0.0, total, tf.ones_like(total))
        return tf.einsum("bl,bld->bd", weights, items), tf.reduce_sum(present, axis=1, keepdims=True)

    def get_config(self):
        lookup = tf_keras.saving.serialize_keras_object(self.lookup)
        return {**super().get_config(), "lookup": lookup, "id_dropout": self.id_dropout}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "lookup": tf_keras.saving.deserialize_keras_object(config["lookup"])})
