"""What the retrieval model learns beside retrieval: an item's categories, an interaction's rating or sentiment."""

import tensorflow as tf
import tf_keras

from mmrec_tf.losses.alignment import mean_over
from mmrec_tf.models.item_embedding import hide_ids


class TaskHead(tf_keras.layers.Layer):
    """Reads what the retrieval model makes of an item or of an interaction, and is judged by a loss.

    A subclass implements `call` and `loss`.
    """

    sort = "classification"
    """Of the loss, as `UncertaintyWeighting` takes it."""

    reads_content = False
    """Whether it reads items by their content, or else interactions."""

    def loss(self, inputs: dict, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """The mean loss over what is counted, 0 where nothing is, and how much is counted; float32 scalars."""
        raise NotImplementedError


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class CategoryHead(TaskHead):
    """Tells an item's categories from its content, so that the content learns to say what the shop's people know.

    It reads the fused modalities and nothing else. Read from the item's embedding, which holds the category itself,
    the task would be done without them. The loss is the softmax cross-entropy of the one category, or of several the
    sigmoid cross-entropy, averaged over the categories. Items without content or without a known category are not
    counted.

    Args:
        feature: str. The feature that holds the categories.
        classes: int. Number of known categories, which the feature's table calls 1, 2, ...

    Call arguments:
        inputs: dict with `content` `[batch, width]` float. For the loss also `categories`, a dict in which `feature`
            is `[batch]` int or, where items have several, `[batch, most]`, 0 for none; and `has_content` `[batch]`
            bool.

    Returns:
        `[batch, classes]` float32 logits.
    """

    reads_content = True

    def __init__(self, feature: str, classes: int, **kwargs):
        super().__init__(**kwargs)
        self.feature = feature
        self.classes = classes
        self.score = tf_keras.layers.Dense(classes, dtype="float32", name="score")

    def call(self, inputs):
        return self.score(inputs["content"])

    def loss(self, inputs, training=False):
        logits, category = self({"content": inputs["content"]}), inputs["categories"][self.feature]
        if len(category.shape) == 2:
            values, is_known = _sigmoid_cross_entropy(logits, category), tf.reduce_any(category > 0, axis=1)
        else:
            is_known = category > 0
            values = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(category - 1, 0), logits)
        counted = tf.logical_and(is_known, inputs["has_content"])
        return mean_over(values, counted), tf.reduce_sum(tf.cast(counted, tf.float32))

    def get_config(self):
        return {**super().get_config(), "feature": self.feature, "classes": self.classes}


class _PairHead(TaskHead):
    """One number for a user and an item: what either is like with everybody, and how they go together.

        y = b + b_u + b_i + MLP([q; c; q * c])

    Whether a user rates high and an item is rated high is most of a rating, and is kept out of the towers, whose
    places are to say what goes with what. In training the ids are hidden at random, for those that are new.
    """

    def __init__(self, user_ids: int, item_ids: int, hidden: int = 64, id_dropout: float = 0.0, **kwargs):
        # Labels keep all their digits under a mixed policy; the layers cast what they take themselves.
        super().__init__(autocast=False, **kwargs)
        self.user_ids = user_ids
        self.item_ids = item_ids
        self.hidden = hidden
        self.id_dropout = id_dropout
        self.user_bias = tf_keras.layers.Embedding(user_ids, 1, embeddings_initializer="zeros", dtype="float32")
        self.item_bias = tf_keras.layers.Embedding(item_ids, 1, embeddings_initializer="zeros", dtype="float32")
        self.deep = tf_keras.layers.Dense(hidden, activation="gelu")
        self.score = tf_keras.layers.Dense(1, dtype="float32", name="score")

    def call(self, inputs, training=False):
        query, candidate = inputs["query"], inputs["candidate"]
        together = self.score(self.deep(tf.concat([query, candidate, query * candidate], axis=1)))
        user = self.user_bias(hide_ids(inputs["user_id"], self.id_dropout, training))
        item = self.item_bias(hide_ids(inputs["item_id"], self.id_dropout, training))
        return (user + item + together)[:, 0]

    def loss(self, inputs, training=False):
        values = self.judge(self(inputs, training=training), tf.cast(inputs["label"], tf.float32))
        return tf.reduce_mean(values), tf.cast(tf.size(values), tf.float32)

    def judge(self, outputs, labels):
        """`[batch]` losses."""
        raise NotImplementedError

    def get_config(self):
        return {
            **super().get_config(),
            "user_ids": self.user_ids,
            "item_ids": self.item_ids,
            "hidden": self.hidden,
            "id_dropout": self.id_dropout,
        }


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class RatingHead(_PairHead):
    """Tells what a user would rate an item.

    The loss is the squared error in units of the labels' variance, so that it is the same for stars and for percents:
    1 is what the mean of all labels gets.

    Args:
        user_ids, item_ids: int. Rows of the id embeddings, 0 for ids that are new.
        hidden: int. Width of the hidden layer. Defaults to 64.
        id_dropout: float in [0, 1). Chance of hiding an id while training. Defaults to 0.
        centre: float. Mean of the training labels. Defaults to 0.
        scale: float. Their standard deviation. Defaults to 1.

    Call arguments:
        inputs: dict with `query` and `candidate` `[batch, width]` float, `user_id` and `item_id` `[batch]` int, and
            for the loss `label` `[batch]` float.
        training: bool.

    Returns:
        `[batch]` float32, in units of the labels.

    Reference: Koren, Bell and Volinsky, Matrix factorization techniques for recommender systems (2009), for the
    biases.
    """

    sort = "regression"

    def __init__(self, *args, centre: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.centre = centre
        self.scale = scale

    def call(self, inputs, training=False):
        return self.centre + self.scale * super().call(inputs, training=training)

    def judge(self, outputs, labels):
        return tf.square((outputs - labels) / self.scale)

    def get_config(self):
        return {**super().get_config(), "centre": self.centre, "scale": self.scale}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class SentimentHead(_PairHead):
    """Tells whether a user would like an item: a label of `positive_from` or more. The loss is the log loss.

    Args:
        user_ids, item_ids, hidden, id_dropout: as for `RatingHead`.
        positive_from: float. The smallest label that is positive. Defaults to 1.

    Call arguments:
        inputs, training: as for `RatingHead`.

    Returns:
        `[batch]` float32 logits.
    """

    def __init__(self, *args, positive_from: float = 1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.positive_from = positive_from

    def judge(self, outputs, labels):
        liked = tf.cast(labels >= self.positive_from, tf.float32)
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=liked, logits=outputs)

    def get_config(self):
        return {**super().get_config(), "positive_from": self.positive_from}


def _sigmoid_cross_entropy(logits, categories):
    """`[batch]`: the mean over the classes of log(1 + exp(l)), less l where the class is among the item's categories.

    By gathering, as a table of zeros and ones is `[batch, most, classes]` before it is summed.
    """
    # A category that a cell names twice counts once.
    is_repeated = tf.linalg.band_part(tf.cast(categories[:, :, None] == categories[:, None, :], tf.int32), -1, 0)
    is_first = tf.logical_and(categories > 0, tf.reduce_sum(is_repeated, axis=2) == 1)
    own = tf.gather(logits, tf.maximum(categories - 1, 0), batch_dims=1)
    own = tf.reduce_sum(tf.where(is_first, own, 0.0), axis=1)
    return (tf.reduce_sum(tf.nn.softplus(logits), axis=1) - own) / float(logits.shape[1])
