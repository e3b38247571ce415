"""The task of the two-tower model: each query's own candidate ahead of the negatives."""

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from mmrec_tf.losses.retrieval_losses import build_retrieval_loss
from mmrec_tf.losses.temperature import Temperature
from mmrec_tf.models.retrieval_scores import Candidates, Queries, all_scores, own_scores, pair_scores


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class RetrievalTask(tf_keras.layers.Layer, tfrs.tasks.Task):
    """Scores a batch's queries against their own candidates and against negatives, and judges the scores.

    In float32 whatever the policy: the softmax is not safe in half precision.

    Args:
        loss: dict with the `name` of a retrieval loss and its settings; see `build_retrieval_loss`. Defaults to
            softmax.
        temperature: float. Divides the scores. Defaults to 0.1.
        learned_temperature: bool. Let training change it. Defaults to False.

    Call arguments:
        queries: `Queries` of `batch` rows.
        own: `Candidates` of `batch` rows, the positives.
        pool: `Candidates` of `negatives` rows, shared by all queries.
        counted: bool, broadcastable to `[batch, negatives]`: which of them are negatives of which query.
        log_expected: float, broadcastable to `[batch, negatives]`; see `RetrievalLoss`.
        extra: `Candidates` of `batch * n` rows, negatives of single queries, or None for none.
        extra_counted: `[batch, n]` bool.
        sample_weight: `[batch]` float; None for equal weights.
        items: int32 indices of `own`, `[batch]`, and of `pool`, `[negatives]`, for a loss that asks who has made the
            log; None, the default, where that is not to be asked.

    Returns:
        float32 scalar, the weighted mean of the losses; and what fits the loss's own policy.
    """

    def __init__(self, loss: dict | None = None, temperature: float = 0.1, learned_temperature: bool = False, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs}, autocast=False)
        self.loss_options = {"name": "softmax", **(loss or {})}
        self.initial_temperature = temperature
        self.learned_temperature = learned_temperature
        self.judge = build_retrieval_loss(**self.loss_options)
        self.temperature = Temperature(temperature, learned_temperature)

    def call(
        self,
        queries: Queries,
        own: Candidates,
        pool: Candidates,
        counted: tf.Tensor,
        log_expected: tf.Tensor,
        extra: Candidates | None = None,
        extra_counted: tf.Tensor | None = None,
        sample_weight: tf.Tensor | None = None,
        items: tuple[tf.Tensor, tf.Tensor] | None = None,
    ):
        behaviour, fitting = {}, 0.0
        if self.judge.policy is not None and items is not None:
            behaviour["log_behaviour"], fitting = self.judge.policy(queries.place, *items, counted, log_expected)
        # Dividing the queries' side is cheaper than dividing all scores.
        scale = 1.0 / self.temperature.value
        queries = Queries(queries.place * scale, queries.gain * scale, queries.moment)
        own, pool = (side._replace(popularity=side.popularity * scale) for side in (own, pool))
        positive, negatives = pair_scores(queries, own), all_scores(queries, pool)
        if extra is not None:
            extra = extra._replace(popularity=extra.popularity * scale)
            negatives = tf.concat([negatives, own_scores(queries, extra)], axis=1)
            shape = tf.shape(negatives) - [0, extra_counted.shape[1]]
            counted = tf.concat([tf.broadcast_to(counted, shape), extra_counted], axis=1)
            log_expected = tf.concat(
                [tf.broadcast_to(log_expected, shape), tf.zeros_like(extra_counted, tf.float32)], axis=1
            )
        losses = self.judge(positive, negatives, counted, log_expected, **behaviour)
        if sample_weight is None:
            return tf.reduce_mean(losses) + fitting
        return tf.math.divide_no_nan(tf.reduce_sum(losses * sample_weight), tf.reduce_sum(sample_weight)) + fitting

    def set_probabilities(self, probabilities: np.ndarray) -> None:
        """Takes the `[size]` shares that items have of what was logged, liked or not; for a loss with a policy."""
        if self.judge.policy is not None:
            self.judge.policy.set_probabilities(probabilities)

    def get_config(self):
        return {
            **super().get_config(),
            "loss": dict(self.loss_options),
            "temperature": self.initial_temperature,
            "learned_temperature": self.learned_temperature,
        }
