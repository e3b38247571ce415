"""Sums of losses over many rows, each of which looks at a wide row of scores, worked out block by block."""

import functools
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from mmrec_tf.models.row_sums import is_on_plain_cpu

_SCORES = {"core": 2**20, "CPU": 2**22, "other": 2**26}
"""Scores of a block: those of one core, or of all of a CPU's, stay in their cache, those of an accelerator fill it."""


def block_of(batch: int | None, negatives: int | None) -> int | None:
    """How many rows of scores to work out at a time; None for all of them at once, or where their number is not known.

    Args:
        batch: int. Rows.
        negatives: int. Scores in each.
    """
    is_cpu = {device.device_type for device in tf.config.list_logical_devices()} == {"CPU"}
    most = _SCORES["core" if is_on_plain_cpu() else "CPU" if is_cpu else "other"]
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
    few operations of the dozen, although the step around it is not, and each core runs a loop of its own: operations
    whose rows are shared among threads lose time to fetching what another core has just written.

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
    # Eagerly each call would compile anew.
    is_compiled = is_on_plain_cpu() and not tf.executing_eagerly() and _can_compile()
    parts = min(_cores(), -(-batch // block)) if is_compiled else 1
    count = -(-batch // (parts * block))
    size = -(-batch // (parts * count))
    leaves = tf.nest.flatten(rows) + tf.nest.flatten(shared)
    of_rows = len(tf.nest.flatten(rows))
    moving = [place for place, leaf in enumerate(leaves) if leaf.dtype.is_floating]

    def in_parts(leaf):
        missing = [[0, parts * count * size - batch]] + [[0, 0]] * (leaf.shape.rank - 1)
        return tf.unstack(tf.reshape(tf.pad(leaf, missing), [parts, count, size, *leaf.shape[1:]]))

    def of_part(leaves, weights):
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
        return value, [sofar.stack() if place < of_rows else sofar for place, sofar in zip(moving, found)]

    if is_compiled:
        of_part = tf.function(of_part, jit_compile=True)

    def value_and_gradients(leaves):
        cut = [in_parts(leaf) if place < of_rows else [leaf] * parts for place, leaf in enumerate(leaves)]
        values, found = zip(*(of_part(list(mine), own) for *mine, own in zip(*cut, in_parts(weights))))
        gradients = [
            tf.reshape(tf.concat(of_parts, axis=0), [-1, *leaves[place].shape[1:]])[:batch]
            if place < of_rows
            else tf.add_n(of_parts)
            for place, of_parts in zip(moving, zip(*found))
        ]
        return tf.add_n(values), gradients

    @tf.custom_gradient
    def total(*given):
        known = list(leaves)
        for place, leaf in zip(moving, given):
            known[place] = leaf
        value, gradients = value_and_gradients(known)
        return value, lambda upstream: [upstream * gradient for gradient in gradients]

    return total(*(leaves[place] for place in moving))


def _cores() -> int:
    """Of this machine, those that the process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _can_compile() -> bool:
    """Whether this TensorFlow was built with XLA."""
    with tf.init_scope():
        try:
            tf.function(lambda: tf.zeros([2]) + 1.0, jit_compile=True)()
        except tf.errors.OpError:
            return False
    return True
