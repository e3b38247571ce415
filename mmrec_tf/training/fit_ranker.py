"""How a ranker is fitted: one of its members, in the precision that the configuration asks for."""

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.build import build_ranker
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.training.fit import fit
from mmrec_tf.training.precision import layers_in, twin_in

Progress = Callable[[str, int, int], None]


def fit_ranker(
    prepared: Prepared,
    model: Ranker,
    dataset: tf.data.Dataset,
    score: Callable[[Ranker], float] | None = None,
    wrap: Callable[[Ranker], tf_keras.Model] | None = None,
    progress: Progress | None = None,
    description: str = "training ranking",
) -> dict[str, list[float]]:
    """Trains one ranker as `train.ranking` says; its weights are then those of its best epoch.

    Args:
        prepared: what the model was built from.
        model: the ranker, with all of its weights.
        dataset: batches, as of `Prepared.ranking_dataset`.
        score: what tells of a ranker how good it is, the higher the better: validation's AUC, or of ratings its RMSE
            below zero. None for nothing to tell by.
        wrap: gives the model that is fitted in the ranker's place and shares its weights.
        progress: called with (description, done, total).
        description: what is being done, in words.

    Returns:
        Name -> values, one per epoch.
    """
    config, options = prepared.config, prepared.config.train.ranking

    def build():
        alone = config.with_ranking(config.models.ranking.model_copy(update={"members": 1}))
        return build_ranker(alone, prepared.users, prepared.items, prepared.context, prepared.trends())

    learner = twin_in(config.train.precision, model, build)
    # Keras scales the loss by the policy of the model that it compiles.
    with layers_in(config.train.precision):
        fitted = learner if wrap is None else wrap(learner)
    history = fit(
        fitted,
        dataset,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        patience=options.patience,
        score=None if score is None else lambda: score(learner),
        score_name="validation -RMSE" if model.target == "rating" else "validation AUC",
        average=options.average,
        optimizer=config.train.optimizer,
        steps_per_call=options.steps_per_call,
        advice="Lower train.ranking.learning_rate, for example to a third.",
        progress=progress,
        description=description,
    )
    if learner is not model:
        model.set_weights(learner.get_weights())
    return history
