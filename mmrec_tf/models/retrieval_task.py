"""The task of the two-tower model: each query's own candidate ahead of the negatives."""

import functools

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from mmrec_tf.losses.retrieval_losses import build_retrieval_loss
from mmrec_tf.losses.temperature import Temperature
from mmrec_tf.models.negative_masks import NegativeMask
from mmrec_tf.models.retrieval_scores import Candidates, Queries, all_scores, own_scores, pair_scores
from mmrec_tf.models.score_blocks import block_of, sum_in_blocks


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
        counted: which of them are negatives of which query: a `NegativeMask`, or bool, broadcastable to
            `[batch, negatives]`.
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
        # Dividing the queries' side is cheaper than dividing all scores.
        scale = 1.0 / self.temperature.value
        scaled = Queries(queries.place * scale, queries.gain * scale, queries.moment)
        own, pool = (_scaled(side, scale) for side in (own, pool))
        rows = {"queries": scaled, "own": own}
        if isinstance(counted, NegativeMask):
            rows["mask"] = counted.examples
        if extra is not None:
            rows["extra"] = Candidates(*(_by_row(part, extra_counted) for part in _scaled(extra, scale)))
            rows["extra_counted"] = extra_counted
        judge, fitting = self.judge, 0.0
        has_policy = self.judge.policy is not None and items is not None
        if has_policy:
            of_pool = counted.of(counted.examples) if isinstance(counted, NegativeMask) else counted
            told, fitting = self.judge.policy(queries.place, *items, of_pool, log_expected)
            judge = functools.partial(judge, log_behaviour=told)

        def losses(rows, pool):
            mask = counted.of(rows["mask"]) if "mask" in rows else counted
            return judge(*_scores(rows, pool, mask, log_expected))

        block = block_of(queries.place.shape[0], pool.place.shape[0])
        if "mask" not in rows or has_policy or block is None:
            found = losses(rows, pool)
            if sample_weight is None:
                return tf.reduce_mean(found) + fitting
            return tf.math.divide_no_nan(tf.reduce_sum(found * sample_weight), tf.reduce_sum(sample_weight)) + fitting
        weights = tf.ones_like(queries.gain) if sample_weight is None else sample_weight
        return tf.math.divide_no_nan(sum_in_blocks(losses, rows, pool, weights, block), tf.reduce_sum(weights))

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


def _scores(rows, pool, counted, log_expected):
    """What a `RetrievalLoss` takes: of some rows, each with the pool and what is its own alone."""
    queries = rows["queries"]
    positive, negatives = pair_scores(queries, rows["own"]), all_scores(queries, pool)
    if "extra" not in rows:
        return positive, negatives, counted, log_expected
    shape, mask = tf.shape(negatives), rows["extra_counted"]
    flat = Candidates(*(tf.reshape(part, [-1, *part.shape[2:]]) for part in rows["extra"]))
    negatives = tf.concat([negatives, own_scores(queries, flat)], axis=1)
    counted = tf.concat([tf.broadcast_to(counted, shape), mask], axis=1)
    log_expected = tf.concat([tf.broadcast_to(log_expected, shape), tf.zeros_like(mask, tf.float32)], axis=1)
    return positive, negatives, counted, log_expected


def _scaled(candidates, scale):
    return candidates._replace(popularity=candidates.popularity * scale)


def _by_row(part, counted):
    """`[batch, n, ...]` of `[batch * n, ...]`."""
    rows, columns = counted.shape[0] or tf.shape(counted)[0], counted.shape[1]
    return tf.reshape(part, [rows, columns, *part.shape[1:]])
