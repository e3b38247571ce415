"""Every kind of problem, every policy, strict mode, and the shape of what comes out."""

import json
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmrec_tf.config_file import parse_config
from mmrec_tf.data import media
from mmrec_tf.data.problems import ValidationReport
from mmrec_tf.data.tables import read_table
from mmrec_tf.data.validation import load_data, validate_frames
from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.schema import Schema

SCHEMA = Schema(
    user={"user": "id", "age": "number"},
    item={"item": "id", "title": "text", "genre": "categorical", "tags": "multi_categorical", "price": "number"},
    context={"time": "timestamp"},
)


def _tables(**changes):
    tables = {
        "interactions": pd.DataFrame({"user": ["u", "v", "u"], "item": ["a", "b", "b"], "time": [1, 2, 3]}),
        "items": pd.DataFrame({
            "item": ["a", "b"], "title": ["Ape", "Bee"], "genre": ["x", "y"], "tags": ["p|q", "q"], "price": [1.0, 2.0],
        }),
        "users": pd.DataFrame({"user": ["u", "v"], "age": [30, 40]}),
    }  # fmt: skip
    for name, columns in changes.items():
        tables[name] = tables[name].assign(**columns)
    return tables


def _lines(report: ValidationReport) -> list[tuple]:
    return [(p.kind, p.table, p.column, p.count, p.row, p.action, p.affected) for p in report.problems]


def _photo(path):
    Image.new("RGB", (8, 8), "red").save(path)


def test_sound_tables_pass_unchanged():
    tables = _tables()
    copies = {name: frame.copy() for name, frame in tables.items()}
    data, report = validate_frames(SCHEMA, **tables, strict=True)
    assert report.ok and report.problems == []
    assert report.rows == {"items": (2, 2), "users": (2, 2), "interactions": (3, 3)}
    assert data.items.to_dict("list") == {
        "item": ["a", "b"], "title": ["Ape", "Bee"], "genre": ["x", "y"], "tags": [["p", "q"], ["q"]], "price": [1, 2],
    }  # fmt: skip
    assert data.users["age"].dtype == np.float64
    assert data.interactions["time"].tolist() == [1.0, 2.0, 3.0]
    assert "No problems" in report.summary()
    for name, frame in tables.items():
        pd.testing.assert_frame_equal(frame, copies[name])


def test_missing_columns_of_all_tables_come_together_with_the_nearest_name():
    tables = _tables()
    tables["items"] = tables["items"].rename(columns={"title": "titel"})
    tables["interactions"] = tables["interactions"].rename(columns={"time": "timee"}).drop(columns="item")
    with pytest.raises(DataError) as raised:
        validate_frames(SCHEMA, **tables)
    text = str(raised.value)
    assert "3 problems" in text
    assert "items.title" in text and "Did you mean 'titel'?" in text
    assert "interactions.time" in text and "Did you mean 'timee'?" in text
    assert "interactions.item" in text


def test_user_features_need_a_users_table():
    tables = _tables()
    with pytest.raises(DataError, match=r"users.age: missing_column.*no users table"):
        validate_frames(SCHEMA, tables["interactions"], tables["items"])


def test_users_come_from_the_interactions_when_there_is_no_table():
    schema = SCHEMA.model_copy(update={"user": Schema(user={"user": "id"}, item={"item": "id"}).user})
    tables = _tables(interactions={"user": ["v", "u", "v"]})
    data, report = validate_frames(schema, tables["interactions"], tables["items"])
    assert data.users.to_dict("list") == {"user": ["v", "u"]}
    assert report.ok and report.rows["users"] == (0, 2)


def test_ids_of_any_type_meet_as_strings():
    tables = _tables(
        interactions={"user": [1, 2, 1], "item": [10.0, 20.0, 20.0]},
        items={"item": [10, 20]},
        users={"user": ["1", "2"]},
    )
    data, report = validate_frames(SCHEMA, **tables, strict=True)
    assert report.problems == []
    assert data.interactions["item"].tolist() == ["10", "20", "20"]
    assert data.users["user"].tolist() == ["1", "2"]


