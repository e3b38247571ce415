"""Rankers that answer sooner or are stored in less: distilled from a bigger one, or pruned."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mmrec_tf.config import Config
from mmrec_tf.config_file import parse_config
from mmrec_tf.config_ranking import RANKER_SETTINGS, RANKERS
from mmrec_tf.config_targets import SEVERAL_TARGETS
from mmrec_tf.errors import ConfigError
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.smaller_ranker import DistilledRanker, PrunedRanker
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.stages import taught_grades, train_ranking

Progress = Callable[[str, int, int], None]

_FIXED = ("enabled", "target", "negatives", "hard_negatives", "negatives_kept", "position")


@dataclass(frozen=True)
class SmallRanker:
    """A ranker that was made of another one.

    Attributes:
        model: the ranker.
        prepared: the data with the configuration by which it can be built again.
        history: of its training, one value per epoch.
    """

    model: Ranker
    prepared: Prepared
    history: dict[str, list[float]]


def default_students(config: Config) -> list[dict[str, Any]]:
    """Settings of a few smaller rankers than the configured one, the largest first.

    One member of an ensemble; DeepFMs of half and of a quarter of its widths, a factorization machine and a logistic
    regression; of a model that learns several targets the same model with half and a quarter of its widths.
    """
    options = config.models.ranking
    single = {"members": 1} if (options.members or 1) > 1 else {}
    halved, quartered = (
        {
            "dim": max(1, options.dim // share),
            "hidden": [max(1, width // share) for width in options.hidden],
        }
        for share in (2, 4)
    )
    if options.model in SEVERAL_TARGETS:
        students = [halved, quartered]
    else:
        students = [{"model": "deepfm", **student} for student in (halved, quartered)]
        students += [{"model": "fm", "dim": quartered["dim"]}, {"model": "logistic_regression"}]
    return [*([single] if single else []), *({**student, **single} for student in students)]


def student_config(config: Config, student: dict[str, Any]) -> Config:
    """The configuration of a student: that of the teacher but for what is named.

    What only the teacher's model has is left out where the student is another one.

    Args:
        config: the teacher's configuration.
        student: settings of `models.ranking` in which the student differs, as `{"dim": 8, "hidden": [32]}`.

    Raises:
        ConfigError: for a setting that is unknown or has no such value, or one that changes what is learned.
    """
    told = ", ".join(f"{name}={value}" for name, value in student.items())
    for name in _FIXED:
        if name in student:
            raise ConfigError(
                f"the student {told}: {name} says what is learned, which is the teacher's to say. Leave it out; "
                "a student may differ in model, dim, hidden and the other settings of models.ranking."
            )
    content = config.model_dump(mode="json", by_alias=True)
    ranking = content["models"]["ranking"]
    model = student.get("model", ranking["model"])
    if not isinstance(model, str):
        raise ConfigError(f"the student {told}: model is the name of one ranker, got {model!r}. As in: model=fm")
    allowed = RANKERS.get(model, ())
    for name in RANKER_SETTINGS:
        if name not in allowed:
            ranking[name] = None
    ranking.update(student)
    return config.with_ranking(parse_config(content, source=f"the student {told}").models.ranking)


def distil_ranker(
    prepared: Prepared,
    retrieval: TwoTower,
    teacher: Ranker,
    student: dict[str, Any],
    temperature: float = 2.0,
    weight: float = 0.5,
    progress: Progress | None = None,
) -> SmallRanker:
    """Trains a small ranker on what a big one says and on the labels and their grades, as `train_ranking` trains.

    Args:
        prepared: the data that the teacher was trained on.
        retrieval: the retrieval model in front of it.
        teacher: the trained ranker, which knows of trends and targets what training told it.
        student: see `student_config`.
        temperature, weight: see `DistilledRanker`. With a weight of 0 the teacher is not asked.
        progress: called with (description, done, total).

    Raises:
        ConfigError: as `student_config`.
    """
    smaller = replace(prepared, config=student_config(prepared.config, student))
    told, asked = (each.config.models.ranking.encodes_targets for each in (prepared, smaller))
    # Rows that are told nothing of targets would have the teacher look up what it knows, their own labels included.
    examples = smaller if asked and not told else prepared

    def teach(inputs):
        return teacher.target_scores(inputs)[teacher.target]

    # The rows have grades where the teacher is taught them; a student may leave them.
    grade = taught_grades(smaller) if weight < 1.0 and examples.grades is not None else None

    def wrap(learner):
        labelled = learner if grade is None else grade(learner)
        return DistilledRanker(learner, teach, temperature, weight, labelled) if weight else labelled

    model, history = train_ranking(smaller, retrieval, progress, wrap, examples)
    return SmallRanker(model, smaller, history)


def prune_ranker(
    prepared: Prepared,
    retrieval: TwoTower,
    ranking: Ranker,
    sparsity: float,
    epochs: int = 2,
    progress: Progress | None = None,
) -> SmallRanker:
    """A copy of a ranker with the smallest weights of its dense layers at 0, fine-tuned.

    It makes the stored and compressed model smaller; TensorFlow multiplies by zeros as it does by any number, so that
    it is a smaller student that answers sooner.

    Args:
        prepared: the data that the ranker was trained on.
        retrieval: the retrieval model in front of it.
        ranking: the trained ranker, which stays as it is.
        sparsity: float in [0, 1). See `PrunedRanker`.
        epochs: int. The most epochs of fine-tuning; at a third of the learning rate. Defaults to 2.
        progress: called with (description, done, total).

    Raises:
        ValueError: for a sparsity out of its range, or a ranker without dense layers.
    """
    config = prepared.config
    options = config.train.ranking
    # Averages over the steps would bring back what a step has moved away from 0 before it was pruned again.
    tuning = {"epochs": epochs, "learning_rate": options.learning_rate / 3.0, "average": 0.0}
    train = config.train.model_copy(update={"ranking": options.model_copy(update=tuning)})

    members, grade = iter(ranking.members), taught_grades(prepared)

    def wrap(learner):
        learner.set_weights(next(members).get_weights())
        return PrunedRanker(learner, sparsity, None if grade is None else grade(learner))

    tuned = replace(prepared, config=config.model_copy(update={"train": train}))
    model, history = train_ranking(tuned, retrieval, progress, wrap)
    return SmallRanker(model, prepared, history)
