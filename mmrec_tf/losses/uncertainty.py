"""Weights of several tasks' losses that are learned with the tasks."""

import math
from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from mmrec_tf.losses.alignment import WithinRange

LOWEST, HIGHEST = -5.0, 8.0
"""Range of a log variance: weights of e^5 = 148 down to e^-8 = 0.0003."""


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class UncertaintyWeighting(tf_keras.layers.Layer):
    """Adds the losses of several tasks, each weighted by how well it can be done.

    Losses of different units and sizes cannot be added as they are, and tuning their weights by hand takes many runs.
    Here each task has a variance, in whose units its loss is measured; that a large variance makes every loss small is
    paid for by its logarithm. With s_t = log sigma_t^2, which is what is learned:

        loss = sum_t exp(-s_t) L_t + s_t / 2        for classification (a cross-entropy)
        loss = sum_t exp(-s_t) L_t / 2 + s_t / 2    for regression (a mean squared error)

    At its best the weight of either is 1 / (2 L_t). The s_t are float32 whatever the policy, and are brought back into
    a range after each step, so that a loss that goes to 0 does not take over. A task that starts outside of it has one
    that reaches as far as its start.

    Args:
        tasks: dict of task -> `classification` or `regression`.
        start: dict of task -> float, the weight its loss starts with; 1 for tasks that are not named.

    Call arguments:
        losses: dict of task -> float scalar.
        counted: dict of task -> bool scalar, whether the batch said anything about the task; a task that is not named
            counts. One that does not leaves its s_t alone.

    Returns:
        The weighted sum, a float32 scalar. It may be negative.

    Raises:
        ValueError: for an unknown sort of task, or a start that is not positive.

    Reference: Kendall, Gal and Cipolla, Multi-task learning using uncertainty to weigh losses for scene geometry and
    semantics (CVPR 2018).
    """

    def __init__(self, tasks: Mapping[str, str], start: Mapping[str, float] | None = None, **kwargs):
        super().__init__(**kwargs)
        self.tasks = dict(tasks)
        self.start = dict(start or {})
        for task, sort in self.tasks.items():
            if sort not in _FACTORS:
                raise ValueError(f"task {task!r} is {sort!r}; allowed: {', '.join(_FACTORS)}.")
        for task, weight in self.start.items():
            if not weight > 0.0:
                raise ValueError(f"the weight of task {task!r} starts at {weight}; it must be above 0.")
        first = [math.log(_FACTORS[sort] / self.start.get(task, 1.0)) for task, sort in self.tasks.items()]
        low, high = [min(value, LOWEST) for value in first], [max(value, HIGHEST) for value in first]
        self.log_variances = self.add_weight(
            name="log_variances",
            shape=[len(first)],
            initializer=tf_keras.initializers.Constant(first),
            constraint=WithinRange(low, high),
            dtype="float32",
            experimental_autocast=False,
        )

    def call(self, losses, counted=None):
        terms = []
        for task, weight, log_variance in zip(self.tasks, self._weights(), tf.unstack(self.log_variances)):
            term = weight * tf.cast(losses[task], tf.float32) + 0.5 * log_variance
            if counted is not None and task in counted:
                term = tf.where(counted[task], term, 0.0)
            terms.append(term)
        return tf.add_n(terms)

    def weights_by_task(self) -> dict[str, tf.Tensor]:
        """What each loss is multiplied by: task -> float32 scalar."""
        return dict(zip(self.tasks, self._weights()))

    def _weights(self):
        factors = tf.constant([_FACTORS[sort] for sort in self.tasks.values()], tf.float32)
        return tf.unstack(factors * tf.exp(-self.log_variances))

    def get_config(self):
        return {**super().get_config(), "tasks": dict(self.tasks), "start": dict(self.start)}


_FACTORS = {"classification": 1.0, "regression": 0.5}