def test_empty_ids_go():
    tables = _tables(interactions={"user": ["u", "", "u"], "item": ["a", "b", None]}, items={"item": ["a", np.nan]})
    data, report = validate_frames(SCHEMA, **tables)
    assert _lines(report) == [
        ("empty_id", "items", "item", 1, 1, "dropped", 1),
        ("empty_id", "interactions", "user", 1, 1, "dropped", 1),
        ("empty_id", "interactions", "item", 1, 2, "dropped", 1),
    ]
    assert data.interactions.to_dict("list") == {"user": ["u"], "item": ["a"], "time": [1.0]}


def test_duplicate_ids_keep_the_first():
    tables = _tables(items={"item": ["a", "a"]}, interactions={"item": ["a", "a", "a"]})
    data, report = validate_frames(SCHEMA, **tables)
    assert _lines(report) == [("duplicate_id", "items", "item", 1, 1, "dropped", 1)]
    assert data.items["title"].tolist() == ["Ape"]
    with pytest.raises(DataError, match="duplicate_id"):
        validate_frames(SCHEMA, **tables, policies={"duplicate_id": "stop"})


def test_unknown_items_by_each_policy():
    tables = _tables(interactions={"item": ["a", "new", "new"]})
    data, report = validate_frames(SCHEMA, **tables)
    assert _lines(report) == [("unknown_item", "interactions", "item", 2, 1, "dropped", 2)]
    assert len(data.interactions) == 1

    data, report = validate_frames(SCHEMA, **tables, policies={"unknown_item": "keep"})
    assert _lines(report) == [("unknown_item", "interactions", "item", 2, 1, "kept", 2)]
    assert len(data.interactions) == 3
    assert data.items["item"].tolist() == ["a", "b", "new"]
    assert data.items.iloc[2][["title", "genre", "tags"]].tolist() == ["", "", []]
    assert np.isnan(data.items["price"].iloc[2])
    assert report.rows["items"] == (2, 3)
    assert data.items.index.tolist() == [0, 1, 2]

    with pytest.raises(DataError, match=r"(?s)unknown_item.*'new'"):
        validate_frames(SCHEMA, **tables, policies={"unknown_item": "stop"})


def test_unknown_users_by_each_policy():
    tables = _tables(interactions={"user": ["u", "new", "u"]})
    data, report = validate_frames(SCHEMA, **tables)
    assert _lines(report) == [("unknown_user", "interactions", "user", 1, 1, "kept", 1)]
    assert data.users["user"].tolist() == ["u", "v", "new"]
    assert np.isnan(data.users["age"].iloc[2])

    data, report = validate_frames(SCHEMA, **tables, policies={"unknown_user": "drop"})
    assert _lines(report)[0][5:] == ("dropped", 1)
    assert data.users["user"].tolist() == ["u", "v"]
    with pytest.raises(DataError, match="unknown_user"):
        validate_frames(SCHEMA, **tables, policies={"unknown_user": "stop"})


def test_bad_timestamps():
    tables = _tables(interactions={"time": ["2024-01-01", "soon", ""]})
    data, report = validate_frames(SCHEMA, **tables)
    assert _lines(report) == [("bad_timestamp", "interactions", "time", 2, 1, "dropped", 2)]
    # 2024-01-01 is day 19723 = 54 * 365 + 13.
    assert data.interactions["time"].tolist() == [19723 * 86400.0]
    with pytest.raises(DataError, match="'soon'"):
        validate_frames(SCHEMA, **tables, policies={"bad_timestamp": "stop"})


