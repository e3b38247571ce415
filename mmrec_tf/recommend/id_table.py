"""Raw strings to table indices inside a graph."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def id_table(ids: Sequence[str], name: str) -> tf.lookup.experimental.MutableHashTable:
    """A table from each string to its place, counted from 1; 0 for all others.

    A mutable table is saved with the variables; a static one would put every id into the graph as a constant.

    Args:
        ids: distinct strings, in the order of their indices.
        name: str. Of the table.
    """
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int32, default_value=0, name=name)
    table.insert(tf.constant(ids, tf.string), tf.range(1, len(ids) + 1))
    return table


def looked_up(table: tf.lookup.experimental.MutableHashTable, ids: tf.Tensor) -> tf.Tensor:
    """Table indices of raw ids, in their shape; 0 for unknown ones."""
    return tf.ensure_shape(table.lookup(ids), ids.shape)


def string_variable(strings: Sequence[str], name: str) -> tf.Variable:
    """`[n]` strings as a variable that no one trains."""
    return tf.Variable(np.array(list(strings), dtype=object), trainable=False, name=name)
