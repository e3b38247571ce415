"""Small trainable parts in a pretrained network: low-rank changes of its matrices, bottlenecks behind its blocks.

All of them start at no change, so that a network with adapters gives the vectors it gives without.
"""

import tensorflow as tf
import tf_keras

ADAPTERS = ("lora", "bottleneck")

_SHARE_OF_SIDE = 16


def _first():
    # One seed for all: the matrix that follows is zero, so this one decides nothing before training.
    return tf_keras.initializers.HeNormal(seed=0)


def limited_rank(rank: int, inputs: int, outputs: int) -> int:
    """The rank that a matrix gets: at most a sixteenth of its smaller side, beyond which the change is no small one."""
    return max(1, min(rank, min(inputs, outputs) // _SHARE_OF_SIDE))


class _LowRankChange:
    """What a layer that multiplies by a matrix needs to learn a low-rank change of it.

    The layer's own class says how it multiplies, `_product`.
    """

    def _add_change(self, inputs: int, outputs: int, places: tuple[int, ...] = ()) -> None:
        """Adds the two matrices; `places` are the sides of a kernel that holds such a matrix at every place."""
        rank = limited_rank(self.lora_rank, inputs, outputs)
        self.lora_down = self.add_weight("lora_down", (*places, inputs, rank), initializer=_first())
        self.lora_up = self.add_weight("lora_up", (*places, rank, outputs), initializer="zeros")

    def call(self, inputs):
        outputs = self._product(inputs, self.kernel)
        if self.has_change:
            outputs += self._product(self._product(inputs, self.lora_down), self.lora_up)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def get_config(self):
        return {**super().get_config(), "lora_rank": self.lora_rank}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class LoraDense(_LowRankChange, tf_keras.layers.Dense):
    """A dense layer that can learn a low-rank change of its matrix, which alone is trained.

        y = activation(x (W + A B) + b),   A [inputs, rank],   B [rank, units], zeros at first

    Args:
        units: int. Width of the output.
        lora_rank: int. Of the change, see `limited_rank`; 0, the default, for none: a dense layer.
        **kwargs: of `tf_keras.layers.Dense`.

    Call arguments:
        inputs: `[..., inputs]`.

    Returns:
        `[..., units]`.

    Reference: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (2021)
    """

    def __init__(self, units: int, lora_rank: int = 0, **kwargs):
        super().__init__(units, **kwargs)
        self.lora_rank = lora_rank

    @property
    def has_change(self) -> bool:
        return self.lora_rank > 0

    def build(self, input_shape):
        super().build(input_shape)
        if self.has_change:
            self._add_change(int(input_shape[-1]), self.units)

    def _product(self, inputs, matrix):
        return tf.tensordot(inputs, matrix, 1)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class LoraConv2D(_LowRankChange, tf_keras.layers.Conv2D):
    """A convolution that, where its kernel is 1 by 1 and so a matrix over the channels, can learn a low-rank change.

    Larger kernels take no change: `lora_rank` has no effect on them.

    Args:
        filters, kernel_size: of `tf_keras.layers.Conv2D`, as `**kwargs`.
        lora_rank: int. Of the change, see `limited_rank`; 0, the default, for none.

    Call arguments:
        inputs: `[batch, height, width, channels]`.

    Returns:
        `[batch, height, width, filters]`.
    """

    def __init__(self, filters, kernel_size, lora_rank: int = 0, **kwargs):
        super().__init__(filters, kernel_size, **kwargs)
        self.lora_rank = lora_rank

    @property
    def has_change(self) -> bool:
        return self.lora_rank > 0 and self.kernel_size == (1, 1) and self.strides == (1, 1)

    def build(self, input_shape):
        super().build(input_shape)
        if self.has_change:
            self._add_change(int(input_shape[-1]), self.filters, places=(1, 1))

    def _product(self, inputs, matrix):
        return self.convolution_op(inputs, matrix)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class Bottleneck(tf_keras.layers.Layer):
    """A small network behind a block, which adds a change to what the block gives.

        y = x + gelu(x A + a) B + b,   B and b zeros at first

    Args:
        rank: int. Width of the layer in between.

    Call arguments:
        inputs: `[..., width]`.

    Returns:
        `[..., width]`.

    Reference: Houlsby et al., Parameter-Efficient Transfer Learning for NLP (2019)
    """

    def __init__(self, rank: int, **kwargs):
        super().__init__(**kwargs)
        self.rank = rank

    def build(self, input_shape):
        width = int(input_shape[-1])
        self.down = self.add_weight("bottleneck_down", (width, self.rank), initializer=_first())
        self.down_bias = self.add_weight("bottleneck_down_bias", (self.rank,), initializer="zeros")
        self.up = self.add_weight("bottleneck_up", (self.rank, width), initializer="zeros")
        self.up_bias = self.add_weight("bottleneck_up_bias", (width,), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs):
        low = tf.nn.gelu(tf.tensordot(inputs, self.down, 1) + self.down_bias)
        return inputs + tf.tensordot(low, self.up, 1) + self.up_bias

    def get_config(self):
        return {**super().get_config(), "rank": self.rank}


def is_adapter_weight(weight: tf.Variable) -> bool:
    """Whether a weight is one of those that the layers of this module add to a network."""
    name = weight.name.split("/")[-1]
    return name.startswith(("lora_", "bottleneck_"))


def own_weights(weights) -> list[tf.Variable]:
    """A network's weights without those of its adapters, in order."""
    return [weight for weight in weights if not is_adapter_weight(weight)]