def test_a_bad_moment_of_an_item_is_missing_not_a_reason_to_drop_the_item():
    schema = Schema(user={"user": "id"}, item={"item": "id", "released": "timestamp"})
    tables = _tables(items={"released": ["1970-01-02", "soon"]})
    data, report = validate_frames(schema, tables["interactions"], tables["items"])
    assert _lines(report) == [("bad_timestamp", "items", "released", 1, 1, "filled", 1)]
    np.testing.assert_array_equal(data.items["released"], [86400.0, np.nan])


def test_parquet_integers_with_a_null_in_every_column(tmp_path):
    schema = Schema(
        user={"user": "id"}, item={"item": "id", "price": "number"}, context={"time": "timestamp", "place": "number"}
    )
    first, second = 2**60, 2**60 + 1
    tables = {
        "items": {"item": [first, second, None], "price": [7, None, 5]},
        "interactions": {
            "user": [1, 2, None, 4, 5], "item": [first, second, first, first, second], "place": [3, None, 4, 5, 6],
            "time": [1000, 2000, 3000, None, 5000], "stars": [4, 5, 3, 2, None],
        },
    }  # fmt: skip
    for name, columns in tables.items():
        frame = pd.DataFrame({column: pd.array(cells, dtype="Int64") for column, cells in columns.items()})
        frame.to_parquet(tmp_path / f"{name}.parquet")
    interactions, items = (read_table(tmp_path / f"{name}.parquet") for name in ("interactions", "items"))
    data, report = validate_frames(schema, interactions, items, label="stars", label_range=(1, 5))
    assert data.items["item"].tolist() == [str(first), str(second)]
    np.testing.assert_array_equal(data.items["price"], [7, np.nan])
    # Three rows go: without a user, without a time, and without a label.
    assert data.interactions["user"].tolist() == ["1", "2"]
    assert data.interactions["item"].tolist() == [str(first), str(second)]
    np.testing.assert_array_equal(data.interactions["place"], [3, np.nan])
    assert data.interactions["time"].tolist() == [1000.0, 2000.0]
    assert data.interactions["stars"].tolist() == [4.0, 5.0]
    assert [problem.kind for problem in report.problems if not problem.is_note] == [
        "empty_id", "empty_id", "bad_timestamp", "bad_label",
    ]  # fmt: skip


def test_numbers_that_are_none_by_each_policy():
    tables = _tables(items={"price": ["cheap", "2"]})
    data, report = validate_frames(SCHEMA, **tables)
    assert _lines(report) == [("non_finite_number", "items", "price", 1, 0, "filled", 1)]
    np.testing.assert_array_equal(data.items["price"], [np.nan, 2.0])

    data, report = validate_frames(SCHEMA, **tables, policies={"non_finite_number": "drop"})
    assert data.items["item"].tolist() == ["b"]
    # The one interaction with the dropped item goes with it, and is not called unknown.
    assert _lines(report) == [
        ("non_finite_number", "items", "price", 1, 0, "dropped", 1),
        ("dropped_item", "interactions", "item", 1, 0, "dropped", 1),
    ]
    with pytest.raises(DataError, match="'cheap'"):
        validate_frames(SCHEMA, **tables, policies={"non_finite_number": "stop"})


def test_an_item_dropped_by_a_policy_does_not_come_back_as_unknown():
    tables = _tables(items={"price": [np.inf, 2.0]})
    policies = {"non_finite_number": "drop", "unknown_item": "keep"}
    data, _ = validate_frames(SCHEMA, **tables, policies=policies)
    assert data.items["item"].tolist() == ["b"]
    assert data.interactions["item"].tolist() == ["b", "b"]


def test_users_dropped_by_a_policy_take_their_interactions_along():
    tables = _tables(users={"age": [np.inf, 40.0]})
    data, report = validate_frames(SCHEMA, **tables, policies={"non_finite_number": "drop"})
    assert _lines(report)[1] == ("dropped_user", "interactions", "user", 2, 0, "dropped", 2)
    assert data.users["user"].tolist() == ["v"] and data.interactions["user"].tolist() == ["v"]


