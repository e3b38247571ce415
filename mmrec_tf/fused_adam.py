"""Adam in one pass over the weights."""

import tensorflow as tf
import tf_keras


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class FusedAdam(tf_keras.optimizers.Adam):
    """Adam whose step is one kernel of TensorFlow's for each weight.

    Keras writes a step as a dozen operations, each a pass over the weight, its gradient or its moments. For embeddings
    that is a good part of a train step: theirs are the largest weights, and what of them a step has not looked up is
    passed over as well. The results are those of `tf_keras.optimizers.Adam`, apart from rounding.

    The gradient of a lookup is added up into one of the table's size, which takes as much memory as the table.

    Args: as for `tf_keras.optimizers.Adam`; `amsgrad` is not supported.

    Reference: Kingma and Ba, Adam: a method for stochastic optimization (ICLR 2015).
    """

    def __init__(self, learning_rate=0.001, name="FusedAdam", **kwargs):
        super().__init__(learning_rate, name=name, **kwargs)
        if self.amsgrad:
            kind = type(self).__name__
            raise ValueError(f"{kind} has no amsgrad: use tf_keras.optimizers.Adam where that is wanted.")

    def _deduplicate_sparse_grad(self, grads):
        # What is added up into the whole table need not be added up by row before.
        return grads

    def update_step(self, gradient, variable):
        self.step_at(self.learning_rate, gradient, variable)

    def step_at(self, learning_rate, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """A step at a learning rate that need not be the optimizer's own."""
        place = self._index_dict[self._var_key(variable)]
        momentum, velocity = self._momentums[place], self._velocities[place]
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = (tf.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        beta_2_power = tf.pow(beta_2, step)
        epsilon = tf.cast(self.epsilon, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=beta_2_power,
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon * tf.sqrt(1.0 - beta_2_power) if self.adaptive_epsilon else epsilon,
            grad=tf.convert_to_tensor(gradient),
        )
