"""A model's method over any number of rows: judging a model takes the same few passes again and again."""

import weakref
from collections.abc import Callable

import numpy as np
import tensorflow as tf

_SHAPES = 8
_FUNCTIONS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def call_in_batches(method: Callable, *inputs, batch_size: int) -> np.ndarray | dict:
    """What a model's method gives for many rows, as a graph, some rows at a time.

    To trace a method takes longer than to run it over the users of a middling data set, and validation does so after
    every epoch. So the traces are kept as long as the model lives; and as a batch is filled up to one of at most eight
    numbers of rows, they stay few, and a row's result does not depend on what was asked before.

    Args:
        method: bound method of a Keras model, called with a batch of each input. What it does must depend on its inputs
            and the model's variables only.
        inputs: arrays, or dicts of arrays, `[rows, ...]`. Rows of zeros, which fill up, must be valid ones.
        batch_size: int. The most rows at a time.

    Returns:
        `[rows, ...]` array, or arrays in a dict as the method gives them.
    """
    rows = len(tf.nest.flatten(inputs)[0])
    call = _traced(method)
    parts = []
    for start in range(0, max(rows, 1), batch_size):
        stop = min(start + batch_size, rows)
        batch = tf.nest.map_structure(lambda array: _filled(array[start:stop], batch_size), inputs)
        # Asked for by shape: of calls that trace a few times on end TensorFlow warns as of a mistake.
        traced = call.get_concrete_function(*tf.nest.map_structure(tf.TensorSpec.from_tensor, batch))
        parts.append(tf.nest.map_structure(lambda rows: rows.numpy()[: stop - start], traced(*batch)))
    return tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


def _traced(method: Callable) -> Callable:
    model, name = method.__self__, method.__name__
    # Beside the model and not in it, where Keras would count it among what is saved and exported.
    functions = _FUNCTIONS.setdefault(model, {})
    if name not in functions:
        unbound, owner = method.__func__, weakref.ref(model)

        @tf.function
        def call(*inputs):
            return unbound(owner(), *inputs)

        functions[name] = call
    return functions[name]


def _filled(array: np.ndarray, batch_size: int) -> tf.Tensor:
    step = -(-batch_size // _SHAPES)
    size = min(max(-(-len(array) // step), 1) * step, batch_size)
    return tf.constant(np.pad(array, ((0, size - len(array)), *[(0, 0)] * (array.ndim - 1))))