def test_empty_numbers_are_noted_and_do_not_stop_strict():
    data, report = validate_frames(SCHEMA, **_tables(items={"price": [np.nan, 2.0]}), strict=True)
    assert _lines(report) == [("missing_number", "items", "price", 1, 0, "noted", 0)]
    assert report.ok
    assert np.isnan(data.items["price"].iloc[0])


def test_labels_by_each_policy():
    tables = _tables(interactions={"rating": ["5", "9", "good"]})
    settings = {"label": "rating", "label_range": (1, 5), "positive_from": 4}
    data, report = validate_frames(SCHEMA, **tables, **settings)
    assert _lines(report) == [
        ("bad_label", "interactions", "rating", 1, 2, "dropped", 1),
        ("label_out_of_range", "interactions", "rating", 1, 1, "dropped", 1),
    ]
    assert data.interactions["rating"].tolist() == [5.0]
    assert data.interactions["rating"].dtype == np.float32
    assert (data.label, data.positive_from) == ("rating", 4)

    data, report = validate_frames(SCHEMA, **tables, **settings, policies={"label_out_of_range": "fill"})
    assert [line[5:] for line in _lines(report)] == [("dropped", 1), ("filled", 1)]
    assert data.interactions["rating"].tolist() == [5.0, 5.0]
    with pytest.raises(DataError, match="2 problems"):
        validate_frames(SCHEMA, **tables, **settings, policies={"label_out_of_range": "stop"})


def test_split_column_must_name_the_parts():
    tables = _tables(interactions={"fold": ["train", " Test ", "dev"]})
    with pytest.raises(DataError, match="bad_split, 1 row, first in row 2: 'dev'"):
        validate_frames(SCHEMA, **tables, split_column="fold")
    tables = _tables(interactions={"fold": ["train", " Test ", "validation"]})
    data, _ = validate_frames(SCHEMA, **tables, split_column="fold")
    assert data.interactions["fold"].tolist() == ["train", "test", "validation"]


def test_empty_text_by_each_policy():
    tables = _tables(items={"title": [" ", "Bee"]})
    data, report = validate_frames(SCHEMA, **tables)
    assert _lines(report) == [("empty_text", "items", "title", 1, 0, "kept", 1)]
    assert data.items["title"].tolist() == ["", "Bee"]
    data, report = validate_frames(SCHEMA, **tables, policies={"empty_text": "drop"})
    assert data.items["item"].tolist() == ["b"]
    with pytest.raises(DataError, match="empty_text"):
        validate_frames(SCHEMA, **tables, policies={"empty_text": "stop"})


def test_text_joins_its_columns_with_spaces():
    schema = Schema(user={"user": "id"}, item={"item": "id", "words": {"kind": "text", "columns": ["title", "genre"]}})
    tables = _tables(items={"title": ["Ape", None], "genre": [" x\n y ", "y"]})
    data, _ = validate_frames(schema, tables["interactions"], tables["items"])
    assert data.items["words"].tolist() == ["Ape x y", "y"]


MEDIA = Schema(user={"user": "id"}, item={"item": "id", "photo": "image"})


@pytest.fixture
def media_tables(tmp_path):
    """Items a (sound photo), b (file not there), c (broken file), d (no photo); each with one interaction."""
    _photo(tmp_path / "a.png")
    (tmp_path / "c.png").write_bytes(b"\x89PNG broken")
    items = pd.DataFrame({"item": list("abcd"), "photo": ["a.png", "b.png", str(tmp_path / "c.png"), ""]})
    return pd.DataFrame({"user": ["u"] * 4, "item": list("abcd")}), items


def test_media_problems_mask_by_default(media_tables, tmp_path):
    data, report = validate_frames(MEDIA, *media_tables, media_folder=tmp_path)
    assert _lines(report) == [
        ("no_media", "items", "photo", 1, 3, "kept", 1),
        ("missing_media", "items", "photo", 1, 1, "kept", 1),
        ("undecodable_media", "items", "photo", 1, 2, "kept", 1),
    ]
    assert data.items["photo"].tolist() == [tmp_path / "a.png", None, None, None]
    assert str(tmp_path / "b.png") in report.of_kind("missing_media")[0].value


