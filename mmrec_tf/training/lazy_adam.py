"""Adam whose steps cost what they touch."""

import tensorflow as tf
import tf_keras

from mmrec_tf.fused_adam import FusedAdam


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class LazyAdam(FusedAdam):
    """Adam that updates only those rows of an embedding that a step has looked up.

    The gradient of a lookup names its rows. Plain Adam still lets the moments of all the other rows decay, which for a
    table of millions of ids takes far longer than everything else in the step. Here these rows keep their moments and
    their values, so that a step's time does not depend on the size of the table:

        for every row r of the gradient g (its lookups summed):
            m_r = beta_1 m_r + (1 - beta_1) g_r,   v_r = beta_2 v_r + (1 - beta_2) g_r^2
            w_r = w_r - rate_t m_r / (sqrt(v_r) + epsilon),   rate_t = rate sqrt(1 - beta_2^t) / (1 - beta_1^t)

    A row that is seldom looked up is therefore moved less than by Adam, which goes on moving it by what is left of its
    moments. Variables with dense gradients are updated as Adam does.

    Gradients are clipped as they are after a row's lookups are summed; Keras measures the lookups one by one. Weight
    decay, a moving average of the weights (`use_ema`) and constraints are Keras' own, and pass over every row.

    Args: as for `tf_keras.optimizers.Adam`; `amsgrad` is not supported.

    Reference: Kingma and Ba, Adam: a method for stochastic optimization (ICLR 2015).
    """

    def __init__(self, learning_rate=0.001, name="LazyAdam", **kwargs):
        super().__init__(learning_rate, name=name, **kwargs)

    def _clip_gradients(self, grads):
        return super()._clip_gradients([_summed(gradient) for gradient in grads])

    def update_step(self, gradient, variable):
        if not isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable)
        place = self._index_dict[self._var_key(variable)]
        momentum, velocity = self._momentums[place], self._velocities[place]
        values, rows = gradient.values, gradient.indices
        is_first = starts(rows, values.shape.rank)
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = (tf.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        rate = tf.cast(self.learning_rate, variable.dtype)
        root = tf.sqrt(1.0 - tf.pow(beta_2, step))
        rate = rate * root / (1.0 - tf.pow(beta_1, step))
        epsilon = self.epsilon * root if self.adaptive_epsilon else self.epsilon
        mean, square = tf.gather(momentum, rows), tf.gather(velocity, rows)
        # A row that was looked up several times stands there as often, but only its first place changes anything.
        mean_change = tf.where(is_first, (1.0 - self.beta_1) * (values - mean), 0.0)
        square_change = tf.where(is_first, (1.0 - self.beta_2) * (tf.square(values) - square), 0.0)
        moved = rate * (mean + mean_change) / (tf.sqrt(square + square_change) + epsilon)
        momentum.scatter_add(tf.IndexedSlices(mean_change, rows))
        velocity.scatter_add(tf.IndexedSlices(square_change, rows))
        variable.scatter_sub(tf.IndexedSlices(tf.where(is_first, moved, 0.0), rows))


def summed_rows(values: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Gradient rows where the first of each row of the variable holds the sum over all of them, and the others 0.

    Static shapes, as XLA needs them: a row that occurs three times still stands there three times. The sum over rows is
    the same as before, and the norm is that of the sum.

    Args:
        values: `[n, ...]`.
        rows: `[n]` int.

    Returns:
        `[n, ...]` sums and `[n]` rows, sorted.
    """
    order = tf.argsort(rows)
    rows, values = tf.gather(rows, order), tf.gather(values, order)
    group = tf.cumsum(tf.cast(starts(rows), tf.int32)) - 1
    sums = tf.math.unsorted_segment_sum(values, group, values.shape[0] or tf.shape(values)[0])
    return tf.where(starts(rows, values.shape.rank), tf.gather(sums, group), 0.0), rows


def starts(rows: tf.Tensor, rank: int = 1) -> tf.Tensor:
    """Bool of shape `[n, 1, ...]`, of that rank: where a row of the `[n]` sorted ones stands for the first time."""
    is_first = tf.concat([tf.ones_like(rows[:1], tf.bool), rows[1:] != rows[:-1]], axis=0)
    return tf.reshape(is_first, [-1, *[1] * (rank - 1)])


def _summed(gradient):
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    values, rows = summed_rows(gradient.values, gradient.indices)
    return tf.IndexedSlices(values, rows, gradient.dense_shape)
