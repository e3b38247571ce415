"""The configuration's section about multi-task training: what the retrieval model learns beside retrieval.

    tasks:
      heads: [rating, {task: category, feature: tags}]
      experts: 4

A head is named, or given as a mapping with its name under `task`.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mmrec_tf.config_named import named_entries
from mmrec_tf.errors import suggestion
from mmrec_tf.schema import Schema, StrictModel


class TaskConfig(StrictModel):
    """What every head has.

    Args:
        weight: float. Weight of its loss beside that of retrieval; with `uncertainty`, the one it starts with.
    """

    weight: float = Field(default=0.1, ge=0.001, le=100.0)


class CategoryTask(TaskConfig):
    """Tells an item's categories from its content.

    Args:
        feature: str. The item's `categorical` or `multi_categorical` feature; the only one by default.
    """

    task: Literal["category"] = "category"
    feature: str | None = None


class RatingTask(TaskConfig):
    """Tells the label of an interaction, low ones too. Needs `data.label`."""

    task: Literal["rating"] = "rating"


class SentimentTask(TaskConfig):
    """Tells whether the label of an interaction is `data.positive_from` or more."""

    task: Literal["sentiment"] = "sentiment"


AnyTask = CategoryTask | RatingTask | SentimentTask

HEADS: dict[str, type[TaskConfig]] = {config.model_fields["task"].default: config for config in AnyTask.__args__}
"""The heads by name."""


def _by_name(heads: Any) -> Any:
    return named_entries(heads, "task", "head", HEADS)


class TasksConfig(StrictModel):
    """Multi-task training of the retrieval model.

    Args:
        heads: list of heads; none by default, which is plain retrieval.
        weighting: `uncertainty` (the weights of the losses are learned) or `fixed` (they stay as given).
        experts: int. Experts that retrieval and the heads share in place of the towers' first hidden layer, each task
            with a gate of its own; 0 for a plain layer.
    """

    heads: Annotated[
        list[Annotated[AnyTask, Field(discriminator="task")]],
        BeforeValidator(_by_name),
    ] = Field(default_factory=list)
    weighting: Literal["uncertainty", "fixed"] = "uncertainty"
    experts: int = Field(default=0, ge=0, le=64)

    @property
    def needs_labels(self) -> bool:
        """Whether a head learns from labels of interactions."""
        return any(head.task in ("rating", "sentiment") for head in self.heads)


def check_tasks(
    tasks: TasksConfig, schema: Schema, label: str | None, positive_from: float | None, hidden: Sequence[int]
) -> None:
    """Refuses heads that the data cannot teach, and experts without a layer to stand in for.

    Args:
        tasks: the section.
        schema: the schema.
        label, positive_from: as in the section `data`.
        hidden: widths of the towers' hidden layers, `models.retrieval.hidden`.

    Raises:
        ValueError: naming what was asked for and what is allowed.
    """
    named_heads(tasks, schema)
    for head in tasks.heads:
        if head.task == "category" and not schema.modalities:
            raise ValueError(
                "tasks: a category head reads the items' content, and no item feature is text, media or a vector. "
                "Declare one in schema.item, or take the head out."
            )
        if head.task != "category" and label is None:
            raise ValueError(f"tasks: a {head.task} head needs data.label, the column that holds the rating.")
        if head.task == "sentiment" and positive_from is None:
            raise ValueError("tasks: a sentiment head needs data.positive_from, the smallest label that is positive.")
    if tasks.experts and not hidden:
        raise ValueError(
            f"tasks.experts {tasks.experts} take the place of the towers' first hidden layer, and "
            "models.retrieval.hidden is empty. Give it a width, such as [128]."
        )


def named_heads(tasks: TasksConfig, schema: Schema) -> dict[str, AnyTask]:
    """The heads by the name that the history shows, each category head with its feature.

    Raises:
        ValueError: when a category head's feature is not there or not said, or a head is there twice.
    """
    features = [feature.name for feature in schema.features("item", "categorical", "multi_categorical")]
    several = sum(head.task == "category" for head in tasks.heads) > 1
    named = {}
    for head in tasks.heads:
        name = head.task
        if head.task == "category":
            head = head.model_copy(update={"feature": _feature(head.feature, features)})
            name = f"{head.feature} category" if several else name
        if name in named:
            raise ValueError(f"tasks.heads names {name} twice. Give each head one entry.")
        named[name] = head
    return named


def _feature(given: str | None, features: list[str]) -> str:
    if given is None and len(features) == 1:
        return features[0]
    if given is None and features:
        raise ValueError(
            f"tasks: a category head must say which feature it tells, as the items have {len(features)} with "
            f"categories: add feature: NAME.{_advice(None, features)}"
        )
    if given not in features:
        asked = "a category head" if given is None else f"{given!r}"
        raise ValueError(f"tasks: {asked} finds no item feature with categories.{_advice(given, features)}")
    return given


def _advice(word: Any, names: Iterable[str]) -> str:
    """Which of the names is meant, if one is near, and all of them."""
    names = sorted(names)
    return f"{suggestion(word, names)} Allowed: {', '.join(names) or 'none, as the schema has none'}."
