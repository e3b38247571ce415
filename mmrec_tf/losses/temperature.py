"""What scores are divided by before a loss judges them."""

import math

import tensorflow as tf
import tf_keras

from mmrec_tf.losses.alignment import WithinRange

LOWEST, HIGHEST = 0.01, 1.0


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class Temperature(tf_keras.layers.Layer):
    """A positive number, fixed or learned through its logarithm.

    A cosine lies between -1 and 1, too narrow a range for a softmax over thousands of items; divided by a temperature
    it can say how sure it is.

    Args:
        initial: float above 0; of a learned one, within 0.01 and 1. Defaults to 0.1.
        learned: bool. Let training change it, within 0.01 and 1. Defaults to False.

    Call arguments:
        scores: float tensor.

    Returns:
        The scores divided by the temperature, in float32.

    Raises:
        ValueError: for an initial temperature out of its range.

    Reference: Radford et al., Learning transferable visual models from natural language supervision (ICML 2021), for
    learning the logarithm.
    """

    def __init__(self, initial: float = 0.1, learned: bool = False, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if not initial > 0.0:
            raise ValueError(f"a temperature must be above 0, got {initial}.")
        if learned and not LOWEST <= initial <= HIGHEST:
            raise ValueError(f"a learned temperature lies in [{LOWEST}, {HIGHEST}], got {initial}: start within.")
        self.initial = initial
        self.learned = learned
        if learned:
            self.logarithm = self.add_weight(
                name="logarithm",
                shape=[],
                initializer=tf_keras.initializers.Constant(math.log(initial)),
                constraint=WithinRange(math.log(LOWEST), math.log(HIGHEST)),
            )

    @property
    def value(self) -> tf.Tensor:
        """float32 scalar."""
        if not self.learned:
            return tf.constant(self.initial, tf.float32)
        # For weights that were set by hand: after a step the constraint has them within, where they have a gradient.
        return tf.exp(tf.clip_by_value(self.logarithm, math.log(LOWEST), math.log(HIGHEST)))

    def call(self, scores):
        return tf.cast(scores, tf.float32) / self.value

    def get_config(self):
        return {**super().get_config(), "initial": self.initial, "learned": self.learned}
