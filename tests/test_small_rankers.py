"""Smaller rankers from prepared data: what a student may differ in, distilled and pruned."""

import numpy as np
import pytest

from mmrec_tf.errors import ConfigError
from mmrec_tf.models.graded_ranker import GradedRanker
from mmrec_tf.models.smaller_ranker import dense_kernels
from mmrec_tf.small_rankers import default_students, distil_ranker, prune_ranker, student_config
from mmrec_tf.stages import train_ranking
from tests import tiny_world

TRAIN = {"epochs": 1, "batch_size": 32, "ranking": {"epochs": 1, "batch_size": 32, "learning_rate": 0.02}}


@pytest.mark.slow
@pytest.mark.thorough
def test_a_student_and_a_pruned_copy_of_a_trained_ranker(tmp_path):
    ranking = {"hidden": [32, 16], "dim": 8, "members": 2}
    options = {"ranking": ranking, "train": TRAIN, "split": {"method": "leave_one_out"}}
    prepared, retrieval = tiny_world.prepared(tmp_path, **options), tiny_world.two_tower()
    teacher, _ = train_ranking(prepared, retrieval)
    before = [weight.copy() for weight in teacher.get_weights()]
    student = distil_ranker(prepared, retrieval, teacher, {"hidden": [6], "dim": 4, "members": 1})
    assert student.model.hidden == [6] and student.model.dim == 4 and student.model.target == "click"
    assert student.prepared.config.models.ranking.hidden == [6] and len(student.history["loss"]) == 1
    assert prepared.config.models.ranking.hidden == [32, 16]
    pruned = prune_ranker(prepared, retrieval, teacher, sparsity=0.5, epochs=1)
    assert pruned.prepared is prepared and len(pruned.model.members) == 2
    for weight, values in zip(teacher.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, values)
    for kernel, whole in zip(dense_kernels(pruned.model), dense_kernels(teacher), strict=True):
        assert np.count_nonzero(kernel) == whole.numpy().size - round(0.5 * whole.numpy().size)


@pytest.mark.parametrize(("of_teacher", "of_student"), [(None, False), (False, True)])
def test_neither_teacher_nor_student_looks_up_the_label_of_a_training_row(
    tmp_path, monkeypatch, of_teacher, of_student
):
    # Whoever knows target statistics is told them of each row, whatever the other's configuration says.
    ranking = {"negatives": 0, "hard_negatives": 0, "target_encoding": of_teacher}
    stars = np.arange(108) % 2 * 5.0
    prepared = tiny_world.prepared(tmp_path, stars, 4.0, ranking=ranking, train=TRAIN, split={"method": "random"})
    seen = []

    def train(smaller, retrieval, progress, wrap, examples):
        seen.append((smaller, examples))
        return wrap("learner"), {}

    monkeypatch.setattr("mmrec_tf.small_rankers.train_ranking", train)
    teacher = tiny_world.ranker()
    student = distil_ranker(prepared, None, teacher, {"target_encoding": of_student, "dim": 2}, weight=0.0)
    # Without a weight the student is trained as it is.
    assert student.model == "learner"
    (smaller, examples), *_ = seen
    assert smaller.config.models.ranking.encodes_targets is of_student
    batch = next(iter(examples.ranking_dataset(batch_size=8)))
    assert set(batch["statistics"]) == {"user", "item", "pair"}


