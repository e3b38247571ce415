"""Adam with a learning rate of each weight's own."""

from collections.abc import Sequence

import tf_keras

from mmrec_tf.fused_adam import FusedAdam


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class LayerwiseAdam(FusedAdam):
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
        rate = self.rates[self._index_dict[self._var_key(variable)]]
        self.step_at(rate * self.learning_rate, gradient, variable)

    def get_config(self):
        return {**super().get_config(), "rates": self.rates}
