"""Adam with a learning rate of each weight's own."""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class LayerwiseAdam(tf_keras.optimizers.Adam):
    """Adam whose step is scaled for each weight.

    The lower blocks of a pretrained network hold what is common to all tasks and should change less than the upper
    ones. Scaling their gradients would not do it, as Adam divides by the gradients' own size; so the step is scaled.

    Args:
        learning_rate: float or schedule; a weight of rate 1 learns at it.
        rates: one float per weight, in the order in which weights are given to `build` or `apply_gradients`.
        **kwargs: of `tf_keras.optimizers.Adam`.

    Reference: Howard and Ruder, Universal Language Model Fine-tuning for Text Classification (2018), for
    discriminative learning rates.
    """

    def __init__(self, learning_rate=0.001, rates: Sequence[float] = (), name: str = "LayerwiseAdam", **kwargs):
        super().__init__(learning_rate, name=name, **kwargs)
        self.rates = [float(rate) for rate in rates]

    def build(self, var_list):
        if len(var_list) != len(self.rates):
            raise ValueError(f"{len(self.rates)} rates were given for {len(var_list)} weights.")
        super().build(var_list)

    def update_step(self, gradient, variable):
        place = self._index_dict[self._var_key(variable)]
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1, beta_2 = (tf.cast(beta, variable.dtype) for beta in (self.beta_1, self.beta_2))
        rate = tf.cast(self.learning_rate, variable.dtype) * self.rates[place]
        rate *= tf.sqrt(1.0 - tf.pow(beta_2, step)) / (1.0 - tf.pow(beta_1, step))
        gradient = tf.convert_to_tensor(gradient)
        mean, variance = self._momentums[place], self._velocities[place]
        mean.assign_add((gradient - mean) * (1.0 - beta_1))
        variance.assign_add((tf.square(gradient) - variance) * (1.0 - beta_2))
        variable.assign_sub(rate * mean / (tf.sqrt(variance) + self.epsilon))

    def get_config(self):
        return {**super().get_config(), "rates": self.rates}
