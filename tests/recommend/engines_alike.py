"""Whether an engine with an index answers as one that searches exactly."""

import numpy as np
import tensorflow as tf

USERS = tf.constant([*(f"u{row}" for row in range(20)), "nobody"])


def assert_alike(engine, plain, removed: list[str]) -> None:
    """Every call gives the same lists, none of them with a removed item, and the same embeddings."""
    k = tf.constant(4)
    calls = (
        lambda it: it.recommend(USERS, k),
        lambda it: it.recommend(USERS, tf.constant(50)),
        lambda it: it.recommend(USERS, k, tf.constant([["i29", "i1", ""]] * 21), tf.constant([["i2", "i5"]] * 21)),
        lambda it: it.recommend_weighted(USERS, k, tf.constant([["text"]] * 21), tf.constant([[2.0]] * 21)),
        lambda it: it.retrieve_ids(USERS, k),
        lambda it: it.similar_items(tf.constant(["i1", "i3", "nothing", "i29"]), k),
    )
    for place, call in enumerate(calls):
        found, wanted = call(engine), call(plain)
        scores = wanted[1].numpy()
        np.testing.assert_allclose(found[1], scores, atol=1e-5)
        # Of items with equal scores at the end of a list any may be in it.
        is_sure = scores > scores[:, -1:]
        assert found[0].numpy()[is_sure].tolist() == wanted[0].numpy()[is_sure].tolist(), place
        assert not set(removed) & {name.decode() for name in found[0].numpy().ravel()}
    items = tf.constant(["i4", "nothing", "i3"])
    np.testing.assert_array_equal(engine.embed_item(items), plain.embed_item(items))
