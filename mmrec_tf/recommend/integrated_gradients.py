"""Integrated gradients of a score over an item's modalities: the check on what leaving a modality out says."""

import numpy as np
import tensorflow as tf

from mmrec_tf.recommend.engine import RecommendationEngine


def integrated_gradients(engine: RecommendationEngine, user_id: str, item_id: str, steps: int = 32) -> dict[str, float]:
    """What each modality's vector adds to the score on the way from the average item to this one.

    Leaving a modality out asks what happens when it is gone, and may credit nobody for what two modalities both say.
    Integrated gradients share the whole difference out: along a straight path from a baseline x' to the item x,

        c_m = (x_m - x'_m) . integral from 0 to 1 of df/dx_m (x' + a (x - x')) da,   sum_m c_m = f(x) - f(x')

    The baseline is the catalogue's mean, which is 0 because vectors are centred; what is absent stays absent, id,
    categories, numbers and the user stay as they are. The integral is a Gauss-Legendre quadrature.

    Args:
        engine: the chain with its models in memory.
        user_id: str. A user who is not known is the average user.
        item_id: str. An item of the catalogue.
        steps: int. Points of the quadrature, all in one batch.

    Returns:
        Modality -> contribution, 0.0 where the item lacks it.

    Reference: Sundararajan et al., Axiomatic attribution for deep networks (ICML 2017).
    """
    points, shares = np.polynomial.legendre.leggauss(steps)
    # From [-1, 1] to the path's [0, 1].
    places = tf.constant((points + 1.0) / 2.0, tf.float32)[:, None]
    shares = tf.constant(shares / 2.0, tf.float32)
    users = tf.repeat(engine.user_index(tf.constant([user_id])), steps)
    items = tf.repeat(engine.item_index(tf.constant([item_id])), steps)
    own = {name: tf.gather(table, items) for name, table in engine.retrieval.items.lookup.tables["vectors"].items()}
    path = {name: places * vectors for name, vectors in own.items()}
    with tf.GradientTape() as tape:
        tape.watch(path)
        scores = engine.score(users, items, vectors=path)
    slopes = tape.gradient(scores, path, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return {
        name: float(tf.reduce_sum(shares * tf.reduce_sum(slopes[name] * own[name], axis=1))) for name in sorted(path)
    }