@pytest.mark.parametrize(
    ("policies", "kept"),
    [
        ({"missing_media": "drop"}, ["a", "c"]),
        ({"undecodable_media": "drop"}, ["a", "b", "d"]),
        ({"missing_media": "drop", "undecodable_media": "drop"}, ["a"]),
    ],
)
def test_media_policies_that_drop(media_tables, tmp_path, policies, kept):
    data, _ = validate_frames(MEDIA, *media_tables, media_folder=tmp_path, policies=policies)
    assert data.items["item"].tolist() == kept
    assert data.interactions["item"].tolist() == kept


def test_media_that_cannot_be_read_go_by_the_policy_of_missing_ones(media_tables, tmp_path, monkeypatch):
    # Only what decoders refuse is read, so this is about the broken file.
    monkeypatch.setattr(media, "reading_fault", lambda path: "Input/output error")
    data, report = validate_frames(MEDIA, *media_tables, media_folder=tmp_path)
    assert ("unreadable_media", "items", "photo", 1, 2, "kept", 1) in _lines(report)
    assert report.of_kind("undecodable_media") == []
    (problem,) = report.of_kind("unreadable_media")
    assert problem.value == f"{tmp_path / 'c.png'} cannot be read (Input/output error)"
    assert "data.policies.missing_media" in problem.remedy
    assert data.items["photo"].tolist() == [tmp_path / "a.png", None, None, None]
    data, _ = validate_frames(MEDIA, *media_tables, media_folder=tmp_path, policies={"missing_media": "drop"})
    assert data.items["item"].tolist() == ["a"]


@pytest.mark.parametrize("kind", ["missing_media", "undecodable_media"])
def test_media_policies_that_stop(media_tables, tmp_path, kind):
    with pytest.raises(DataError, match=kind):
        validate_frames(MEDIA, *media_tables, media_folder=tmp_path, policies={kind: "stop"})


def test_addresses_in_a_media_column_get_their_own_remedy(media_tables):
    interactions, items = media_tables
    items["photo"] = "https://example.org/a.png"
    _, report = validate_frames(MEDIA, interactions, items)
    assert "fetch the files first" in report.of_kind("missing_media")[0].remedy


def test_media_in_bytes_and_progress(media_tables, tmp_path):
    interactions, items = media_tables
    items["photo"] = [(tmp_path / "a.png").read_bytes(), b"nonsense", None, b""]
    calls = []
    data, report = validate_frames(MEDIA, interactions, items, progress=lambda *call: calls.append(call))
    assert [(p.kind, p.count) for p in report.problems] == [("no_media", 1), ("undecodable_media", 2)]
    assert report.problems[1].row == 1
    assert data.items["photo"].tolist() == [items["photo"][0], None, None, None]
    assert calls[-1] == ("checking photo (image)", 3, 3)


def test_vectors_of_the_wrong_length():
    schema = Schema(user={"user": "id"}, item={"item": "id", "vector": "vector"})
    items = pd.DataFrame({"item": list("abcd"), "vector": ["1|2", "3|4", "5", ""]})
    interactions = pd.DataFrame({"user": ["u"] * 4, "item": list("abcd")})
    data, report = validate_frames(schema, interactions, items)
    assert _lines(report) == [
        ("bad_vector", "items", "vector", 1, 2, "kept", 1),
        ("no_media", "items", "vector", 1, 3, "kept", 1),
    ]
    assert data.items["vector"][1].tolist() == [3.0, 4.0]
    assert data.items["vector"][2] is None and data.items["vector"][3] is None


