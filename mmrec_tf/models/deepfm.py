"""The ranking model: DeepFM over ids, categories, numbers, history and modality vectors."""

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from mmrec_tf.losses.float32_tasks import float32_tasks
from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.item_embedding import hide_ids
from mmrec_tf.models.loss_scaled_model import LossScaledModel
from mmrec_tf.models.side_features import SideFeatures


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class DeepFM(LossScaledModel):
    """Decides in which order the retrieved items are shown.

    Every feature of the user, of the item and of the user's history is a field with one embedding v_f and one weight
    w_f. The linear part sums the weights, the factorisation machine lets each pair of fields meet in a dot product,
    and a deep network sees all embeddings at once:

        y = b + sum_f w_f + sum_{f < g} v_f . v_g + MLP([v_1; ...; v_F])

    The history is a field too (the mean of its items' embeddings), and so is its mean vector of each modality: the
    factorisation machine then holds both co-consumption and content similarity between what the user liked and the
    item at hand.

    When the inputs carry the retrieval stage's similarities, `similarity_weight` times these are added to the scores.
    The weight is no part of the training: on its own training interactions retrieval looks better than it is, so the
    weight is set afterwards, by what ranks held-out interactions best.

    Args:
        users: `FeatureLookup` of the users.
        items: `FeatureLookup` of the items.
        dim: int. Width of every field's embedding.
        hidden: list of int. Widths of the deep part.
        dropout: float in [0, 1). In the deep part.
        target: `click` (log loss; `call` returns logits) or `rating` (squared error).
        id_dropout: float in [0, 1). Chance of hiding an id while training, so that new ids are served sensibly.

    Call arguments:
        inputs: dict with `user_index` `[batch]`, `history` `[batch, length]` and `item_index`, `[batch]` or, for
            several items per user, `[batch, group]`; all int32. For training also `label` and `weight`, float32, in the
            shape of `item_index`. `similarity` of the same shape is optional.
        training: bool.
        without: modalities of the items that are left out, as if no item had them; the histories keep theirs.
        without_ids: bool. Score all items as if their ids were new. Defaults to False.
        vectors: dict of modality -> `[items of the batch, width]`, centred and scaled as in the items' `FeatureTable`.
            They stand in for the items' stored ones, where these are there.

    Returns:
        float32 scores in the shape of `item_index`.

    Reference: Guo et al., DeepFM: a factorization-machine based neural network for CTR prediction (IJCAI 2017).
    """

    def __init__(
        self,
        users: FeatureLookup,
        items: FeatureLookup,
        dim,
        hidden,
        dropout=0.0,
        target="click",
        id_dropout=0.0,
        **kwargs,
    ):
        # The similarities keep all their digits under a mixed policy; the layers cast what they take themselves.
        super().__init__(autocast=False, **kwargs)
        self.users = users
        self.items = items
        self.dim = dim
        self.hidden = list(hidden)
        self.dropout = dropout
        self.target = target
        self.id_dropout = id_dropout
        # One column more than the embedding: the field's weight in the linear part.
        self.user_ids = _embedding(users.id_vocabulary_size, dim + 1)
        self.item_ids = _embedding(items.id_vocabulary_size, dim + 1)
        self.history_ids = _embedding(items.id_vocabulary_size, dim + 1)
        self.user_side = SideFeatures(dim + 1, users.vocabulary_sizes) if users.has_side_features else None
        self.item_side = SideFeatures(dim + 1, items.vocabulary_sizes) if items.has_side_features else None
        self.item_projections = {name: _projection(dim + 1) for name in sorted(items.tables["vectors"])}
        self.history_projections = {name: _projection(dim + 1) for name in sorted(items.tables["vectors"])}
        self.deep = [tf_keras.layers.Dense(width, activation="relu") for width in hidden]
        self.drop = tf_keras.layers.Dropout(dropout)
        self.head = tf_keras.layers.Dense(1, dtype="float32")
        self.similarity_weight = self.add_weight(
            name="similarity_weight", shape=[], initializer="zeros", trainable=False, experimental_autocast=False
        )
        loss = (
            tf_keras.losses.BinaryCrossentropy(from_logits=True)
            if target == "click"
            else tf_keras.losses.MeanSquaredError()
        )
        with float32_tasks():
            self.task = tfrs.tasks.Ranking(loss=loss)

    def call(self, inputs, training=False, without=(), without_ids=False, vectors=None):
        item_index = inputs["item_index"]
        group = item_index if item_index.shape.rank == 2 else item_index[:, None]
        size = tf.shape(group)
        # The user's side is the same for a whole group of items, so it is worked out once and repeated.
        user = tf.repeat(self._user_fields(inputs, training), size[1], axis=0)
        item = self._item_fields(tf.reshape(group, [-1]), training, without, without_ids, vectors)
        scores = self._score(tf.concat([item, user], axis=1), training)
        scores = tf.reshape(scores, tf.shape(item_index))
        if "similarity" in inputs:
            scores += self.similarity_weight * inputs["similarity"]
        return scores

    def compute_loss(self, inputs, training=False):
        predictions = self(inputs, training=training)
        with float32_tasks():
            return self.task(
                labels=tf.reshape(inputs["label"], [-1, 1]),
                predictions=tf.reshape(predictions, [-1, 1]),
                sample_weight=tf.reshape(inputs["weight"], [-1]),
            )

    def get_config(self):
        serialize = tf_keras.saving.serialize_keras_object
        return {
            "users": serialize(self.users),
            "items": serialize(self.items),
            "dim": self.dim,
            "hidden": list(self.hidden),
            "dropout": self.dropout,
            "target": self.target,
            "id_dropout": self.id_dropout,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        lookups = {name: tf_keras.saving.deserialize_keras_object(config[name]) for name in ("users", "items")}
        return cls(**{**config, **lookups})

    def create_weights(self, history_length: int) -> None:
        """Makes every weight, so that they can be counted, saved or loaded before the first batch."""
        index = tf.zeros([1], tf.int32)
        self({"user_index": index, "item_index": index, "history": tf.zeros([1, history_length], tf.int32)})

    def build_from_config(self, config):
        # Keras' own way calls the model with floats.
        self.create_weights(config["input_shape"]["history"][-1])

    def _score(self, fields, training):
        weights, vectors = fields[..., 0], fields[..., 1:]
        linear = tf.reduce_sum(weights, axis=1)
        # sum over pairs of v_f . v_g is half of (sum v)^2 - sum v^2: linear in the number of fields.
        total = tf.square(tf.reduce_sum(vectors, axis=1)) - tf.reduce_sum(tf.square(vectors), axis=1)
        pairs = 0.5 * tf.reduce_sum(total, axis=1)
        hidden = tf.reshape(vectors, [-1, vectors.shape[1] * vectors.shape[2]])
        for layer in self.deep:
            hidden = self.drop(layer(hidden), training=training)
        return tf.cast(linear + pairs, tf.float32) + self.head(hidden)[:, 0]

    def _item_fields(self, item_index, training, without=(), without_ids=False, vectors=None):
        item = self.items(item_index)
        id_index = item["id_index"]
        id_index = tf.zeros_like(id_index) if without_ids else hide_ids(id_index, self.id_dropout, training)
        fields = [self.item_ids(id_index)[:, None]]
        if self.item_side is not None:
            fields.append(self.item_side(_side(item)))
        vectors = {**item["vectors"], **(vectors or {})}
        for name, project in sorted(self.item_projections.items()):
            mask = tf.zeros_like(item["masks"][name]) if name in without else item["masks"][name]
            fields.append(project(_masked(vectors[name], mask))[:, None])
        return tf.concat(fields, axis=1)

    def _user_fields(self, inputs, training):
        user = self.users(inputs["user_index"])
        fields = [self.user_ids(hide_ids(user["id_index"], self.id_dropout, training))[:, None]]
        if self.user_side is not None:
            fields.append(self.user_side(_side(user)))
        history = inputs["history"]
        if history.shape[1]:
            present = tf.cast(history > 0, tf.float32)[..., None]
            ids = self.history_ids(tf.gather(self.items.id_index, history))
            fields.append(_mean(ids, present)[:, None])
            for name, project in sorted(self.history_projections.items()):
                vectors = tf.gather(self.items.tables["vectors"][name], history)
                mask = present * tf.cast(tf.gather(self.items.tables["masks"][name], history), tf.float32)[..., None]
                fields.append(project(tf.concat([_mean(vectors, mask), tf.reduce_max(mask, axis=1)], axis=1))[:, None])
        return tf.concat(fields, axis=1)


def _embedding(size, dim):
    return tf_keras.layers.Embedding(size, dim, embeddings_initializer=tf_keras.initializers.RandomNormal(stddev=0.01))


def _projection(dim):
    return tf_keras.layers.Dense(dim)


def _side(features):
    return {key: features[key] for key in ("categorical", "multi_categorical", "numbers")}


def _masked(vectors, mask):
    """Vectors with their mask beside them, zeros where absent: the mask's own weights are the stand-in."""
    mask = tf.cast(mask, tf.float32)[:, None]
    return tf.concat([vectors * mask, mask], axis=1)


def _mean(values, present):
    return tf.reduce_sum(values * tf.cast(present, values.dtype), axis=1) / tf.cast(
        tf.maximum(tf.reduce_sum(present, axis=1), 1.0), values.dtype
    )
