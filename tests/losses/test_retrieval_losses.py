"""Retrieval losses against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.errors import ConfigError
from mmrec_tf.losses.retrieval_losses import build_retrieval_loss
from mmrec_tf.losses.temperature import Temperature

POSITIVE = np.array([1.0, -0.5, 2.0], np.float32)
NEGATIVES = np.array([[0.5, -1.0, 2.0, 0.0], [1.5, 0.25, -2.0, 3.0], [0.0, 1.0, 1.0, -1.0]], np.float32)
COUNTED = np.array([[1, 1, 0, 1], [1, 1, 1, 1], [0, 0, 0, 1]], bool)
# How often each candidate is expected among the negatives.
EXPECTED = np.array([0.5, 2.0, 1.0, 0.25], np.float32)
ALL = ("softmax", "bpr", "binary", "hinge", "reinforce")


def judged(name, **settings) -> np.ndarray:
    loss = build_retrieval_loss(name, **settings)
    return loss(POSITIVE, NEGATIVES, COUNTED, np.log(EXPECTED)).numpy()


def mean_over_catalogue(values) -> np.ndarray:
    return np.array([np.average(v[c], weights=1 / EXPECTED[c]) for v, c in zip(values, COUNTED)])


def test_softmax():
    others = np.where(COUNTED, np.exp(NEGATIVES) / EXPECTED, 0.0).sum(axis=1)
    own = np.exp(POSITIVE)
    np.testing.assert_allclose(judged("softmax"), -np.log(own / (own + others)), rtol=1e-5)


def test_label_smoothing_asks_for_a_share_of_all_negatives():
    others = np.where(COUNTED, np.exp(NEGATIVES) / EXPECTED, 0.0).sum(axis=1)
    total = np.log(np.exp(POSITIVE) + others)
    # Cross-entropy with 0.9 on the positive and 0.1 spread over the negatives.
    expected = 0.9 * (total - POSITIVE) + 0.1 * (total - mean_over_catalogue(NEGATIVES))
    np.testing.assert_allclose(judged("softmax", smoothing=0.1), expected, rtol=1e-5)


def test_bpr():
    expected = mean_over_catalogue(np.log(1 + np.exp(NEGATIVES - POSITIVE[:, None])))
    np.testing.assert_allclose(judged("bpr"), expected, rtol=1e-5)


def test_hinge():
    expected = mean_over_catalogue(np.maximum(0, 0.5 + NEGATIVES - POSITIVE[:, None]))
    np.testing.assert_allclose(judged("hinge", margin=0.5), expected, rtol=1e-5)


@pytest.mark.parametrize(("calibration", "share", "beta"), [(0.0, 0.1, 1.0), (1.0, 0.1, 0.1), (0.5, 0.2, 0.6)])
def test_binary(calibration, share, beta):
    # beta = share (t (1 - 1/share) + 1/share): for t = 0.5 and share 0.2, 0.2 (0.5 * -4 + 5) = 0.6.
    refused = mean_over_catalogue(-np.log(1 - 1 / (1 + np.exp(-NEGATIVES))))
    expected = -beta * np.log(1 / (1 + np.exp(-POSITIVE))) + refused
    np.testing.assert_allclose(judged("binary", calibration=calibration, share=share), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_without_negatives_there_is_nothing_to_learn_from_them(name):
    loss = build_retrieval_loss(name)
    positive = tf.Variable(POSITIVE)
    with tf.GradientTape() as tape:
        losses = loss(positive, NEGATIVES, np.zeros([3, 4], bool), 0.0)
    gradient = tape.gradient(losses, positive).numpy()
    assert np.isfinite(losses.numpy()).all() and np.isfinite(gradient).all()
    if name != "binary":
        np.testing.assert_allclose(losses.numpy(), 0.0, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_compiles_and_gives_the_same_in_half_precision(name):
    loss = build_retrieval_loss(name)

    @tf.function(jit_compile=True)
    def compiled(positive, negatives):
        return loss(positive, negatives, tf.constant(COUNTED), tf.constant(np.log(EXPECTED)))

    np.testing.assert_allclose(compiled(POSITIVE, NEGATIVES).numpy(), judged(name), rtol=1e-5)
    # All scores here are exact in float16.
    half = compiled(tf.constant(POSITIVE, tf.float16), tf.constant(NEGATIVES, tf.float16))
    assert half.dtype == tf.float32
    np.testing.assert_allclose(half.numpy(), judged(name), rtol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_config_round_trip(name):
    loss = build_retrieval_loss(name)
    copy = tf_keras.saving.deserialize_keras_object(tf_keras.saving.serialize_keras_object(loss))
    assert type(copy) is type(loss) and copy.get_config() == loss.get_config()


def test_wrong_settings_are_named():
    with pytest.raises(
        ConfigError, match="loss.name 'sofmax' is unknown. .*softmax.* Allowed: softmax, bpr, binary, hinge, reinforce"
    ):
        build_retrieval_loss("sofmax")
    for name, settings in (
        ("softmax", {"smoothing": 1.0}),
        ("hinge", {"margin": 0.0}),
        ("binary", {"calibration": 2.0}),
        ("reinforce", {"top_k": 0}),
        ("reinforce", {"cap": 0.0}),
        ("binary", {"share": 0.0}),
    ):
        with pytest.raises(ValueError, match=f"{next(iter(settings))} must"):
            build_retrieval_loss(name, **settings)


def test_temperature_is_fixed_or_learned_within_limits():
    assert not Temperature(0.2).trainable_weights
    np.testing.assert_allclose(Temperature(0.2)([1.0, -3.0]).numpy(), [5.0, -15.0], rtol=1e-6)
    learned = Temperature(0.2, learned=True)
    with tf.GradientTape() as tape:
        scaled = learned(tf.constant(3.0))
    # d(s / e^l) / dl = -s / e^l.
    assert float(tape.gradient(scaled, learned.trainable_weights[0])) == pytest.approx(-15.0, rel=1e-5)
    learned.trainable_weights[0].assign(-9.0)
    assert float(learned.value) == pytest.approx(0.01, rel=1e-5)
    with pytest.raises(ValueError, match="must be above 0, got 0"):
        Temperature(0.0)