@pytest.mark.parametrize(
    "vectors", [["1|2", "3|nan", "inf|0", "5|6"], [[1, 2], np.array([3, np.nan]), (np.inf, 0.0), [5.0, 6.0]]]
)
def test_vectors_that_are_not_finite_are_left_out_and_named_by_their_item(vectors):
    schema = Schema(user={"user": "id"}, item={"item": "id", "vector": "vector"})
    items = pd.DataFrame({"item": ["p 1", "p 2", "p 3", "p 4"], "vector": pd.Series(vectors, dtype=object)})
    interactions = pd.DataFrame({"user": ["u"] * 4, "item": items["item"]})
    data, report = validate_frames(schema, interactions, items)
    assert [vector is None for vector in data.items["vector"]] == [False, True, True, False]
    assert _lines(report) == [("bad_vector", "items", "vector", 2, 1, "kept", 2)]
    assert "first in row 1: 'p 2': not finite. Give 2 finite numbers" in report.summary()
    with pytest.raises(DataError, match="bad_vector, 2 rows, first in row 1: 'p 2': not finite"):
        validate_frames(schema, interactions, items, policies={"undecodable_media": "stop"})


def test_a_decimal_comma_is_no_number_and_the_remedy_says_so():
    schema = Schema(user={"user": "id"}, item={"item": "id", "price": "number"})
    items = pd.DataFrame({"item": ["a", "b", "c"], "price": ["1.5", "3,5", "x"]})
    interactions = pd.DataFrame({"user": ["u"] * 3, "item": list("abc"), "stars": ["4", "2", "4,5"]})
    data, report = validate_frames(schema, interactions, items, label="stars")
    price, stars = report.of_kind("non_finite_number")[0], report.of_kind("bad_label")[0]
    assert price.count == 2 and "Write numbers with a decimal point, not as 3,5." in price.remedy
    assert stars.count == 1 and "Write numbers with a decimal point, not as 4,5." in stars.remedy
    assert data.items["price"].tolist()[0] == 1.5 and data.interactions["stars"].tolist() == [4.0, 2.0]
    # Other words ask for no point.
    _, report = validate_frames(schema, interactions[:2], items.assign(price=["1.5", "x", "2"]), label="stars")
    assert "decimal point" not in report.of_kind("non_finite_number")[0].remedy


def test_strict_raises_with_everything_at_once():
    tables = _tables(
        interactions={"item": ["a", "new", "b"], "time": ["1", "2", "soon"]},
        items={"item": ["a", "a"], "price": ["inf", "2"]},
        users={"user": ["u", ""]},
    )
    with pytest.raises(DataError) as raised:
        validate_frames(SCHEMA, **tables, strict=True)
    text = str(raised.value)
    assert "data.strict is true" in text
    for kind in ("duplicate_id", "non_finite_number", "empty_id", "unknown_item", "unknown_user", "bad_timestamp"):
        assert kind in text


def test_a_policy_that_stops_also_lists_what_would_not():
    tables = _tables(interactions={"item": ["a", "new", "b"]}, items={"title": ["", "Bee"]})
    with pytest.raises(DataError, match=r"(?s)1 problem that must.*empty_text.*would not stop.*unknown_item"):
        validate_frames(SCHEMA, **tables, policies={"empty_text": "stop"})


def test_nothing_left_says_why():
    with pytest.raises(DataError, match=r"(?s)No interaction is left.*unknown_item, 3 rows"):
        validate_frames(SCHEMA, **_tables(interactions={"item": ["x", "y", "z"]}))


def test_features_take_their_own_names_and_the_schema_follows():
    schema = Schema(
        user={"user": {"kind": "id", "columns": ["userId"]}},
        item={"item": {"kind": "id", "columns": ["movieId"]}, "year": {"kind": "number", "columns": ["released"]}},
        context={"when": {"kind": "timestamp", "columns": ["ts"]}},
    )
    data, _ = validate_frames(
        schema,
        pd.DataFrame({"userId": [1], "movieId": [2], "ts": [3]}),
        pd.DataFrame({"movieId": [2], "released": [1999]}),
    )
    assert data.interactions.to_dict("list") == {"user": ["1"], "item": ["2"], "when": [3.0]}
    assert data.items.to_dict("list") == {"item": ["2"], "year": [1999.0]}
    assert (data.schema.user_id, data.schema.item_id, data.schema.timestamp) == ("user", "item", "when")
    assert schema.user_id == "userId"


