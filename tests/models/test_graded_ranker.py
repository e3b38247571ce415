"""Likes learned by their grades: the loss, whose the weights are, and what grades are worth."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from scipy.stats import spearmanr

from mmrec_tf.data.grades import Grades
from mmrec_tf.models.graded_ranker import GradedRanker
from tests import tiny_world
from tests.models.rankers.worlds import pairs, randomized

STARS = np.random.default_rng(4).integers(1, 6, [6, 3]).astype(np.float32)
GRADES = Grades.fit(STARS.ravel(), STARS.ravel() >= 4)


def graded_pairs() -> dict[str, tf.Tensor]:
    inputs = pairs(group=3)
    inputs["label"] = tf.constant((STARS >= 4).astype(np.float32))
    inputs["grade"] = tf.constant(GRADES.of(STARS))
    return inputs


@pytest.mark.parametrize("name", ["fm", "deepfm", "shared_bottom"])
def test_the_loss_is_the_rankers_and_that_of_the_grades(name):
    ranker, inputs = randomized(tiny_world.ranker(model=name, embedding_l2=0.1)), graded_pairs()
    model = GradedRanker(ranker, GRADES, weight=0.5)
    graded = model.likes(ranker(inputs), inputs["grade"], inputs["weight"])
    expected = float(ranker.compute_loss(inputs, training=False)) + 0.5 * float(graded)
    assert float(model.compute_loss(inputs)) == pytest.approx(expected, rel=1e-5)


def test_the_ranker_keeps_its_weights_and_its_answers():
    ranker = tiny_world.ranker(model="fm")
    before = [weight.shape for weight in ranker.weights]
    model = GradedRanker(ranker, GRADES)
    assert [weight.shape for weight in ranker.weights] == before
    assert len(model.trainable_variables) == len(ranker.trainable_variables) + 1
    inputs = graded_pairs()
    np.testing.assert_array_equal(model(inputs), ranker(inputs))


def test_the_order_among_dislikes_is_learned_too():
    def learned(graded):
        ranker, inputs = tiny_world.ranker(model="fm", dim=8), graded_pairs()
        model = GradedRanker(ranker, GRADES) if graded else ranker
        model.compile(optimizer=tf_keras.optimizers.Adam(0.05))
        step = tf.function(model.train_step)
        for _ in range(60):
            step(inputs)
        said = ranker(inputs).numpy()
        disliked = STARS < 4
        return spearmanr(said[disliked], STARS[disliked])[0]

    assert learned(True) > 0.9
    assert learned(False) < 0.8
