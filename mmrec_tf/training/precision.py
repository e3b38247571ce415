"""Half the precision while a model is fitted, on weights that stay what they are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tf_keras


@contextmanager
def layers_in(policy: str) -> Iterator[None]:
    """Layers that are made in the block follow a dtype policy; what the process went by before holds again after it.

    Args:
        policy: str. `mixed_bfloat16` or `mixed_float16`; `float32` leaves what the process goes by as it is.
    """
    if policy == "float32":
        yield
        return
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy(before)


def twin_in(policy: str, model: tf_keras.Model, build: Callable[[], tf_keras.Model]) -> tf_keras.Model:
    """The same model once more with the same weights, to be fitted in another precision; itself for `float32`.

    A layer's policy is fixed when it is made, so that a model that is to be served in float32 is not fitted in another
    precision itself: its twin is, and hands its weights back with `model.set_weights(twin.get_weights())`. Both keep
    them in float32. Of float16, Keras wraps the optimizer in one that scales the loss; see `LossScaledModel`.

    Args:
        policy: str. As for `layers_in`.
        model: the model, with all of its weights.
        build: makes a model like it.
    """
    if policy == "float32":
        return model
    with layers_in(policy):
        twin = build()
    twin.set_weights(model.get_weights())
    return twin