def test_names_that_collide_are_refused():
    schema = Schema(user={"user": "id"}, item={"item": "id"}, context={"rating": "number"})
    interactions = pd.DataFrame({"user": [1], "item": [2], "rating": [3]})
    with pytest.raises(ConfigError, match="its own answer"):
        validate_frames(schema, interactions, pd.DataFrame({"item": [2]}), label="rating")
    schema = Schema(user={"id": {"kind": "id", "columns": ["a"]}}, item={"id": {"kind": "id", "columns": ["b"]}})
    with pytest.raises(ConfigError, match="'id' names two columns"):
        validate_frames(schema, pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"b": [2]}))


def test_report_as_json_rows_and_text():
    tables = _tables(interactions={"item": ["a", "new", "b"]})
    _, report = validate_frames(SCHEMA, **tables)
    content = json.loads(json.dumps(report.to_dict()))
    assert content["rows"]["interactions"] == {"read": 3, "kept": 2}
    assert content["problems"][0]["value"] == "'new'"
    assert content["ok"] is False
    (row,) = report.to_rows()
    assert row[:5] == ("unknown_item", "interactions.item", "1", "row 1: 'new'", "dropped 1 row")
    assert len(row) == len(report.HEADER)
    assert "data.policies.unknown_item: keep or stop" in row[5]
    assert "interactions: 3 rows read, 2 kept" in report.summary()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_load_data_reads_the_tables_and_finds_media_beside_the_items(tmp_path, suffix):
    (tmp_path / "shop" / "photos").mkdir(parents=True)
    _photo(tmp_path / "shop" / "photos" / "007.png")
    interactions = pd.DataFrame({
        "user": ["NA", "null", "NA"], "item": ["007", "008", "007"], "time": [1, 2, 3], "fold": ["train"] * 3,
    })  # fmt: skip
    items = pd.DataFrame({"item": ["007", "008"], "photo": ["photos/007.png", None]})
    for name, frame in (("interactions", interactions), ("items", items)):
        path = tmp_path / "shop" / f"{name}.{suffix}"
        frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    config = parse_config(
        {
            "data": {"interactions": f"shop/interactions.{suffix}", "items": f"shop/items.{suffix}"},
            "schema": {
                "user": {"user": "id"},
                "item": {"item": "id", "photo": "image"},
                "context": {"time": "timestamp"},
            },
            "split": {"method": "column", "column": "fold"},
        },
        tmp_path,
    )
    data, report = load_data(config)
    assert data.items["item"].tolist() == ["007", "008"]
    assert data.items["photo"].tolist() == [tmp_path / "shop" / "photos" / "007.png", None]
    assert data.users["user"].tolist() == ["NA", "null"]
    assert data.interactions["fold"].tolist() == ["train"] * 3
    assert [problem.kind for problem in report.problems] == ["no_media"]


def test_movielens_passes_quickly(shared_data):
    folder = shared_data / "movielens-small"
    config = parse_config({
        "data": {
            "interactions": str(folder / "ratings.csv"), "items": str(folder / "items_text.csv"),
            "label": "rating", "label_range": [0.5, 5], "positive_from": 4,
        },
        "schema": {
            "user": {"userId": "id"},
            "item": {"movieId": "id", "title": "text", "genres": "multi_categorical"},
            "context": {"timestamp": "timestamp"},
        },
    })  # fmt: skip
    start = time.perf_counter()
    data, report = load_data(config)
    seconds = time.perf_counter() - start
    # Counts as the data's own README gives them.
    assert (len(data.interactions), len(data.users), len(data.items)) == (100_836, 610, 9_742)
    assert report.ok
    assert seconds < 10
