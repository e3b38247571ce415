"""What every ranker shares: the fields of user, item, history and context, the linear part, the task, the contract."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from mmrec_tf.data.target_statistics import TargetStatistics
from mmrec_tf.data.trends import Trends
from mmrec_tf.losses.float32_tasks import float32_tasks
from mmrec_tf.losses.listwise_losses import GroupLoss
from mmrec_tf.losses.ordinal_loss import OrdinalThresholds
from mmrec_tf.losses.ranking_losses import build_ranking_loss, ranking_loss_names
from mmrec_tf.models.calibrators import build_calibrator
from mmrec_tf.models.context_fields import ContextFields
from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.loss_scaled_model import LossScaledModel
from mmrec_tf.models.rankers.fields import STDDEV, Pairs, TableFields, repeated
from mmrec_tf.models.rankers.main_target import MainTarget
from mmrec_tf.models.rankers.pair_fields import PairFields
from mmrec_tf.models.rankers.position_bias import PositionBias
from mmrec_tf.models.rankers.target_fields import TargetFields
from mmrec_tf.models.rankers.trend_field import TrendField


class Ranker(MainTarget, PairFields, LossScaledModel):
    """Decides in which order the retrieved items are shown.

    Every feature of the user, of the item, of the user's history and of the request's context is a field f with one
    weight w_f and one embedding v_f. The history is fields too (the means of its items' ids, categories, numbers and
    modalities), so that fields that meet tell both co-consumption and content similarity between what the user liked
    and the item at hand. A ranker is a way in which the embeddings meet:

        y = b + sum_f w_f + interactions(v_1, ..., v_F)

    A subclass implements `interactions(pairs, training)`, which gives `[pairs]` float32, and sets `title`, its name in
    tables. With `reads_steps` it is given the history item by item instead of its means.

    When the inputs carry the retrieval stage's similarities, `similarity_weight` times these are added to the scores.
    The weight is no part of the training: on its own training interactions retrieval looks better than it is, so the
    weight is set afterwards, by what ranks held-out interactions best.

    `calibrator` makes chances of the scores of clicks; it is fitted after training, too, and changes no score.

    Args:
        users: `FeatureLookup` of the users.
        items: `FeatureLookup` of the items.
        dim: int. Width of every field's embedding.
        target: `click` (`call` returns logits) or `rating` (`call` returns ratings). Defaults to `click`.
        loss: str. See `build_ranking_loss`. Defaults to `log_loss` for clicks and `mse` for ratings.
        levels: list of float, rising. The ratings there are; for the loss `ordinal`.
        id_dropout: float in [0, 1). Chance of hiding an id, and an example's whole context, while training, so that
            what is new or not told is served sensibly. Defaults to 0.
        embedding_l2: float. Weight of the squared lengths of the id embeddings of a batch's users and items. Defaults
            to 0.
        number_embedding: see `SideFeatures`. Defaults to `linear`.
        number_edges: dict of `users` and `items` -> number feature -> edges of its bins; see `SideFeatures`.
        context: what is known of a request, as `ContextFeatures.spec`; None, the default, for nothing.
        trends: dict of `periods` and `half_lives` of the trends, which `set_trends` fills; None, the default, for none.
        calibration: str. See `build_calibrator`. Defaults to `none`.
        negatives_kept: float in (0, 1]. Share of the data's negatives that training takes. Defaults to 1.
        positions: int. Buckets of the places in which items were shown, for `PositionBias`; 0, the default, for none.
        statistics: dict, the `spec` of `TargetFields`, which `set_statistics` fills; None, the default, for none.
        last_item: bool. The history's last item is fields as well, beside the means of all. Defaults to False.

    Call arguments:
        inputs: dict with `user_index` `[batch]`, `history` `[batch, length]` and `item_index`, `[batch]` or, for
            several items per user, `[batch, group]`; all int32. For training also `label` and `weight`, float32, in the
            shape of `item_index`. `similarity` of the same shape is optional, and so is `context` (see
            `ContextFeatures.encode`) and `moment` `[batch]` int32, the period in which they ask, by default the last;
            their rows belong to the users. With `positions`, training also takes `position` `[batch]` int32, and with
            `statistics` what `TargetStatistics.out_of_fold` tells of each pair, likewise by name.
        training: bool.
        without: dict of modality -> bool tensor that is broadcast to `[batch, group]`: the items that are scored as if
            they did not have it; the histories keep theirs. None, the default, for none. With an item several times in
            the group, one call tells what each of its parts does.
        without_ids: bool tensor, likewise: the items that are scored as if their ids were new. None, the default, for
            none.
        vectors: dict of modality -> `[items of the batch, width]`, centred and scaled as in the items' `FeatureTable`.
            They stand in for the items' stored ones, where these are there.
        rows: what `item_rows` gave, and `history_rows` and `user_rows` where these are to be looked up too instead of
            worked out, as they are at present; None, the default, for another moment, where an id or a modality is left
            out, in training, or for a model that has learned since.
        is_raw: bool. Give what the loss judges instead: of `ordinal` the logits of exceeding each level. Defaults to
            False.

    Returns:
        float32 scores in the shape of `item_index`; of `ordinal` these are the expected ratings, and with `is_raw`
        `[..., levels - 1]`.
    """

    title = ""
    reads_steps = False

    def __init__(
        self,
        users: FeatureLookup,
        items: FeatureLookup,
        dim: int,
        target: str = "click",
        loss: str | None = None,
        levels: list[float] | None = None,
        id_dropout: float = 0.0,
        embedding_l2: float = 0.0,
        number_embedding: str = "linear",
        number_edges: dict[str, dict[str, list[float]]] | None = None,
        context: dict[str, Any] | None = None,
        trends: dict[str, int] | None = None,
        calibration: str = "none",
        negatives_kept: float = 1.0,
        positions: int = 0,
        statistics: dict[str, Any] | None = None,
        last_item: bool = False,
        **kwargs,
    ):
        # The similarities keep all their digits under a mixed policy; the layers cast what they take themselves.
        super().__init__(autocast=False, **kwargs)
        self.users = users
        self.items = items
        self.dim = dim
        self.target = target
        self.loss_name = ranking_loss_names(target)[0] if loss is None else loss
        self.levels = None if levels is None else [float(level) for level in levels]
        self.id_dropout = id_dropout
        self.embedding_l2 = embedding_l2
        self.number_embedding = number_embedding
        self.number_edges = number_edges
        self.context = context
        self.trends = trends
        self.calibration = calibration
        self.negatives_kept = negatives_kept
        self.positions = positions
        self.statistics = statistics
        self.last_item = last_item
        numbers = {
            side: {"number_embedding": number_embedding, "number_edges": (number_edges or {}).get(side)}
            for side in ("users", "items")
        }
        # One column more than the embedding: the field's weight in the linear part. It stands first.
        self.user_fields = TableFields(users, dim + 1, **numbers["users"])
        self.item_fields = TableFields(items, dim + 1, **numbers["items"])
        self.history_fields = TableFields(items, dim if self.reads_steps else dim + 1, **numbers["items"])
        self.context_fields = None
        if context is not None:
            self.context_fields = ContextFields(dim + 1, context, id_dropout, number_embedding, STDDEV)
        self.trend_field = None if trends is None else TrendField(items.size, dim=dim + 1, **trends)
        self.target_fields = None if statistics is None else TargetFields(dim + 1, statistics)
        self.position_bias = PositionBias(positions) if positions else None
        self.calibrator = build_calibrator(calibration, negatives_kept) if target == "click" else None
        # Those of targets beside the main one; here and not in the class, as Keras tracks no dict that hides another.
        self.target_heads = {}
        self.bias = self.add_weight(name="bias", shape=[], initializer="zeros", experimental_autocast=False)
        self.similarity_weight = self.add_weight(
            name="similarity_weight", shape=[], initializer="zeros", trainable=False, experimental_autocast=False
        )
        judge = build_ranking_loss(target, self.loss_name, levels=self.levels)
        self.judges_groups = isinstance(judge, GroupLoss)
        self.thresholds = OrdinalThresholds(self.levels) if self.loss_name == "ordinal" else None
        with float32_tasks():
            self.task = tfrs.tasks.Ranking(loss=judge)

    @property
    def members(self) -> list["Ranker"]:
        """The rankers that answer together: this one; see `RankerEnsemble`."""
        return [self]

    def interactions(self, pairs: Pairs, training: bool) -> tf.Tensor:
        """`[pairs]` float32: what the embeddings tell together."""
        raise NotImplementedError

    def call(self, inputs, training=False, without=None, without_ids=None, vectors=None, rows=None, is_raw=False):
        pairs = self._pairs(inputs, training, without, without_ids, vectors, rows)
        raw = self._raw(inputs, pairs, self.interactions(pairs, training), training)
        return raw if is_raw else self.answer(raw, inputs)

    def _raw(self, inputs, pairs, interactions, training):
        """What the loss of the main target judges."""
        weights = [tf.reduce_sum(weights, axis=1) for weights in (pairs.item_weights, pairs.user_weights)]
        if training and self.position_bias is not None:
            weights[1] += self.position_bias(inputs["position"], training=True)
        scores = self.bias + weights[0] + repeated(weights[1], weights[0]) + interactions
        scores = tf.reshape(scores, tf.shape(inputs["item_index"]))
        return scores if self.thresholds is None else self.thresholds(scores)

    def get_config(self):
        serialize = tf_keras.saving.serialize_keras_object
        return {
            "users": serialize(self.users),
            "items": serialize(self.items),
            "dim": self.dim,
            "target": self.target,
            "loss": self.loss_name,
            "levels": self.levels,
            "id_dropout": self.id_dropout,
            "embedding_l2": self.embedding_l2,
            "number_embedding": self.number_embedding,
            "number_edges": self.number_edges,
            "context": self.context,
            "trends": self.trends,
            "calibration": self.calibration,
            "negatives_kept": self.negatives_kept,
            "positions": self.positions,
            "statistics": self.statistics,
            "last_item": self.last_item,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        lookups = {name: tf_keras.saving.deserialize_keras_object(config[name]) for name in ("users", "items")}
        return cls(**{**config, **lookups})

    def set_trends(self, trends: Trends) -> None:
        """Takes the popularity of every item over time; the last period is the present."""
        if self.trend_field is not None:
            self.trend_field.set(trends.table)

    def set_statistics(self, statistics: TargetStatistics, told: dict[str, np.ndarray] | None = None) -> None:
        """Takes the target statistics; and, before training, what its rows are told of them. See `TargetFields.set`."""
        if self.target_fields is not None:
            self.target_fields.set(statistics, told)

    def create_weights(self, history_length: int) -> None:
        """Makes every weight, so that they can be counted, saved or loaded before the first batch."""
        index = tf.zeros([1], tf.int32)
        self({"user_index": index, "item_index": index, "history": tf.zeros([1, history_length], tf.int32)})

    def build_from_config(self, config):
        # Keras' own way calls the model with floats.
        self.create_weights(config["input_shape"]["history"][-1])
