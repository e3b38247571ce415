"""Modality vectors pushed in the direction that hurts a loss the most."""

from collections.abc import Callable

import tensorflow as tf


def adversarial_vectors(
    vectors: dict[str, tf.Tensor], loss: Callable[[dict[str, tf.Tensor]], tf.Tensor], epsilon: float
) -> dict[str, tf.Tensor]:
    """The worst that can be done to an item's content within a small distance, to first order.

    A photo that is retouched, or a description that is stuffed with words, can lift an item in a recommender that
    trusts content. A model that is trained to give the same answer for the pushed vectors trusts it less blindly:

        x'_m = x_m + epsilon * g_m / |g_m|,   g_m = gradient of the loss to x_m

    Args:
        vectors: modality -> `[batch, width]`.
        loss: of vectors like these, a scalar.
        epsilon: float. Length of the push, row by row.

    Returns:
        The pushed vectors, through whose direction no gradient flows. A row on which the loss does not depend, such as
        that of an absent modality, stays as it is.

    Reference: Tang et al., Adversarial training towards robust multimedia recommender system (TKDE 2020).
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(vectors)
        value = loss(vectors)
    gradients = tape.gradient(value, vectors)
    return {
        name: vector + epsilon * tf.stop_gradient(tf.math.l2_normalize(gradients[name], axis=1, epsilon=1e-20))
        for name, vector in vectors.items()
    }
