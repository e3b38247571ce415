"""Adam whose steps cost what they touch."""

import tensorflow as tf
import tf_keras


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class LazyAdam(tf_keras.optimizers.Adam):
    """Adam that updates only those rows of an embedding that a step has looked up.

    The gradient of a lookup names its rows. Plain Adam still lets the moments of all the other rows decay, which for a
    table of millions of ids takes far longer than everything else in the step. Here these rows keep their moments and
    their values, so that a step's time does not depend on the size of the table:

        for every row r of the gradient g (its lookups summed):
            m_r = beta_1 m_r + (1 - beta_1) g_r,   v_r = beta_2 v_r + (1 - beta_2) g_r^2
            w_r = w_r - rate_t m_r / (sqrt(v_r) + epsilon),   rate_t = rate sqrt(1 - beta_2^t) / (1 - beta_1^t)

    A row that is seldom looked up is therefore moved less than by Adam, which goes on moving it by what is left of its
    moments. Variables with dense gradients are updated as Adam does.

    Args: as for `tf_keras.optimizers.Adam`; `amsgrad` is not supported.

    Reference: Kingma and Ba, Adam: a method for stochastic optimization (ICLR 2015).
    """

    def __init__(self, learning_rate=0.001, name="LazyAdam", **kwargs):
        super().__init__(learning_rate, name=name, **kwargs)
        if self.amsgrad:
            raise ValueError("LazyAdam has no amsgrad: its maximum would need every row. Use tf_keras.optimizers.Adam.")

    def _deduplicate_sparse_grad(self, grads):
        # Keras sums repeated rows up into as many as there are different ones, which XLA fills up again with padding:
        # harmless where rows are added to, but here they are written. `summed_rows` keeps their number.
        return grads

    def update_step(self, gradient, variable):
        if not isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable)
        place = self._index_dict[self._var_key(variable)]
        momentum, velocity = self._momentums[place], self._velocities[place]
        values, rows = summed_rows(gradient.values, gradient.indices)
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = (tf.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        rate = tf.cast(self.learning_rate, variable.dtype)
        rate = rate * tf.sqrt(1.0 - tf.pow(beta_2, step)) / (1.0 - tf.pow(beta_1, step))
        mean = beta_1 * tf.gather(momentum, rows) + (1.0 - beta_1) * values
        square = beta_2 * tf.gather(velocity, rows) + (1.0 - beta_2) * tf.square(values)
        # A row that was looked up several times is written several times, with the same values.
        momentum.scatter_update(tf.IndexedSlices(mean, rows))
        velocity.scatter_update(tf.IndexedSlices(square, rows))
        moved = tf.gather(variable, rows) - rate * mean / (tf.sqrt(square) + self.epsilon)
        variable.scatter_update(tf.IndexedSlices(moved, rows))


def summed_rows(values: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Gradient rows where each holds the sum over all that belong to the same row of the variable.

    Static shapes, as XLA needs them: a row that occurs three times still stands there three times, with the same sum.

    Args:
        values: `[n, dim]`.
        rows: `[n]` int.

    Returns:
        `[n, dim]` sums and `[n]` rows, sorted.
    """
    order = tf.argsort(rows)
    rows, values = tf.gather(rows, order), tf.gather(values, order)
    is_first = tf.concat([[True], rows[1:] != rows[:-1]], axis=0)
    group = tf.cumsum(tf.cast(is_first, tf.int32)) - 1
    sums = tf.math.unsorted_segment_sum(values, group, values.shape[0] or tf.shape(values)[0])
    return tf.gather(sums, group), rows
