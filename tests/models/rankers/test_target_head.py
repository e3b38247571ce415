"""One target of several: its tower, its units, its losses against NumPy, and the chance of two things at once."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, logit
from sklearn.metrics import log_loss

from mmrec_tf.models.rankers.target_head import TargetHead, TargetTower, joint_logits
from tests.layer_checks import check_layer

ROWS = np.random.default_rng(0).normal(size=[5, 3]).astype(np.float32)


def test_passes_the_layer_checks(tmp_path):
    (tmp_path / "tower").mkdir()
    (tmp_path / "head").mkdir()
    check_layer(
        lambda: TargetTower([4, 2], dropout=0.0), ROWS, tmp_path / "tower", expected_shape=(5,), has_float32_output=True
    )
    head = {"expected_shape": (5, 3), "is_trainable": False, "has_float32_output": True}
    check_layer(lambda: TargetHead("rating", "huber"), ROWS, tmp_path / "head", **head)


def test_tower_by_hand():
    tower = TargetTower([2])
    tower(np.zeros([1, 2], np.float32))
    tower.layers[0].set_weights([np.array([[1.0, -1.0], [2.0, 0.0]]), np.array([0.5, 0.0])])
    tower.score.set_weights([np.array([[2.0], [10.0]]), np.array([0.25])])
    # (1 + 6 + 0.5, -1) -> relu (7.5, 0) -> 15 + 0.25
    assert tower(np.array([[1.0, 3.0]], np.float32)).numpy().tolist() == [15.25]
    # Without hidden layers it is linear.
    assert len(TargetTower([]).layers) == 0


def test_numbers_are_judged_in_units_of_their_spread():
    head = TargetHead("rating")
    head.start_from(mean=3.0, spread=2.0)
    raw = head(np.float32([0.0, 1.0, -0.5, 9.0]))
    assert raw.numpy().tolist() == [3.0, 5.0, 2.0, 21.0]
    label, weight = np.float32([3.0, 1.0, 4.0, 0.0]), np.float32([1.0, 1.0, 1.0, 0.0])
    # Distances of 0, 4 and 2 in units of 2; the last is not known.
    assert float(head.loss(raw, label, weight)) == pytest.approx((0.0 + 4.0 + 1.0) / 3)
    huber = TargetHead("rating", "huber")
    huber.start_from(mean=3.0, spread=2.0)
    assert float(huber.loss(raw, label, weight)) == pytest.approx((0.0 + 1.5 + 0.5) / 3)
    assert head.predictions(raw) is raw


def test_what_happens_starts_from_how_often_it_does():
    head = TargetHead("click")
    head.start_from(mean=0.2, spread=0.4)
    np.testing.assert_allclose(head.predictions(head(np.float32([0.0]))), [0.2], rtol=1e-6)
    raw = head(np.float32([[0.5, -1.0], [2.0, 0.0]]))
    label, weight = np.float32([[1, 0], [0, 1]]), np.float32([[1, 1], [0, 0.5]])
    shown = np.float64([0.5, -1.0, 0.0]) + logit(0.2)
    expected = log_loss([1, 0, 1], expit(shown), sample_weight=[1, 1, 0.5])
    assert float(head.loss(raw, label, weight)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("head", [TargetHead("click"), TargetHead("rating", "mse"), TargetHead("rating", "huber")])
def test_nothing_known_is_no_loss_and_no_gradient(head):
    raw = tf.Variable([0.3, 80.0])
    with tf.GradientTape() as tape:
        loss = head.loss(head(raw), tf.zeros([2]), tf.zeros([2]))
    assert float(loss) == 0.0
    np.testing.assert_array_equal(tape.gradient(loss, raw), [0.0, 0.0])


def test_joint_logits_are_those_of_the_product():
    one, other = (values.ravel() for values in np.meshgrid([-9.0, -1.0, 0.0, 2.0, 8.0], [-7.0, 0.0, 0.5, 9.0]))
    found = joint_logits(tf.constant(one, tf.float32), tf.constant(other, tf.float32))
    np.testing.assert_allclose(found, logit(expit(one) * expit(other)), rtol=1e-5, atol=1e-5)
    # The chance of 1e-87 is 0 in float32; its logit is log p. And two that are certain leave 2 e^-40.
    assert float(joint_logits(tf.constant(-100.0), tf.constant(-100.0))) == pytest.approx(-200.0)
    assert float(joint_logits(tf.constant(40.0), tf.constant(40.0))) == pytest.approx(40.0 - np.log(2.0), rel=1e-6)


@pytest.mark.parametrize(
    ("given", "message"), [({"kind": "buy"}, "allowed: click, rating"), ({"loss": "mse"}, "log_loss")]
)
def test_refuses_what_it_does_not_know(given, message):
    with pytest.raises(ValueError, match=message):
        TargetHead(**given)
