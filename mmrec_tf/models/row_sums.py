"""Sums of a table's rows by group, as means of histories need them: without gathering the rows where that can be."""

import contextlib
import contextvars

import tensorflow as tf

_IS_PLAIN = contextvars.ContextVar("is_plain", default=False)


@contextlib.contextmanager
def on_plain_cpu(is_plain: bool = True):
    """Lets `row_sums` use what XLA does not compile and GPUs are not deterministic in, where there is no accelerator.

    Args:
        is_plain: bool. Whether what is traced within is left uncompiled. Defaults to True.
    """
    devices = {device.device_type for device in tf.config.list_logical_devices()}
    token = _IS_PLAIN.set(is_plain and devices == {"CPU"})
    try:
        yield
    finally:
        _IS_PLAIN.reset(token)


def is_on_plain_cpu() -> bool:
    """Whether what is traced now stands within `on_plain_cpu`, where there is no accelerator."""
    return _IS_PLAIN.get()


def row_sums(table: tf.Tensor, index: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    """The sum of the rows that each group names.

    A batch of histories names a table's rows many times over, and to gather them all, forward and backward, is what a
    step of a ranker would spend most of its time on. Within `on_plain_cpu` they are added up where they stand.
    Elsewhere the rows of a small table are counted, and one product adds them up.

    Args:
        table: `[rows, columns]` float tensor.
        index: `[batch, length]` int32.
        present: `[batch, length]` bool; the others are left out.

    Returns:
        `[batch, columns]`.
    """
    if is_on_plain_cpu() and table.dtype == tf.float32:
        places = tf.where(present)
        groups = index.shape[0] or tf.shape(index)[0]
        # One group more, of the first row, so that never none is named: of no rows the kernel of the gradient gives
        # memory as it found it (TensorFlow 2.16).
        rows = tf.concat([tf.gather_nd(index, places), [0]], axis=0)
        group_of = tf.concat([places[:, 0], [tf.cast(groups, tf.int64)]], axis=0)
        sums = tf.sparse.segment_sum(table, rows, group_of, num_segments=groups + 1)
        return tf.slice(sums, [0, 0], [groups, -1])
    present = tf.cast(present, table.dtype)
    rows, columns = table.shape
    if rows <= 2 * columns:
        counts = tf.reduce_sum(tf.one_hot(index, rows, dtype=table.dtype) * present[..., None], axis=1)
        return tf.matmul(counts, table)
    return tf.matmul(present[:, None, :], tf.gather(table, index))[:, 0]
