"""Distillation: by hand against SciPy, from a run on disk, and towards the teacher's similarities."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax
from scipy.stats import entropy

from mmrec_tf.config_pretraining import DistillationConfig
from mmrec_tf.errors import DataError, RunError
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.distillation import DistillationStage, distillation
from mmrec_tf.pretraining.fitting import fit_stage
from mmrec_tf.pretraining.teacher import Teacher
from mmrec_tf.run import Run
from tests import tiny_world
from tests.pretraining.worlds import world

INDEX = np.array([1, 2, 3, 5, 8], np.int32)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def teacher_vectors(count=len(INDEX), dim=6, seed=0):
    return unit(np.random.default_rng(seed).normal(size=[count, dim])).astype(np.float32)


def test_loss_by_hand():
    model = tiny_world.calm_two_tower()
    stage = DistillationStage(model, dim=6, temperature=0.2, match=0.7)
    taught = teacher_vectors()
    values = stage({"item_index": tf.constant(INDEX), "teacher": tf.constant(3.0 * taught)})
    learned = model.embed_candidate(tf.constant(INDEX)).numpy()[:, : tiny_world.DIM]
    others = ~np.eye(len(INDEX), dtype=bool)
    given, found = ((vectors @ vectors.T) / 0.2 for vectors in (taught, learned))
    divergence = np.mean([entropy(softmax(p[o]), softmax(q[o])) for p, q, o in zip(given, found, others)])
    projected = unit(learned @ stage.project.kernel.numpy())
    distance = np.mean(1.0 - np.sum(projected * taught, axis=1))
    assert float(values["divergence"]) == pytest.approx(divergence, rel=1e-4)
    assert float(values["distance"]) == pytest.approx(distance, rel=1e-5)
    assert float(values["loss"]) == pytest.approx(divergence + 0.7 * distance, rel=1e-4)


def test_a_student_that_is_the_teacher_has_nothing_to_learn():
    model = tiny_world.calm_two_tower()
    own = model.embed_candidate(tf.constant(INDEX)).numpy()[:, : tiny_world.DIM]
    stage = DistillationStage(model, dim=own.shape[1])
    batch = {"item_index": tf.constant(INDEX), "teacher": tf.constant(own)}
    stage(batch)
    stage.project.kernel.assign(np.eye(own.shape[1]))
    assert float(stage(batch)["loss"]) == pytest.approx(0.0, abs=1e-5)


def test_only_the_item_tower_learns():
    model = tiny_world.calm_two_tower()
    stage = DistillationStage(model, dim=6)
    stage({"item_index": tf.constant(INDEX), "teacher": tf.constant(teacher_vectors())})
    trained = {id(variable) for variable in stage.trainable_variables}
    assert {id(variable) for variable in model.candidate_tower.trainable_variables} <= trained
    assert not {id(variable) for variable in model.query_tower.trainable_variables} & trained


@pytest.mark.parametrize("index", [[4], [4, 4, 4]])
def test_of_one_item_alone_only_its_place_is_taught(index):
    model = tiny_world.calm_two_tower()
    stage = DistillationStage(model, dim=6)
    batch = {"item_index": tf.constant(index), "teacher": tf.constant(np.repeat(teacher_vectors(1), len(index), 0))}
    with tf.GradientTape() as tape:
        values = stage(batch)
    assert float(values["divergence"]) == 0.0 and float(values["loss"]) == float(values["distance"])
    gradients = [g for g in tape.gradient(values["loss"], stage.trainable_variables) if g is not None]
    assert all(np.isfinite(tf.convert_to_tensor(gradient).numpy()).all() for gradient in gradients)


def test_teacher_vectors_of_zeros_are_finite():
    stage = DistillationStage(tiny_world.calm_two_tower(), dim=6)
    batch = {"item_index": tf.constant(INDEX), "teacher": tf.zeros([len(INDEX), 6])}
    assert np.isfinite(float(stage(batch)["loss"]))


@pytest.mark.slow
def test_similarities_come_near_the_teachers():
    model = tiny_world.calm_two_tower()
    index = np.arange(1, tiny_world.ITEMS + 1, dtype=np.int32)
    # The teacher finds the items of a group alike, which the text tells but nobody has bought.
    groups = np.eye(4)[np.arange(tiny_world.ITEMS) % 4]
    taught = unit(groups + 0.2 * np.random.default_rng(0).normal(size=groups.shape)).astype(np.float32)

    def agreement():
        learned = model.embed_candidate(tf.constant(index)).numpy()[:, : tiny_world.DIM]
        pairs = np.triu_indices(len(index), k=1)
        return np.corrcoef((learned @ learned.T)[pairs], (taught @ taught.T)[pairs])[0, 1]

    before = agreement()
    options = DistillationConfig(teacher="nowhere", epochs=60, learning_rate=0.02)
    stage = DistillationStage(model, taught.shape[1])
    fit_stage(stage, Batches({"item_index": index, "teacher": taught}, 15, 0), options, sources=[], seed=0)
    after = agreement()
    assert before < 0.5 and after > 0.8, (before, after)


def written_run(folder, **retrieval):
    """What a teacher is read from, without the training."""
    model, prepared = world(folder, retrieval=retrieval)
    run = Run(folder / "run")
    run.folder.mkdir(parents=True)
    run.save_config(prepared.config)
    run.save_tables(prepared)
    run.save_models(model, None)
    return run.folder, model


def test_a_teacher_is_read_from_a_finished_run(tmp_path):
    folder, model = written_run(tmp_path, dim=6)
    teacher = Teacher.read(folder)
    assert teacher.ids == [f"i{row}" for row in range(tiny_world.ITEMS)]
    expected = model.embed_candidate(tf.range(1, tiny_world.ITEMS + 1)).numpy()[:, : model.dim]
    np.testing.assert_allclose(teacher.vectors, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(teacher.vectors, axis=1), 1.0, atol=1e-5)


def test_items_are_found_by_id_in_whatever_order():
    teacher = Teacher(["a", "b", "c"], np.float32([[1, 0], [0, 1], [1, 1]]))
    vectors, known = teacher.rows_of(["c", "x", "a"])
    assert vectors.tolist() == [[1, 1], [0, 0], [1, 0]] and known.tolist() == [True, False, True]


def test_the_stage_of_a_configuration_teaches_the_items_both_know(tmp_path):
    folder, teacher = written_run(tmp_path, dim=6)
    model, prepared = world(tmp_path / "light")
    prepared.items.ids[3] = "new"
    stage, batches, sources = distillation(model, prepared, DistillationConfig(teacher=folder, batch_size=8), seed=1)
    assert batches.arrays["item_index"].tolist() == [row for row in range(1, 31) if row != 4]
    expected = teacher.embed_candidate(tf.constant([5])).numpy()[0, : teacher.dim]
    np.testing.assert_allclose(batches.arrays["teacher"][3], expected, atol=1e-6)
    # Another teacher is another stage.
    assert any(array is batches.arrays["teacher"] for array in sources)
    prepared.items.ids[:] = [f"x{row}" for row in range(30)]
    with pytest.raises(DataError, match="knows none of the 30 items"):
        distillation(model, prepared, DistillationConfig(teacher=folder), seed=1)


def test_a_teacher_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="is no finished run.*Train the teacher first"):
        Teacher.read(tmp_path)
