"""The policy behind a log: counted, and learned where users differ."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.losses.behaviour_policy import BehaviourPolicy
from tests.layer_checks import check_layer

# What two kinds of users were shown: item 1 and 2 change places.
CHANCES = np.array([[0.6, 0.1, 0.3], [0.1, 0.6, 0.3]])
POOL = np.array([1, 2, 3], np.int32)


def log():
    """Every pair of a kind of user and an item, and its share of the log."""
    kinds, items = np.divmod(np.arange(6), 3)
    return np.eye(2, dtype=np.float32)[kinds], (items + 1).astype(np.int32), CHANCES.ravel() / 2.0


def test_layer(tmp_path):
    queries, items, _ = log()
    arguments = {"item_index": items, "pool": POOL, "counted": POOL != items[:, None], "log_expected": np.float32(0)}
    check_layer(
        lambda: _set(BehaviourPolicy(size=4, dim=2)),
        queries,
        tmp_path,
        call_arguments=arguments,
        expected_shape=((6,), ()),
        has_float32_output=True,
    )


def _set(policy):
    policy.set_probabilities(np.array([0.25, 0.5, 0.125, 0.125]))
    return policy


def test_counted_is_the_share_of_the_log():
    queries, items, _ = log()
    found, fitting = _set(BehaviourPolicy(size=4))(queries, items, POOL, POOL != items[:, None], 0.0)
    np.testing.assert_allclose(np.exp(found), [0.5, 0.125, 0.125] * 2, rtol=1e-6)
    assert float(fitting) == 0.0


def test_learned_comes_to_tell_users_apart_and_leaves_the_queries_alone():
    queries, items, shares = log()
    policy = _set(BehaviourPolicy(size=4, dim=2))
    counts = np.round(shares * 20).astype(int)
    rows = np.repeat(np.arange(6), counts)
    queries, items, asked = tf.Variable(queries[rows]), items[rows], tf.constant(log()[0])
    optimizer = tf_keras.optimizers.Adam(0.1)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            _, loss = policy(queries, items, POOL, POOL != items[:, None], 0.0)
        optimizer.apply_gradients([(tape.gradient(loss, policy.items), policy.items)])

    for _ in range(200):
        step()
    found, _ = policy(asked, log()[1], POOL, POOL != log()[1][:, None], 0.0)
    np.testing.assert_allclose(np.exp(found), CHANCES.ravel(), atol=0.01)
    with tf.GradientTape() as tape:
        _, loss = policy(queries, items, POOL, POOL != items[:, None], 0.0)
    assert tape.gradient(loss, queries) is None


def test_padding_is_no_example():
    queries, items, _ = log()
    policy = _set(BehaviourPolicy(size=4, dim=2))
    padded = np.concatenate([items, np.zeros(3, np.int32)])
    more = np.concatenate([queries, queries[:3]])
    one, other = (policy(q, i, POOL, POOL != i[:, None], 0.0)[1].numpy() for q, i in ((queries, items), (more, padded)))
    np.testing.assert_allclose(one, other, rtol=1e-6)
