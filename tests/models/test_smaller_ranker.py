"""Distillation and pruning of rankers: the loss against NumPy, what is learned without labels, and what stays 0."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from scipy.special import expit

from mmrec_tf.models.graded_ranker import GradedRanker
from mmrec_tf.models.smaller_ranker import DistilledRanker, PrunedRanker, dense_kernels
from tests import tiny_world
from tests.models.rankers.worlds import only_ids, pairs, randomized
from tests.models.test_graded_ranker import GRADES, graded_pairs


def train(model, inputs, steps, rate=0.02):
    model.compile(optimizer=tf_keras.optimizers.Adam(rate))
    step = tf.function(model.train_step)
    for _ in range(steps):
        step(inputs)


def test_loss_against_numpy():
    student, inputs = randomized(tiny_world.ranker(model="fm")), pairs(group=3)
    inputs["weight"] = tf.constant([[1.0, 0.0, 2.0]] * 6)
    taught = np.random.default_rng(1).normal(size=[6, 3]).astype(np.float32)
    model = DistilledRanker(student, lambda _: taught, temperature=3.0, weight=0.25)
    said = student(inputs).numpy().astype(np.float64)
    # Temperature^2 times the divergence of two coins, over the two pairs of each row that count.
    p, q = expit(taught / 3.0), expit(said / 3.0)
    divergence = 9.0 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    expected = 0.75 * float(student.compute_loss(inputs)) + 0.25 * divergence[:, [0, 2]].mean()
    assert float(model.compute_loss(inputs)) == pytest.approx(expected, rel=1e-4)


def test_the_labels_may_be_graded():
    ranker, inputs = randomized(tiny_world.ranker(hidden=[8])), graded_pairs()
    graded = GradedRanker(ranker, GRADES)
    labelled, taught = float(graded.compute_loss(inputs)), tf.ones([6, 3])
    assert labelled > 1.1 * float(ranker.compute_loss(inputs))
    distance = float(DistilledRanker(ranker, lambda _: taught, weight=1.0).compute_loss(inputs))
    student = DistilledRanker(ranker, lambda _: taught, weight=0.25, labelled=graded)
    assert float(student.compute_loss(inputs)) == pytest.approx(0.75 * labelled + 0.25 * distance, rel=1e-5)
    pruned = PrunedRanker(ranker, sparsity=0.0, labelled=graded)
    assert float(pruned.compute_loss(inputs)) == pytest.approx(labelled, rel=1e-5)
    # The ranker's weights once, and the thresholds between the grades.
    for model in (student, pruned):
        gaps = graded.likes.gaps.numpy()
        assert len(model.trainable_variables) == len(ranker.trainable_variables) + 1
        train(model, inputs, steps=1)
        assert np.any(graded.likes.gaps.numpy() != gaps)


def test_the_student_is_asked_once_a_step():
    student, inputs = randomized(tiny_world.ranker(model="fm")), pairs(group=3)
    answers = []
    interactions = student.interactions
    student.interactions = lambda *asked: answers.append(interactions(*asked)) or answers[-1]
    DistilledRanker(student, lambda _: tf.zeros([6, 3])).compute_loss(inputs, training=True)
    assert len(answers) == 1


def test_ratings_are_distilled_by_their_squares():
    student, inputs = randomized(tiny_world.ranker(model="fm", target="rating")), pairs(group=3)
    model = DistilledRanker(student, lambda _: tf.zeros([6, 3]), weight=1.0)
    expected = np.square(student(inputs).numpy()).mean()
    assert float(model.compute_loss(inputs)) == pytest.approx(expected, rel=1e-5)


def test_places_are_no_matter_of_the_teachers():
    student = randomized(only_ids("fm", 5, items=31, positions=3))
    student.position_bias.raw.assign([0.2, -0.1, 0.3])
    inputs = {**pairs(group=3), "user_index": tf.ones([6], tf.int32), "position": tf.constant([1, 2, 3, 3, 1, 0])}
    model = DistilledRanker(student, lambda given: student.target_scores(given)["click"], weight=1.0)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(inputs, training=True)
    assert float(loss) == pytest.approx(0.0, abs=1e-5)
    assert not np.any(tf.convert_to_tensor(tape.gradient(loss, student.position_bias.raw)))
    # Of the labels they are.
    model.weight = 0.0
    with tf.GradientTape() as tape:
        loss = model.compute_loss(inputs, training=True)
    assert np.all(tape.gradient(loss, student.position_bias.raw).numpy() != 0.0)


def test_the_student_comes_to_say_what_the_teacher_says_whatever_the_labels():
    teacher, student = randomized(tiny_world.ranker(model="deepfm", hidden=[32])), tiny_world.ranker(hidden=[8])
    inputs = pairs(group=4)
    before = [weight.copy() for weight in teacher.get_weights()]
    model = DistilledRanker(student, lambda given: teacher.target_scores(given)["click"], weight=1.0)
    assert {id(weight) for weight in model.trainable_variables} == {
        id(weight) for weight in student.trainable_variables
    }
    train(model, inputs, steps=120)
    taught, said = teacher(inputs).numpy(), student(inputs).numpy()
    assert np.corrcoef(taught.ravel(), said.ravel())[0, 1] > 0.98
    for weight, values in zip(teacher.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, values)


def test_the_smallest_weights_are_0_and_stay_there():
    ranker, inputs = randomized(tiny_world.ranker(model="deepfm", hidden=[16, 8])), pairs(group=4)
    before = [kernel.numpy() for kernel in dense_kernels(ranker)]
    assert len(before) > 3
    tables = [table.numpy() for table in ranker.users.weights]
    model = PrunedRanker(ranker, sparsity=0.75)
    zeros = []
    for kernel, values in zip(dense_kernels(ranker), before, strict=True):
        gone = kernel.numpy() == 0.0
        assert gone.sum() == round(0.75 * values.size)
        assert np.abs(values[gone]).max() <= np.abs(values[~gone]).min()
        zeros.append(gone)
    loss = float(model.compute_loss(inputs))
    train(model, inputs, steps=40)
    assert float(model.compute_loss(inputs)) < 0.7 * loss
    assert all((kernel.numpy()[gone] == 0.0).all() for kernel, gone in zip(dense_kernels(ranker), zeros))
    for table, values in zip(ranker.users.weights, tables):
        np.testing.assert_array_equal(table.numpy(), values)


def test_mistakes():
    ranker = tiny_world.ranker()
    with pytest.raises(ValueError, match="temperature must be above 0"):
        DistilledRanker(ranker, ranker.target_scores, temperature=0.0)
    with pytest.raises(ValueError, match="weight must lie in"):
        DistilledRanker(ranker, ranker.target_scores, weight=1.5)
    with pytest.raises(ValueError, match="sparsity must lie in"):
        PrunedRanker(ranker, sparsity=1.0)
    with pytest.raises(ValueError, match="FM has no dense layer to prune"):
        PrunedRanker(only_ids("fm"), sparsity=0.5)
