"""Finds every user's best items: by our evaluator, and as FactorizedTopK of TensorFlow Recommenders does."""

import numpy as np
from processes import answer, clocks, quickest

BLOCK = 32_768
"""Items whose scores are worked out at a time where only they are; for 128 users, so that they stay in a cache."""


def rank(spec: dict) -> dict:
    """Seconds per user.

    Args:
        spec: dict with `users`, `items`, `dim`, `k`, `batch`, `seen` (items that each user has seen) and `method`:
            `ours`, `products` (of ours the scores alone), `streaming` (of batches of 128 items, as in the tutorial) or
            `brute_force`.
    """
    random = np.random.default_rng(0)
    queries, items = (random.normal(size=[spec[side], spec["dim"]]).astype(np.float32) for side in ("users", "items"))
    own = items[random.integers(0, spec["items"], spec["users"])]
    if spec["method"] == "ours":
        work = ours(spec, queries, items, random)
    elif spec["method"] == "products":
        work = products(queries, items)
    else:
        work = peers(spec, queries, items, own)
    # The first batch traces the graph.
    work(spec["batch"])
    moments = [clocks()]
    work(spec["users"])
    moments.append(clocks())
    return quickest(moments, spec["users"])


def ours(spec, queries, items, random):
    from scipy.sparse import csr_matrix

    from mmrec_tf.evaluation.evaluator import rank_by_embeddings

    count, seen = spec["users"], spec["seen"]
    columns = random.integers(0, spec["items"], count * seen)
    profiles = csr_matrix(
        (np.ones(count * seen, np.float32), (np.repeat(np.arange(count), seen), columns)), shape=(count, spec["items"])
    )
    return lambda users: rank_by_embeddings(queries[:users], items, profiles[:users], spec["k"])


def products(queries, items):
    """All scores, of which nothing is chosen: what no way of choosing can be quicker than."""
    import tensorflow as tf

    blocks = [tf.constant(items[start : start + BLOCK]) for start in range(0, len(items), BLOCK)]
    at_once = 128 * max(1, BLOCK // len(items))
    score = tf.function(lambda queries, block: tf.matmul(queries, block, transpose_b=True), reduce_retracing=True)

    def work(users):
        for start in range(0, users, at_once):
            asked = tf.constant(queries[start : min(start + at_once, users)])
            for block in blocks:
                score(asked, block)

    return work


def peers(spec, queries, items, own):
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    if spec["method"] == "streaming":
        candidates = tf.data.Dataset.from_tensor_slices(items).batch(128)
    else:
        candidates = tfrs.layers.factorized_top_k.BruteForce(k=spec["k"]).index(tf.constant(items))
    metric = tfrs.metrics.FactorizedTopK(candidates, ks=[spec["k"]])

    @tf.function(reduce_retracing=True)
    def update(queries, own):
        metric.update_state(queries, own)

    def work(users):
        for start in range(0, users, spec["batch"]):
            rows = slice(start, min(start + spec["batch"], users))
            update(tf.constant(queries[rows]), tf.constant(own[rows]))
        metric.result()[0].numpy()

    return work


if __name__ == "__main__":
    answer(rank)
