"""TensorFlow Recommenders' tasks under mixed precision."""

from collections.abc import Iterator
from contextlib import contextmanager

import tf_keras


@contextmanager
def float32_tasks() -> Iterator[None]:
    """Keeps the tasks that are made or called in the block in float32, whatever the global policy.

    The tasks take no dtype: under a mixed policy they cast their first argument and the layers that they make inside
    `call`, and then fail on (or lose digits to) the mixture.

    Example:

        >>> with float32_tasks():
        ...     task = tfrs.tasks.Retrieval()
    """
    policy = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy("float32")
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy(policy)
