"""Recommendations by one GET: ids, scores, titles, pictures, reasons; and nothing but what the catalogue names."""

import re
from urllib.parse import quote

import pandas as pd
import pytest
import tensorflow as tf
from fastapi.testclient import TestClient

from mmrec_tf.serving.catalogue import Catalogue
from mmrec_tf.serving.http_app import create_app
from mmrec_tf.serving.server_options import ServerOptions
from tests.served_models import IDS, LISTS, Shelf, save_shelf

PNG = b"\x89PNG\r\n\x1a\n and pixels"


def write_catalogue(folder, title="A pen"):
    rows = [
        ("p", title, "office", str(folder / "pen.png")),
        ("q", "", "", ""),
        ("../r/1", "A trap", None, str(folder / "secret.txt")),
        ("s", "Gone", "office", str(folder / "gone.png")),
    ]
    pd.DataFrame(rows, columns=["item_id", "title", "category", "picture"]).to_parquet(folder / "items.parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("native")
    save_shelf(folder / "export" / "recommend" / "5", scale=0.5)
    (folder / "pen.png").write_bytes(PNG)
    (folder / "secret.txt").write_text("secret")
    write_catalogue(folder)
    return folder


@pytest.fixture(scope="module")
def client(folder):
    options = ServerOptions(poll_seconds=0)
    return TestClient(create_app(folder / "export", options=options, catalogue=folder / "items.parquet"))


def get(client, path, status=200):
    response = client.get(path)
    assert response.status_code == status, response.text
    return response.json()


def test_recommendations(client):
    # The shelf's scores, 4 to 1, are halved.
    assert get(client, "/recommend/ann?k=2") == {
        "user_id": "ann",
        "model_version": 5,
        "recommendations": [
            {"rank": 1, "item_id": "p", "score": 2.0, "title": "A pen", "category": "office",
             "media": {"picture": "/media/p/picture"}},
            {"rank": 2, "item_id": "q", "score": 1.5, "media": {}},
        ],
    }  # fmt: skip


def test_excluded_and_history_leave_no_empty_places(client):
    body = get(client, "/recommend/ann?exclude=p&exclude=r&history=s")
    assert [(row["rank"], row["item_id"]) for row in body["recommendations"]] == [(1, "q")]


def test_reasons(client):
    body = get(client, "/recommend/ann?k=2&explain=true")
    assert [row["explanation"] for row in body["recommendations"]] == [
        {"title": 0.75, "id": 1.25},
        {"title": 0.75, "id": 0.75},
    ]
    assert get(client, "/recommend/ann?exclude=p&exclude=q&exclude=r&exclude=s&explain=1")["recommendations"] == []


@pytest.mark.parametrize("user", ["a/b", "Zo\u00eb", "a b?", "%"])
def test_any_user(client, user):
    assert get(client, f"/recommend/{quote(user, safe='')}?k=1")["user_id"] == user


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("k=0", "1 to 1000; got '0'"),
        ("k=-1", "1 to 1000"),
        ("k=1001", "1 to 1000"),
        ("k=", "1 to 1000"),
        ("k=two", "1 to 1000; got 'two'"),
        ("explain=true&k=1&history=s", "not with 'history': .* Leave out explain, or history"),
        ("explain=perhaps", "explain is true or false; got 'perhaps'"),
        ("K=1", "Unknown parameter 'K'; known are k, exclude, history, explain"),
    ],
)
def test_mistakes(client, query, message):
    assert re.search(message, get(client, f"/recommend/ann?{query}", 400)["error"])


def test_reasons_are_told_of_no_context_and_of_an_empty_history(tmp_path):
    class InContext(Shelf):
        @tf.function
        def recommend_in(self, user_id, k, exclude_ids, history_item_ids, city, hour):
            return self.recommend(user_id, k, exclude_ids, history_item_ids)

    shelf, numbers = InContext(1.0), tf.TensorSpec([None], tf.int32)
    hour = tf.TensorSpec([None, None], tf.float32)
    signatures = {
        "recommend": shelf.recommend_in.get_concrete_function(IDS, numbers, LISTS, LISTS, IDS, hour),
        "explain": shelf.explain.get_concrete_function(IDS, IDS),
    }
    tf.saved_model.save(shelf, str(tmp_path / "recommend" / "1"), signatures=signatures)
    client = TestClient(create_app(tmp_path, options=ServerOptions(poll_seconds=0)))
    for query in ("city=Bonn", "hour=0", "city=&hour=7&history=p"):
        assert len(get(client, f"/recommend/ann?{query}")["recommendations"]) >= 3
        assert "Leave out explain, or" in get(client, f"/recommend/ann?explain=1&{query}", 400)["error"]
        assert "explanation" not in get(client, f"/recommend/ann?explain=0&{query}")["recommendations"][0]
    rows = get(client, "/recommend/ann?explain=true&exclude=p&k=1&history=&city=")["recommendations"]
    assert rows == [{"rank": 1, "item_id": "q", "score": 3.0, "explanation": {"title": 0.75, "id": 2.25}}]


def test_without_such_a_model(tmp_path):
    save_shelf(tmp_path / "shelf" / "1")
    client = TestClient(create_app(tmp_path, options=ServerOptions(poll_seconds=0)))
    assert "Latest(recommend); models here: shelf" in get(client, "/recommend/ann", 404)["error"]


def test_without_a_catalogue_there_are_ids_and_scores(folder):
    client = TestClient(create_app(folder / "export", options=ServerOptions(poll_seconds=0)))
    assert get(client, "/recommend/ann?k=1")["recommendations"] == [{"rank": 1, "item_id": "p", "score": 2.0}]
    assert "names no file" in get(client, "/media/p/picture", 404)["error"]


def test_media(client):
    response = client.get("/media/p/picture")
    assert response.content == PNG and response.headers["content-type"] == "image/png"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "q/picture",
        "p/title",
        "p/item_id",
        "s/picture",
        "none/picture",
        # Named by the catalogue, but no picture.
        f"{quote('../r/1', safe='')}/picture",
        "..%2F..%2Fetc%2Fpasswd/picture",
        "p/..%2F..%2Fpicture",
        "p/picture%00",
    ],
)
def test_nothing_else_is_served(client, path):
    assert "names no file" in get(client, f"/media/{path}", 404)["error"]


def test_a_catalogue_that_changes_is_read_again(folder, client):
    write_catalogue(folder, title="A better pen")
    try:
        assert get(client, "/recommend/ann?k=1")["recommendations"][0]["title"] == "A better pen"
    finally:
        write_catalogue(folder)


def test_a_catalogue_that_cannot_be_read_shows_no_titles(tmp_path, caplog):
    (tmp_path / "items.parquet").write_bytes(b"not Parquet")
    catalogue = Catalogue(tmp_path / "items.parquet")
    assert catalogue.shown("p") == {} and catalogue.media("p") == [] and catalogue.media_file("p", "picture") is None
    assert "titles are not shown" in caplog.text
    assert Catalogue(tmp_path / "none.parquet").shown("p") == {}