@pytest.mark.parametrize(
    ("teacher", "student", "weight", "taught"),
    [
        ({}, {}, 0.5, True),
        ({}, {}, 0.0, True),
        # The labels are not asked, the student is not to learn grades, or the rows come without them.
        ({}, {}, 1.0, False),
        ({}, {"grades": False}, 0.5, False),
        ({"grades": False}, {"grades": True}, 0.5, False),
    ],
)
def test_students_and_pruned_copies_are_taught_grades(teacher, student, weight, taught, tmp_path, monkeypatch):
    ranking = {"negatives": 0, "hard_negatives": 0, "hidden": [8], **teacher}
    stars = 1.0 + np.arange(108) % 5
    prepared = tiny_world.prepared(tmp_path, stars, 4.0, ranking=ranking, train=TRAIN, split={"method": "random"})
    fitted = []

    def train(smaller, retrieval, progress, wrap, examples=None):
        learner = tiny_world.ranker(hidden=[8])
        model, batch = wrap(learner), next(iter((examples or prepared).ranking_dataset(batch_size=8)))
        fitted.append(model)
        assert np.isfinite(model.compute_loss(batch))
        return learner, {}

    monkeypatch.setattr("mmrec_tf.small_rankers.train_ranking", train)
    big = tiny_world.ranker(hidden=[8])
    distil_ranker(prepared, None, big, student, weight=weight)
    prune_ranker(prepared, None, big, sparsity=0.5)
    distilled, pruned = (getattr(model, "labelled", model) for model in fitted)
    assert isinstance(distilled, GradedRanker) == taught
    assert isinstance(pruned, GradedRanker) == (not teacher)


def test_a_student_differs_in_what_is_named():
    config = tiny_world.config(ranking={"model": "dcn", "cross_layers": 3, "dim": 16, "loss": "pairwise"})
    smaller = student_config(config, {"dim": 4, "hidden": [8]})
    expected = config.models.ranking.model_copy(update={"dim": 4, "hidden": [8]})
    assert smaller.models.ranking == expected and smaller.models.ranking.cross_layers == 3
    assert smaller.models.retrieval == config.models.retrieval and smaller.data == config.data
    # What only the teacher's model has goes with it.
    other = student_config(config, {"model": "fm"}).models.ranking
    assert (other.model, other.cross_layers, other.dim, other.loss) == ("fm", None, 16, "pairwise")
    assert student_config(config, {"model": "din", "attention_hidden": [3]}).models.ranking.attention_hidden == [3]


@pytest.mark.parametrize(
    ("student", "message"),
    [
        ({"target": "rating"}, "student target=rating: target says what is learned.*Leave it out"),
        ({"negatives": 0}, "negatives says what is learned"),
        ({"model": ["fm"]}, r"model is the name of one ranker, got \['fm'\]"),
        ({"hiden": [4]}, r"student hiden=\[4\] is not valid(.|\n)*Did you mean 'hidden'"),
        ({"dim": 0}, "models.ranking.dim"),
        ({"model": "deepfn"}, "there is no ranker 'deepfn'. Did you mean 'deepfm'"),
        ({"model": "fm", "cross_layers": 2}, "cross_layers is no setting of fm"),
    ],
)
def test_mistakes_in_a_student(student, message):
    with pytest.raises(ConfigError, match=message):
        student_config(tiny_world.config(), student)


def test_students_by_default_are_smaller_ones_that_can_be():
    config = tiny_world.config(ranking={"model": "finalmlp", "hidden": [12, 6], "dim": 6, "heads": 3})
    students = default_students(config)
    assert students == [
        {"model": "deepfm", "dim": 3, "hidden": [6, 3]},
        {"model": "deepfm", "dim": 1, "hidden": [3, 1]},
        {"model": "fm", "dim": 1},
        {"model": "logistic_regression"},
    ]
    for student in students:
        student_config(config, student)
    targets = {"model": "mmoe", "hidden": [8], "dim": 4, "targets": {"bought": {"column": "bought"}}}
    several = tiny_world.config(ranking=targets)
    assert default_students(several) == [{"dim": 2, "hidden": [4]}, {"dim": 1, "hidden": [2]}]
    # Of an ensemble one member of its own size is smaller already.
    ensemble = tiny_world.config(ranking={**targets, "members": 3})
    halved, quartered = {"dim": 2, "hidden": [4]}, {"dim": 1, "hidden": [2]}
    single = {"members": 1}
    assert default_students(ensemble) == [single, {**halved, **single}, {**quartered, **single}]
    assert student_config(several, {"dim": 2, "hidden": [4]}).models.ranking.targets == several.models.ranking.targets
