"""REINFORCE against its formula, against the gradient of the expected reward, and in a simulator with a known best."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.losses.reinforce_loss import ReinforceLoss
from mmrec_tf.losses.softmax_loss import SoftmaxLoss

ACTIONS = 6
# The log's favourite is action 0; the best is action 4, which was hardly ever shown, and the second action 2.
BEHAVIOUR = np.array([0.70, 0.10, 0.08, 0.06, 0.02, 0.04])
REWARDS = np.array([0.40, 0.10, 0.60, 0.20, 0.90, 0.30])


def expected_loss(loss, scores, **arguments):
    """The loss of a log in which action i was taken with its chance under BEHAVIOUR and brought its REWARDS."""
    others = ~np.eye(ACTIONS, dtype=bool)
    losses = loss(scores, tf.tile(scores[None], [ACTIONS, 1]), others, 0.0, **arguments)
    return tf.reduce_sum(losses * (BEHAVIOUR * REWARDS).astype(np.float32))


def learned(loss, steps=400, **arguments) -> np.ndarray:
    """The policy that free scores come to."""
    scores = tf.Variable(np.zeros(ACTIONS, np.float32))
    optimizer = tf_keras.optimizers.Adam(0.05)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = expected_loss(loss, scores, **arguments)
        optimizer.apply_gradients([(tape.gradient(value, scores), scores)])

    for _ in range(steps):
        step()
    return tf.nn.softmax(scores).numpy()


LOG_BEHAVIOUR = {"log_behaviour": np.log(BEHAVIOUR).astype(np.float32)}


@pytest.mark.parametrize(("top_k", "cap"), [(1, 100.0), (3, 100.0), (3, 1.5)])
def test_formula(top_k, cap):
    # pi of three actions with scores log 1, log 2, log 5: 1/8, 2/8, 5/8.
    scores, beta = np.log([1.0, 2.0, 5.0]).astype(np.float32), np.array([0.5, 0.4, 0.1])
    chances = np.array([1.0, 2.0, 5.0]) / 8.0
    found = ReinforceLoss(top_k=top_k, cap=cap)(
        scores, np.tile(scores, [3, 1]), ~np.eye(3, dtype=bool), 0.0, np.log(beta).astype(np.float32)
    )
    weight = np.minimum(chances / beta, cap)
    expected = -weight * top_k * (1.0 - chances) ** (top_k - 1) * np.log(chances)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_gradient_is_that_of_the_reward_the_model_can_expect():
    scores = tf.Variable(np.array([0.3, -0.2, 0.5, 0.0, 0.1, -1.0], np.float32))
    with tf.GradientTape() as tape:
        value = expected_loss(ReinforceLoss(top_k=1, cap=1e6), scores, **LOG_BEHAVIOUR)
    chances = np.exp(scores.numpy()) / np.exp(scores.numpy()).sum()
    # d/ds_j of sum_i pi_i r_i is pi_j (r_j - sum_i pi_i r_i).
    expected = chances * (REWARDS - chances @ REWARDS)
    np.testing.assert_allclose(-tape.gradient(value, scores).numpy(), expected, rtol=1e-4, atol=1e-6)


def test_corrected_finds_the_best_and_uncorrected_the_logs_favourite():
    corrected = learned(ReinforceLoss(top_k=1, cap=100.0), **LOG_BEHAVIOUR)
    assert corrected.argmax() == 4 and corrected[4] > 0.9
    # Imitation: its optimum is the log's rewarded share, 0.28 of 0.414 for the favourite.
    imitated = learned(SoftmaxLoss())
    np.testing.assert_allclose(imitated, BEHAVIOUR * REWARDS / (BEHAVIOUR @ REWARDS), atol=0.01)
    assert imitated.argmax() == learned(ReinforceLoss(top_k=1)).argmax() == 0


def test_with_two_places_the_two_best_share_the_policy():
    one, two = (learned(ReinforceLoss(top_k=k, cap=100.0), steps=1500, **LOG_BEHAVIOUR) for k in (1, 2))
    assert set(np.argsort(-two)[:2]) == {4, 2}
    # With k = 2 what is gained is the sum of r_i (1 - (1 - pi_i)^2), whose slopes 2 r_i (1 - pi_i) are the same, m, for
    # all that are chosen at all: pi_i = 1 - m / (2 r_i). Of rewards of 0.9, 0.6 and 0.4 these sum to 1 at
    # m / 2 = 2 / (1 / 0.9 + 1 / 0.6 + 1 / 0.4), and that of a reward of 0.3 would be below 0.
    half = 2.0 / (1 / 0.9 + 1 / 0.6 + 1 / 0.4)
    np.testing.assert_allclose(two[[4, 2, 0]], 1.0 - half / np.array([0.9, 0.6, 0.4]), atol=0.01)
    assert one[2] < 0.05


def test_a_low_cap_brings_the_logs_bias_back():
    # Where all are capped at c the loss is c times imitation's.
    capped = learned(ReinforceLoss(top_k=1, cap=1e-3), **LOG_BEHAVIOUR)
    np.testing.assert_allclose(capped, BEHAVIOUR * REWARDS / (BEHAVIOUR @ REWARDS), atol=0.01)


def test_an_unlikely_log_does_not_overflow():
    loss = ReinforceLoss(cap=20.0)
    found = loss(tf.constant([5.0]), tf.constant([[-5.0]]), [[True]], 0.0, tf.constant([-200.0]))
    assert np.isfinite(found.numpy()).all()
