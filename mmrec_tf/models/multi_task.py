"""Multi-task training: the retrieval model learns retrieval together with what other heads ask of it."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.config import Config
from mmrec_tf.config_tasks import AnyTask, named_heads
from mmrec_tf.errors import DataError
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.losses.uncertainty import UncertaintyWeighting
from mmrec_tf.models.loss_scaled_model import LossScaledModel
from mmrec_tf.models.task_heads import CategoryHead, RatingHead, SentimentHead, TaskHead
from mmrec_tf.models.towers import RETRIEVAL
from mmrec_tf.models.two_tower import TwoTower


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class MultiTask(LossScaledModel):
    """Trains a retrieval model, in place, on several tasks at once. What is served is the retrieval model alone.

    Interactions say little about an item that has few of them. A head asks for something else that is known, and what
    answers it (the fusion, the towers, or the experts in them) is what retrieval uses as well.

        loss = sum over retrieval and the heads of weight * loss

    Heads that judge interactions read the towers' places of user and item or, where the towers have experts, the
    experts' mixtures as gated for that head. Heads that judge items read the fused modalities or, likewise, the
    candidate tower's mixture of these.

    `fit` logs each task's own loss, as `<task> loss`.

    Args:
        two_tower: the retrieval model.
        heads: dict of name -> `TaskHead`; where the towers have experts, the names are among their tasks.
        weights: dict of name -> float. Weights of the heads' losses beside that of retrieval; with `uncertainty`,
            those they start with. 1 for heads that are not named.
        weighting: `uncertainty` or `fixed`. Defaults to `uncertainty`.

    Call arguments:
        inputs: as for `TwoTower`. For training, where a head judges interactions, also `rated_user_index` `[rated]`,
            `rated_history` `[rated, length]`, `rated_item_index` `[rated]`, int32, and `label` `[rated]` float32.

    Returns:
        `[batch, dim + 2]` query embeddings.

    Raises:
        ValueError: for an unknown weighting.
    """

    def __init__(
        self,
        two_tower: TwoTower,
        heads: Mapping[str, TaskHead],
        weights: Mapping[str, float] | None = None,
        weighting: str = "uncertainty",
        **kwargs,
    ):
        # Labels keep all their digits under a mixed policy; the layers cast what they take themselves.
        super().__init__(autocast=False, **kwargs)
        if weighting not in ("uncertainty", "fixed"):
            raise ValueError(f"weighting {weighting!r} is none. Allowed: uncertainty, fixed.")
        self.two_tower = two_tower
        self.heads = dict(heads)
        self.weights_at_start = dict(weights or {})
        self.weighting = weighting
        sorts = {RETRIEVAL: "classification", **{name: head.sort for name, head in heads.items()}}
        self.balance = UncertaintyWeighting(sorts, self.weights_at_start) if weighting == "uncertainty" else None
        self.means = {task: tf_keras.metrics.Mean(name=f"{task} loss", dtype="float32") for task in sorts}

    def call(self, inputs, training=False):
        return self.two_tower(inputs, training=training)

    def compute_loss(self, inputs, training=False):
        losses, counted = self._judge(inputs, training)
        losses[RETRIEVAL] = tf.cast(self.two_tower.compute_loss(inputs, training=training), tf.float32)
        counted[RETRIEVAL] = tf.cast(tf.size(inputs["item_index"]), tf.float32)
        for task, mean in self.means.items():
            mean.update_state(losses[task], sample_weight=counted[task])
        if self.balance is not None:
            return self.balance(losses, counted={task: count > 0.0 for task, count in counted.items()})
        return losses[RETRIEVAL] + tf.add_n(
            [self.weights_at_start.get(name, 1.0) * losses[name] for name in self.heads]
        )

    def _judge(self, inputs, training):
        """The heads' losses, and how much each counted, by name."""
        read = {**self._read_items(inputs, training), **self._read_interactions(inputs, training)}
        judged = {name: head.loss(read[name], training=training) for name, head in self.heads.items()}
        return {name: loss for name, (loss, _) in judged.items()}, {name: count for name, (_, count) in judged.items()}

    def _read_items(self, inputs, training):
        """What the heads that judge items read, by name."""
        names = [name for name, head in self.heads.items() if head.reads_content]
        if not names:
            return {}
        items, tower = self.two_tower.items, self.two_tower.candidate_tower
        known = items.lookup(tf.reshape(inputs["item_index"], [-1]))
        content = items.fusion(known["vectors"], known["masks"], training=training)
        shared = {
            "categories": {**known["categorical"], **known["multi_categorical"]},
            "has_content": tf.reduce_any(tf.stack(list(known["masks"].values())), axis=0),
        }
        if tower.experts:
            contents = {name: tower({"item": content}, training=training, task=name) for name in names}
        else:
            contents = dict.fromkeys(names, content)
        return {name: {**shared, "content": contents[name]} for name in names}

    def _read_interactions(self, inputs, training):
        """What the heads that judge interactions read, by name."""
        names = [name for name, head in self.heads.items() if not head.reads_content]
        if not names:
            return {}
        user_index, history, item_index = (inputs[f"rated_{key}"] for key in ("user_index", "history", "item_index"))
        model = self.two_tower
        rows = model.item_rows((history.shape.num_elements() or 0) + (item_index.shape.num_elements() or 0), training)
        query = {"user_index": user_index, "history": history, "history_items": rows(history)}
        if model.propagation is not None:
            query["added"] = model.added(training)[0]
        candidate = {"item": rows(item_index)}
        shared = {
            "user_id": tf.gather(model.query_tower.lookup.id_index, user_index),
            "item_id": tf.gather(model.items.lookup.id_index, item_index),
            "label": inputs["label"],
        }
        # Without experts all of them read the same.
        places = {
            task: {
                "query": model.query_tower(query, training=training, task=task),
                "candidate": model.candidate_tower(candidate, training=training, task=task),
            }
            for task in (names if model.candidate_tower.experts else [RETRIEVAL])
        }
        return {name: {**shared, **places.get(name, places.get(RETRIEVAL, {}))} for name in names}

    def create_weights(self, history_length: int) -> None:
        """Makes every weight, so that they can be counted, saved or loaded before the first batch."""
        index, history = tf.zeros([1], tf.int32), tf.zeros([1, history_length], tf.int32)
        rated = {"rated_user_index": index, "rated_history": history, "rated_item_index": index, "label": tf.zeros([1])}
        self.two_tower.create_weights(history_length)
        self({"user_index": index, "history": history})
        self._judge({"item_index": index, **rated}, training=False)

    def build_from_config(self, config):
        # Keras' own way calls the model with floats.
        self.create_weights(config["input_shape"]["history"][-1])

    def get_config(self):
        serialize = tf_keras.saving.serialize_keras_object
        return {
            "two_tower": serialize(self.two_tower),
            "heads": {name: serialize(head) for name, head in self.heads.items()},
            "weights": dict(self.weights_at_start),
            "weighting": self.weighting,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        deserialize = tf_keras.saving.deserialize_keras_object
        heads = {name: deserialize(head) for name, head in config["heads"].items()}
        return cls(**{**config, "two_tower": deserialize(config["two_tower"]), "heads": heads})


def build_multi_task(config: Config, prepared: Prepared, two_tower: TwoTower) -> MultiTask:
    """The retrieval model with the heads that the configuration asks for.

    Args:
        config: the configuration; `tasks` and what heads need of `models.retrieval` and `data` are read.
        prepared: the data that it will be trained on, as `Prepared.multi_task_dataset` batches it.
        two_tower: the retrieval model, which is trained in place.

    Raises:
        DataError: if the data have nothing for a head to learn.
    """
    heads = named_heads(config.tasks, config.features)
    labels = prepared.rated_examples()["label"] if config.tasks.needs_labels else None
    model = MultiTask(
        two_tower,
        heads={name: _head(head, prepared, two_tower, labels) for name, head in heads.items()},
        weights={name: head.weight for name, head in heads.items()},
        weighting=config.tasks.weighting,
    )
    model.create_weights(config.models.retrieval.history_length)
    return model


def _head(head: AnyTask, prepared: Prepared, two_tower: TwoTower, labels: np.ndarray | None) -> TaskHead:
    if head.task == "category":
        _check_categories(head.feature, prepared)
        return CategoryHead(head.feature, len(prepared.items.vocabularies[head.feature]))
    lowest, highest = labels.min(initial=np.inf), labels.max(initial=-np.inf)
    users, items = two_tower.query_tower.lookup, two_tower.items.lookup
    options = {
        "user_ids": users.id_vocabulary_size,
        "item_ids": items.id_vocabulary_size,
        "id_dropout": two_tower.items.id_dropout,
    }
    if head.task == "rating":
        if not lowest < highest:
            raise DataError(
                f"a rating head has nothing to learn: all {len(labels)} training labels in "
                f"{prepared.data.label!r} are {lowest:g}. Take the head out of tasks.heads."
            )
        return RatingHead(**options, centre=float(labels.mean()), scale=float(labels.std()))
    wanted = np.float32(prepared.data.positive_from)
    if not lowest < wanted <= highest:
        raise DataError(
            f"a sentiment head has nothing to learn: the training labels in {prepared.data.label!r} go from "
            f"{lowest:g} to {highest:g}, all on one side of data.positive_from {prepared.data.positive_from:g}. "
            "Change it, or take the head out of tasks.heads."
        )
    return SentimentHead(**options, positive_from=prepared.data.positive_from)


def _check_categories(feature: str, prepared: Prepared) -> None:
    table = prepared.items
    if len(table.vocabularies[feature]) < 2:
        raise DataError(
            f"a category head has nothing to learn: the items of the training interactions have "
            f"{len(table.vocabularies[feature])} categories in {feature!r}. Take the head out of tasks.heads."
        )
    categories = table.categorical.get(feature, table.multi_categorical.get(feature)).reshape(table.size, -1)
    has_both = np.any(categories > 0, axis=1) & np.any(list(table.masks.values()), axis=0) & (table.id_index > 0)
    if not has_both.any():
        raise DataError(
            f"a category head has nothing to learn: no item of the training interactions has both a {feature!r} and "
            f"content ({', '.join(table.masks)}). Fill the items table, or take the head out of tasks.heads."
        )
