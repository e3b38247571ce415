"""Several rankers of one kind that answer together."""

import tensorflow as tf
import tf_keras

from mmrec_tf.models.rankers.base import Ranker


def _of_first(name: str) -> property:
    return property(lambda ensemble: getattr(ensemble.members[0], name), doc=f"`{name}` of the first member.")


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class RankerEnsemble(tf_keras.Model):
    """Answers with the mean of what its members say.

    Embeddings that few interactions have shaped say much about where they started. Members that started elsewhere err
    elsewhere, and their mean errs less:

        y = 1/M sum_m y_m

    over the logits of clicks, the ratings, and, of several targets, of each. The members are trained one after the
    other, each as a ranker of its own; what is set afterwards, the calibrators and the weight of the retrieval stage's
    similarity, is the ensemble's and is kept in the first member. It takes the calls of a `Ranker` and answers alike.

    Args:
        members: list of `Ranker` of one kind and the same tables.

    Raises:
        ValueError: without members, or when it is compiled, as it has no loss of its own.

    Reference: Lakshminarayanan, Pritzel and Blundell, Simple and scalable predictive uncertainty estimation using deep
    ensembles (NeurIPS 2017).
    """

    title, users, items = _of_first("title"), _of_first("users"), _of_first("items")
    target, target_heads, order_by = (_of_first(name) for name in ("target", "target_heads", "order_by"))
    targets = _of_first("targets")
    calibration, calibrator, loss_name = (_of_first(name) for name in ("calibration", "calibrator", "loss_name"))
    similarity_weight, context_fields = _of_first("similarity_weight"), _of_first("context_fields")
    target_fields = _of_first("target_fields")

    def __init__(self, members: list[Ranker], **kwargs):
        super().__init__(autocast=False, **kwargs)
        if not members:
            raise ValueError("an ensemble needs one ranker or more, got none.")
        self.members = list(members)

    def call(self, inputs, training=False, rows=None, is_raw=False, **options):
        rows = [None] * len(self.members) if rows is None else rows
        said = [
            member(inputs, training=training, rows=own, is_raw=True, **options)
            for member, own in zip(self.members, rows, strict=True)
        ]
        raw = tf.nest.map_structure(lambda *values: tf.add_n(values) / len(said), *said)
        return raw if is_raw else self.members[0].answer(raw, inputs)

    def compile(self, *args, **kwargs):
        raise ValueError(
            "an ensemble is not trained itself: compile and fit each of its members, with "
            "ranking_dataset(member=place), or let train_ranking do so."
        )

    def target_scores(self, inputs: dict, **options) -> dict[str, tf.Tensor]:
        """As `Ranker.target_scores`."""
        return self.members[0].scores_of(self(inputs, is_raw=True, **options))

    def target_predictions(self, scores: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """As `Ranker.target_predictions`."""
        return self.members[0].target_predictions(scores)

    def predictions(self, scores: tf.Tensor) -> tf.Tensor:
        """As `Ranker.predictions`."""
        return self.members[0].predictions(scores)

    def order(self, scores: dict[str, tf.Tensor]) -> tf.Tensor:
        """As `Ranker.order`."""
        return self.members[0].order(scores)

    def joint(self, scores: dict[str, tf.Tensor], name: str) -> tf.Tensor:
        """As `SeveralTargets.joint`."""
        return self.members[0].joint(scores, name)

    def set_trends(self, trends) -> None:
        """As `Ranker.set_trends`, for every member."""
        for member in self.members:
            member.set_trends(trends)

    def set_statistics(self, statistics, told=None) -> None:
        """As `Ranker.set_statistics`, for every member."""
        for member in self.members:
            member.set_statistics(statistics, told)

    def start_from(self, levels) -> None:
        """As `SeveralTargets.start_from`, for every member."""
        for member in self.members:
            member.start_from(levels)

    def create_weights(self, history_length: int) -> None:
        """As `Ranker.create_weights`, for every member."""
        for member in self.members:
            member.create_weights(history_length)
        self.built = True

    def build_from_config(self, config):
        self.create_weights(config["input_shape"]["history"][-1])

    def get_config(self):
        return {"members": [tf_keras.saving.serialize_keras_object(member) for member in self.members]}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls([tf_keras.saving.deserialize_keras_object(member) for member in config["members"]])
