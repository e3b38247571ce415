"""A layer that several tasks share without having to agree: experts, and a gate for each task."""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from mmrec_tf._keras import weight_name


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class MultiGateExperts(tf_keras.layers.Layer):
    """Mixes experts, for each task in proportions of its own that depend on the input.

    Tasks that share one hidden layer pull it to and fro where they disagree. Here they share several, and each task
    learns which of them to listen to:

        f_e(x) = gelu(x K_e + b_e),   g_t(x) = softmax(x W_t),   y_t(x) = sum_e g_t(x)_e f_e(x)

    The experts are worked out in one batched product; the gates' softmax is in float32.

    Args:
        experts: int. How many there are.
        units: int. Width of each.
        tasks: list of str. Names of the tasks.

    Call arguments:
        inputs: `[batch, width]` float tensor.
        tasks: names of the tasks that are asked for; all by default.

    Returns:
        dict of task -> `[batch, units]` float tensor.

    Reference: Ma et al., Modeling task relationships in multi-task learning with multi-gate mixture-of-experts
    (KDD 2018).
    """

    def __init__(self, experts: int, units: int, tasks: Sequence[str], **kwargs):
        super().__init__(**kwargs)
        self.experts = experts
        self.units = units
        self.tasks = list(tasks)

    def build(self, input_shape):
        width = input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=[self.experts, width, self.units], initializer=each_as_a_dense_layer
        )
        self.bias = self.add_weight(name="bias", shape=[self.experts, self.units], initializer="zeros")
        self.gates = {
            task: self.add_weight(
                name=f"gate_{weight_name(task)}", shape=[width, self.experts], initializer="glorot_uniform"
            )
            for task in self.tasks
        }
        super().build(input_shape)

    def call(self, inputs, tasks=None):
        outputs = tf_keras.activations.gelu(of_experts(inputs, self.kernel, self.bias))
        tasks = self.tasks if tasks is None else list(tasks)
        logits = tf.matmul(inputs, tf.concat([self.gates[task] for task in tasks], axis=1))
        shares = gate_softmax(tf.reshape(logits, [-1, len(tasks), self.experts]))
        return dict(zip(tasks, tf.unstack(tf.matmul(shares, outputs), axis=1)))

    def get_config(self):
        return {**super().get_config(), "experts": self.experts, "units": self.units, "tasks": list(self.tasks)}


def each_as_a_dense_layer(shape, dtype=None, **_):
    """Initial weights `[experts, width, units]`, each expert's like those of a dense layer of its own."""
    # Glorot's initializer would take the experts for positions of a convolution and make all of them too small. One
    # initializer each, because one that is asked twice draws the same numbers twice.
    return tf.stack([tf_keras.initializers.GlorotUniform()(shape[1:], dtype) for _ in range(shape[0])])


def of_experts(inputs: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """`[rows, experts, units]` of `[rows, width]`: each expert's dense layer, all of them in one product."""
    experts, width, units = kernel.shape
    side_by_side = tf.reshape(tf.transpose(kernel, [1, 0, 2]), [width, experts * units])
    return tf.reshape(tf.matmul(inputs, side_by_side), [-1, experts, units]) + bias


def gate_softmax(logits: tf.Tensor) -> tf.Tensor:
    """Shares of the last axis, worked out in float32 whatever the policy."""
    return tf.cast(tf.nn.softmax(tf.cast(logits, tf.float32), axis=-1), logits.dtype)
