import pytest
import yaml
from pydantic import ValidationError

from mmrec_tf.schema import Feature, Schema


def _schema(**sides) -> Schema:
    return Schema(**{"user": {"user": "id"}, "item": {"item": "id"}, **sides})


def test_short_and_long_form_are_one():
    short = _schema(item={"item": "id", "title": "text", "genres": {"kind": "multi_categorical", "separator": ","}})
    long = _schema(
        item=[
            {"name": "item", "kind": "id"},
            {"name": "title", "kind": "text"},
            {"name": "genres", "kind": "multi_categorical", "separator": ","},
        ]
    )
    assert short == long


def test_round_trip_through_yaml():
    schema = _schema(
        item={"item": {"kind": "id", "columns": ["movieId"]}, "text": {"kind": "text", "columns": ["title", "plot"]}},
        context={"when": {"kind": "timestamp", "columns": ["ts"]}},
    )
    assert Schema.model_validate(yaml.safe_load(yaml.safe_dump(schema.model_dump(mode="json")))) == schema
    assert (schema.user_id, schema.item_id, schema.timestamp) == ("user", "movieId", "ts")


def test_features_by_kind_and_modalities_keep_their_order():
    schema = _schema(item={"photo": "image", "item": "id", "price": "number", "title": "text", "vector": "vector"})
    assert [feature.name for feature in schema.modalities] == ["photo", "title", "vector"]
    assert [feature.name for feature in schema.features("item", "number", "image")] == ["photo", "price"]
    assert schema.timestamp is None


def test_column_is_the_name_unless_given():
    assert Feature(name="price", kind="number").columns == ["price"]
    assert Feature(name="price", kind="number", columns=["cost"]).column == "cost"


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        ({"user": {"age": "number"}}, "user needs exactly one feature of kind id and has 0"),
        ({"item": {"a": "id", "b": "id"}}, r"item needs exactly one feature of kind id and has 2 \(a, b\)"),
        ({"item": [{"name": "a", "kind": "id"}, {"name": "a", "kind": "text"}]}, "item names the feature 'a' twice"),
        ({"context": {"x": "id"}}, "context cannot hold an id"),
        ({"user": {"user": "id", "photo": "image"}}, "user feature 'photo' is of kind image"),
        ({"context": {"review": "text"}}, "context feature 'review' is of kind text"),
        ({"context": {"a": "timestamp", "b": "timestamp"}}, "one timestamp only"),
        ({"item": {"item": "id", "p": {"kind": "number", "columns": ["a", "b"]}}}, "only a text feature joins several"),
        ({"item": {"item": "id", "p": "picture"}}, "Input should be 'id'"),
        ({"item": {"item": "id", "p": {"kind": "number", "colums": ["a"]}}}, "colums"),
    ],
)
def test_what_a_schema_refuses(sides, message):
    with pytest.raises(ValidationError, match=message):
        _schema(**sides)
