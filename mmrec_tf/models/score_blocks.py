"""Sums of losses over many rows, each of which looks at a wide row of scores, worked out block by block."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from mmrec_tf.models.row_sums import is_on_plain_cpu

_SCORES = {"CPU": 2**22, "other": 2**26}
"""Scores of a block: those of a CPU stay in its cache, those of an accelerator fill it."""


def block_of(batch: int | None, negatives: int | None) -> int | None:
    """How many rows of scores to work out at a time; None for all of them at once, or where their number is not known.

    Args:
        batch: int. Rows.
        negatives: int. Scores in each.
    """
    devices = {device.device_type for device in tf.config.list_logical_devices()}
    most = _SCORES["CPU" if devices == {"CPU"} else "other"]
    if batch is None or negatives is None or batch * negatives <= most:
        return None
    return max(most // negatives, 1)


def sum_in_blocks(
    losses: Callable[[Any, Any], tf.Tensor], rows: Any, shared: Any, weights: tf.Tensor, block: int
) -> tf.Tensor:
    """The weighted sum of row-wise losses, without ever holding the scores of all rows.

    A step over thousands of rows of thousands of scores is bound by memory: each of a dozen operations writes and reads
    all scores, forward and backward. Here a block of rows is taken from its scores to its gradients before the next one
    is begun, and what is kept is the gradients' sum. Within `on_plain_cpu` the loop is compiled with XLA, which makes
    few operations of the dozen, although the step around it is not.

    Args:
        losses: gives the `[some]` losses of some rows, of which nothing but their own rows and what is shared is told.
            It may close over tensors that need no gradient, and reads no variables.
        rows: nest of tensors with a first dimension of `batch`, known when traced.
        shared: nest of tensors.
        weights: `[batch]` float32. They get no gradient.
        block: int. Rows at a time.

    Returns:
        float32 scalar. It can be differentiated once, by the float tensors among `rows` and `shared`.
    """
    batch = weights.shape[0]
    count = -(-batch // block)
    size = -(-batch // count)
    leaves = tf.nest.flatten(rows) + tf.nest.flatten(shared)
    of_rows = len(tf.nest.flatten(rows))
    moving = [place for place, leaf in enumerate(leaves) if leaf.dtype.is_floating]

    def in_blocks(leaf):
        missing = [[0, count * size - batch]] + [[0, 0]] * (leaf.shape.rank - 1)
        return tf.reshape(tf.pad(leaf, missing), [count, size, *leaf.shape[1:]])

    def value_and_gradients(leaves, weights):
        leaves = [in_blocks(leaf) if place < of_rows else leaf for place, leaf in enumerate(leaves)]
        weights = in_blocks(weights)

        def add_block(step, value, found):
            taken = [leaf[step] if place < of_rows else leaf for place, leaf in enumerate(leaves)]
            watched = [taken[place] for place in moving]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(watched)
                own = tf.nest.pack_sequence_as(rows, taken[:of_rows])
                of_block = losses(own, tf.nest.pack_sequence_as(shared, taken[of_rows:]))
                part = tf.reduce_sum(weights[step] * of_block)
            gradients = tape.gradient(part, watched, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            found = [
                sofar.write(step, gradient) if place < of_rows else sofar + gradient
                for place, sofar, gradient in zip(moving, found, gradients)
            ]
            return step + 1, value + part, found

        start = [
            tf.TensorArray(tf.float32, count, element_shape=leaves[place].shape[1:])
            if place < of_rows
            else tf.zeros_like(leaves[place])
            for place in moving
        ]
        _, value, found = tf.while_loop(
            lambda step, *_: step < count, add_block, (0, 0.0, start), maximum_iterations=count
        )
        gradients = [
            tf.reshape(sofar.stack(), [count * size, *leaves[place].shape[2:]])[:batch] if place < of_rows else sofar
            for place, sofar in zip(moving, found)
        ]
        return value, gradients

    # Eagerly each call would compile anew.
    if is_on_plain_cpu() and not tf.executing_eagerly() and _can_compile():
        value_and_gradients = tf.function(value_and_gradients, jit_compile=True)

    @tf.custom_gradient
    def total(*given):
        known = list(leaves)
        for place, leaf in zip(moving, given):
            known[place] = leaf
        value, gradients = value_and_gradients(known, weights)
        return value, lambda upstream: [upstream * gradient for gradient in gradients]

    return total(*(leaves[place] for place in moving))


@functools.cache
def _can_compile() -> bool:
    """Whether this TensorFlow was built with XLA."""
    with tf.init_scope():
        try:
            tf.function(lambda: tf.zeros([2]) + 1.0, jit_compile=True)()
        except tf.errors.OpError:
            return False
    return True
