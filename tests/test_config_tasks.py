"""The section about multi-task training: heads by name, defaults, and what the data cannot teach."""

import pytest
from pydantic import ValidationError

from mmrec_tf.config_tasks import CategoryTask, RatingTask, TasksConfig, check_tasks, named_heads
from mmrec_tf.schema import Schema

SCHEMA = Schema(
    user={"user": "id"},
    item={"item": "id", "category": "categorical", "tags": "multi_categorical", "text": "text", "price": "number"},
)
ONE_CATEGORY = Schema(user={"user": "id"}, item={"item": "id", "genre": "multi_categorical", "poster": "image"})


def tasks(*heads, **options) -> TasksConfig:
    return TasksConfig.model_validate({"heads": list(heads), **options})


def check(section: TasksConfig, schema=SCHEMA, label="stars", positive_from=4.0, hidden=(16,)) -> None:
    check_tasks(section, schema, label, positive_from, hidden)


def test_heads_are_named_or_given_with_settings():
    section = tasks("rating", {"task": "category", "feature": "tags", "weight": 2.0})
    assert section.heads == [RatingTask(), CategoryTask(feature="tags", weight=2.0)]
    assert section.weighting == "uncertainty" and section.experts == 0
    assert TasksConfig.model_validate({"heads": "sentiment"}).heads[0].task == "sentiment"
    assert TasksConfig.model_validate(section.model_dump()) == section


def test_without_heads_there_is_nothing_to_check():
    assert TasksConfig().heads == []
    assert not TasksConfig().needs_labels
    check(TasksConfig(), Schema(user={"user": "id"}, item={"item": "id"}), label=None, positive_from=None, hidden=[])


@pytest.mark.parametrize(
    ("head", "needed"), [("category", False), ("rating", True), ("sentiment", True)], ids=lambda value: str(value)
)
def test_labels_are_for_rating_and_sentiment(head, needed):
    assert tasks(head).needs_labels is needed


@pytest.mark.parametrize(
    ("heads", "answer"),
    [
        (["ratings"], "'ratings' is no head. Did you mean 'rating'\\? Allowed: category, rating, sentiment."),
        ([{"feature": "tags"}], "does not say which head it is: add task: NAME. Allowed: category, rating, sentiment."),
        (
            [{"task": "category", "featur": "tags"}],
            "category has no setting 'featur'. Did you mean 'feature'\\? Allowed: feature, task, weight.",
        ),
        ([{"task": "rating", "feature": "tags"}], "rating has no setting 'feature'. Allowed: task, weight."),
        ([{"task": "rating", "weight": 0}], "greater than or equal to 0.001"),
        ([7], "valid dictionary"),
        ([{"task": ["rating"]}], "is no head"),
    ],
)
def test_mistakes_name_what_is_allowed(heads, answer):
    with pytest.raises(ValidationError, match=answer):
        tasks(*heads)


def test_names_of_heads():
    assert named_heads(tasks("category", "rating"), ONE_CATEGORY) == {
        "category": CategoryTask(feature="genre"),
        "rating": RatingTask(),
    }
    both = tasks({"task": "category", "feature": "tags"}, {"task": "category", "feature": "category"})
    assert list(named_heads(both, SCHEMA)) == ["tags category", "category category"]


@pytest.mark.parametrize(
    ("section", "given", "answer"),
    [
        (tasks("category"), {}, "must say which feature it tells, as the items have 2.*Allowed: category, tags."),
        (
            tasks({"task": "category", "feature": "tag"}),
            {},
            "'tag' finds no item feature with categories. Did you mean 'tags'\\? Allowed: category, tags.",
        ),
        (tasks({"task": "category", "feature": "price"}), {}, "'price' finds no item feature with categories"),
        (
            tasks("category"),
            {"schema": Schema(user={"user": "id"}, item={"item": "id", "text": "text"})},
            "a category head finds no item feature with categories. Allowed: none, as the schema has none.",
        ),
        (
            tasks("category"),
            {"schema": Schema(user={"user": "id"}, item={"item": "id", "genre": "categorical"})},
            "no item feature is text, media or a vector. Declare one",
        ),
        (tasks("rating"), {"label": None, "positive_from": None}, "a rating head needs data.label"),
        (tasks("sentiment"), {"label": None, "positive_from": None}, "a sentiment head needs data.label"),
        (tasks("sentiment"), {"positive_from": None}, "a sentiment head needs data.positive_from"),
        (tasks("rating", "rating"), {}, "tasks.heads names rating twice"),
        (tasks("category", {"task": "category", "feature": "genre"}), {"schema": ONE_CATEGORY}, "genre category twice"),
        (
            tasks("rating", experts=4),
            {"hidden": []},
            "tasks.experts 4 take.*models.retrieval.hidden is empty",
        ),
    ],
)
def test_what_the_data_cannot_teach_is_refused(section, given, answer):
    with pytest.raises(ValueError, match=answer):
        check(section, **given)


def test_what_the_data_can_teach_passes():
    check(tasks({"task": "category", "feature": "tags"}, "rating", "sentiment", experts=2))
    check(tasks("rating"), positive_from=None)
    check(tasks("category"), ONE_CATEGORY, label=None, positive_from=None)
