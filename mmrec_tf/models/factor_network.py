"""Factors of users and items as a Keras model, trained by plain `fit` on drawn negatives or on ratings."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from mmrec_tf._keras import weight_name
from mmrec_tf.errors import ConfigError
from mmrec_tf.models.feature_lookup import FeatureLookup

_OBJECTIVES = ("bpr", "logistic", "squared")


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class FactorNetwork(tfrs.Model):
    """A bias and factors for each user and item, and where items have content, a place that is made of it.

        r(u, i) = offset + b_u + b_i + p_u . q_i + t_u . c_i + a_i
        c_i = sum over the modalities m that item i has of E_m f_im,    a_i = sum over them of e_m . f_im

    Objectives, each a mean over the batch, j being a drawn negative that counts with weight w (0 or 1):

        bpr       -w log sigmoid(r(u, i) - r(u, j))
        logistic  -log sigmoid(r(u, i)) - sum_j w log sigmoid(-r(u, j))
        squared   (label - r(u, i))^2

    plus `regularization` times the squares of the rows that the batch touched, so that a step's cost does not depend
    on the size of the catalogue. A row that comes up n times in an epoch is counted n times, unless `user_share` and
    `item_share` say 1 / n, which counts each row once. The gradients of the embeddings are sparse; with an optimizer
    that updates sparsely (Adagrad, SGD) so are the updates.

    Args:
        users, items: int. Numbers of user rows and item rows.
        factors: int. Length of p and q.
        objective: str. One of `bpr`, `logistic`, `squared`.
        regularization: float. Weight of the squares. Defaults to 0.
        offset: float. Added to every score: the mean rating. Defaults to 0.
        lookup: `FeatureLookup` of the items with vectors and masks; None for ids alone. Defaults to None.
        content_factors: int. Length of t and c. Defaults to 0.
        seed: int. Seeds the initial factors. Defaults to 0.

    Call arguments:
        inputs: dict of `user` `[batch]` and `item` `[batch]` or `[batch, n]`, int rows. Training takes `label`
            `[batch]` for `squared`, and `negatives` and `weight` `[batch, n]` for the others; `user_share` and
            `item_share` `[batch]` are optional.

    Returns:
        `[batch]` or `[batch, n]` float32 scores.

    Raises:
        ConfigError: for another objective.

    Reference: Koren et al. (2009) for the biases and factors, He and McAuley (AAAI 2016) for the content.
    """

    def __init__(
        self,
        users: int,
        items: int,
        factors: int,
        objective: str,
        regularization: float = 0.0,
        offset: float = 0.0,
        lookup: FeatureLookup | None = None,
        content_factors: int = 0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if objective not in _OBJECTIVES:
            raise ConfigError(f"objective {objective!r} is unknown; allowed: {', '.join(_OBJECTIVES)}.")
        self.users = users
        self.items = items
        self.factors = factors
        self.objective = objective
        self.regularization = regularization
        self.offset = offset
        self.lookup = lookup
        self.content_factors = content_factors
        self.seed = seed
        self.user_embedding = self._embedding("user_factors", users, factors + (content_factors if lookup else 0), 1)
        self.item_embedding = self._embedding("item_factors", items, factors, 2)
        self.item_bias = self._embedding("item_bias", items, 1, None)
        # A difference of two items of one user does not depend on the user's bias.
        self.user_bias = None if objective == "bpr" else self._embedding("user_bias", users, 1, None)
        self.content = {}
        for place, (name, shape) in enumerate(sorted((lookup.shapes.get("vectors", {}) if lookup else {}).items())):
            initializer = tf_keras.initializers.GlorotUniform(seed=seed + 10 + place)
            layer = tf_keras.layers.Dense(
                content_factors + 1, use_bias=False, kernel_initializer=initializer, name=weight_name(name)
            )
            layer.build([None, shape[-1]])
            self.content[name] = layer

    def call(self, inputs, training=False):
        return self._scores(*self._rows(inputs["user"], inputs["item"]))

    def compute_loss(self, inputs, training=False):
        user, item, item_bias = self._rows(inputs["user"], inputs["item"])
        scores = self._scores(user, item, item_bias)
        rows = [user["factors"], user["bias"], item, item_bias]
        if self.objective == "squared":
            loss = tf.reduce_mean(tf.square(inputs["label"] - scores))
        else:
            _, others, others_bias = self._rows(None, inputs["negatives"])
            negative, weight = self._scores(user, others, others_bias), inputs["weight"]
            rows += [others, others_bias]
            if self.objective == "bpr":
                loss = tf.reduce_sum(weight * tf.nn.softplus(negative - scores[:, None]))
                loss /= tf.maximum(tf.reduce_sum(weight), 1.0)
            else:
                loss = tf.nn.softplus(-scores) + tf.reduce_sum(weight * tf.nn.softplus(negative), axis=1)
                loss = tf.reduce_mean(loss)
        if self.regularization:
            shares = [inputs.get("user_share")] * 2 + [inputs.get("item_share")] * 2 + [None] * 2
            size = tf.cast(tf.shape(scores)[0], tf.float32)
            loss += self.regularization / size * tf.add_n([_squares(row, share) for row, share in zip(rows, shares)])
        return loss

    def all_factors(self, batch_size: int = 8192) -> tuple[np.ndarray, np.ndarray]:
        """Users `[users, width]` and items `[items, width]` float32 whose dot product is the score.

        The columns are the factors, the content's factors, 1 and the user's bias with the offset; for items the
        factors, the content's place, the bias with what the content adds to it, and 1.
        """
        index = np.arange(self.items, dtype=np.int32)
        parts = [self._content_of(index[start : start + batch_size]) for start in range(0, self.items, batch_size)]
        content = np.concatenate([part.numpy() for part in parts])
        users, items = self.user_embedding.embeddings.numpy(), self.item_embedding.embeddings.numpy()
        bias = np.zeros((self.users, 1), np.float32) if self.user_bias is None else self.user_bias.embeddings.numpy()
        item_bias = self.item_bias.embeddings.numpy() + content[:, -1:]
        return (
            np.concatenate([users, np.ones_like(bias), bias + np.float32(self.offset)], axis=1),
            np.concatenate([items, content[:, :-1], item_bias, np.ones_like(item_bias)], axis=1),
        )

    def get_config(self):
        names = ("users", "items", "factors", "objective", "regularization", "offset", "content_factors", "seed")
        lookup = None if self.lookup is None else tf_keras.saving.serialize_keras_object(self.lookup)
        return {**{name: getattr(self, name) for name in names}, "lookup": lookup}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        lookup = config["lookup"] and tf_keras.saving.deserialize_keras_object(config["lookup"])
        return cls(**{**config, "lookup": lookup})

    def _embedding(self, name, size, width, seed):
        normal = None if seed is None else tf_keras.initializers.RandomNormal(stddev=0.05, seed=self.seed + seed)
        layer = tf_keras.layers.Embedding(size, width, embeddings_initializer=normal or "zeros", name=name)
        layer.build([None])
        return layer

    def _rows(self, user, item):
        known = None
        if user is not None:
            bias = tf.zeros([tf.shape(user)[0], 1]) if self.user_bias is None else self.user_bias(user)
            known = {"factors": self.user_embedding(user), "bias": bias}
        content = self._content_of(item)
        place = tf.concat([self.item_embedding(item), content[..., :-1]], axis=-1)
        return known, place, self.item_bias(item) + content[..., -1:]

    def _content_of(self, item):
        """`[..., content_factors + 1]`: the place that an item's content makes, and what it adds to the bias."""
        item = tf.convert_to_tensor(item)
        if not self.content:
            return tf.zeros(tf.concat([tf.shape(item), [1]], axis=0))
        # Index 0 of the table is the item that is not known.
        vectors, masks = (
            {name: tf.gather(table, item + 1) for name, table in self.lookup.tables[group].items()}
            for group in ("vectors", "masks")
        )
        parts = [
            layer(vectors[name]) * tf.cast(masks[name], tf.float32)[..., None] for name, layer in self.content.items()
        ]
        return tf.add_n(parts)

    def _scores(self, user, item, item_bias):
        factors, bias = user["factors"], user["bias"]
        if item.shape.rank == 3:
            factors, bias = factors[:, None], bias[:, None]
        products = tf.reduce_sum(factors * item, axis=-1, keepdims=True)
        return (products + item_bias + bias)[..., 0] + self.offset


def _squares(rows, share):
    squares = tf.square(rows)
    return tf.reduce_sum(squares if share is None else squares * share[:, None])
