import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmrec_tf.config_file import load_config
from mmrec_tf.data import inspection
from mmrec_tf.data.inspection import inspect_folder, write_first_config
from mmrec_tf.data.splits import split_interactions
from mmrec_tf.data.validation import load_data
from mmrec_tf.errors import ConfigError


@pytest.fixture
def shop(tmp_path):
    """A folder with three tables, of which the items name photos, and a folder of sounds named by item ids."""
    folder = tmp_path / "my shop"
    (folder / "photos").mkdir(parents=True)
    (folder / "sounds").mkdir()
    generator = np.random.default_rng(0)
    ids = [f"{n:03d}" for n in range(40)]
    pd.DataFrame({
        "product_id": ids,
        "title": [f"Thing number {n} of forty" for n in range(40)],
        "description": [f"A long description of thing {n}, which is nice." for n in range(40)],
        "colour": ["red", "blue"] * 20,
        "tags: all": ["new|cheap", "cheap"] * 20,
        "price": np.arange(40) / 4,
        "photo": [f"photos/{n}.png" for n in ids],
    }).to_csv(folder / "products.csv", index=False)  # fmt: skip
    pd.DataFrame({"customer": ["x", "y", "z"], "city": ["Rome", "Oslo", "Rome"]}).to_csv(
        folder / "people.csv", index=False
    )
    pd.DataFrame({
        "customer": generator.choice(["x", "y", "z"], 60),
        "product_id": generator.choice(ids, 60),
        "stars": generator.permutation([1, 2, 3, 4, 5] * 12),
        "created_at": pd.date_range("2024-01-01", periods=60).astype(str),
        "device": ["phone", "web"] * 30,
    }).to_parquet(folder / "reviews.parquet")  # fmt: skip
    for n in ids:
        Image.new("RGB", (8, 8)).save(folder / "photos" / f"{n}.png")
        (folder / "sounds" / f"{n}.wav").write_bytes(b"x")
    return folder


def test_roles_ids_and_kinds(shop):
    found = inspect_folder(shop)
    assert (found["interactions"], found["items"], found["users"]) == ("reviews.parquet", "products.csv", "people.csv")
    assert (found["user_id"], found["item_id"]) == ("customer", "product_id")
    assert (found["timestamp"], found["label"]) == ("created_at", "stars")
    # The scale goes from 1 to 5; the first value in its upper third is 4.
    assert (found["label_range"], found["positive_from"]) == ((1.0, 5.0), 4.0)
    assert {name: guess.kind for name, guess in found["columns"]["items"].items()} == {
        "title": "text", "description": "text", "colour": "categorical", "tags: all": "multi_categorical",
        "price": "number", "photo": "image",
    }  # fmt: skip
    assert found["columns"]["users"]["city"].kind == "categorical"
    assert found["columns"]["interactions"]["device"].kind == "categorical"
    assert [(media["folder"], media["kind"], media["matching"]) for media in found["media_folders"]] == [
        ("photos", "image", 40),
        ("sounds", "audio", 40),
    ]


def test_the_file_loads_and_the_data_it_names_validates(shop):
    path = write_first_config(shop)
    assert path == shop / "config.yaml"
    config = load_config(path)
    assert [(feature.name, feature.kind) for feature in config.features.item] == [
        ("product_id", "id"), ("text", "text"), ("colour", "categorical"), ("tags: all", "multi_categorical"),
        ("price", "number"), ("photo", "image"),
    ]  # fmt: skip
    assert config.features.item[1].columns == ["title", "description"]
    assert config.encoders["text"].type == "hashed_text" and config.encoders["photo"].type == "image_cnn"
    assert [feature.name for feature in config.features.context] == ["created_at"]
    data, report = load_data(config)
    assert report.ok
    assert len(data.interactions) == 60
    assert data.items["photo"][0] == shop / "photos" / "000.png"
    split = split_interactions(data, config.split)
    assert len(split.test) == 3


def test_every_section_has_a_comment_and_folders_of_media_are_mentioned(shop):
    lines = write_first_config(shop).read_text().splitlines()
    sections = [n for n, line in enumerate(lines) if line and line[0].isalpha() and not line.startswith("seed")]
    names = [lines[n].split(":")[0] for n in sections]
    assert names == [
        "name", "data", "schema", "split", "encoders", "fusion", "models", "train", "evaluation", "export", "store",
    ]  # fmt: skip
    assert all(lines[n - 1].startswith("# ") for n in sections)
    text = "\n".join(lines)
    assert 'items["audio"] = "sounds/" + items["product_id"].astype(str) + ".wav"' in text
    # The photos are in a column already.
    assert 'items["image"]' not in text
    assert "# device: categorical  # only if it is known before recommending" in text


def test_numbers_with_a_decimal_comma_are_left_out_with_the_reason(tmp_path):
    (tmp_path / "ratings.csv").write_text("user;item;rating\nu;a;4,5\nu;b;3,0\nv;a;2,5\nv;b;5,0\n")
    (tmp_path / "items.csv").write_text("item;brand;price\na;x;3,50\nb;y;12,00\n")
    path = write_first_config(tmp_path)
    lines = [line.strip() for line in path.read_text().splitlines()]
    left_out = "left out, its numbers have a comma, as in {}; write them with a decimal point"
    assert f"# price: {left_out.format('3,50')}" in lines and f"# rating: {left_out.format('4,5')}" in lines
    config = load_config(path)
    assert config.data.label is None
    assert [feature.name for feature in config.features.item] == ["item", "brand"]


def test_out_elsewhere_keeps_the_paths_right(shop, tmp_path):
    path = write_first_config(shop, tmp_path / "configs" / "first.yaml")
    config = load_config(path)
    assert config.data.items.resolve() == (shop / "products.csv").resolve()
    assert "items: ../my shop/products.csv" in path.read_text()


def test_a_file_that_is_there_is_not_overwritten(shop):
    (shop / "config.yaml").write_text("mine")
    with pytest.raises(ConfigError, match="not overwritten"):
        write_first_config(shop)
    assert (shop / "config.yaml").read_text() == "mine"


def test_without_time_or_label_or_content(tmp_path):
    pd.DataFrame({"user_id": ["u", "u", "v", "v"], "item_id": ["a", "b", "a", "b"]}).to_csv(
        tmp_path / "clicks.csv", index=False
    )
    pd.DataFrame({"item_id": ["a", "b"], "brand": ["x", "y"]}).to_csv(tmp_path / "items.csv", index=False)
    config = load_config(write_first_config(tmp_path))
    assert config.split.method == "random"
    assert config.data.label is None
    assert config.encoders == {}
    assert config.features.context == []


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no table"),
        ({"a.csv": "x,y\n1,2\n1,2\n"}, r"(?s)No interactions table.*Looked for.*a\.csv: x, y"),
        # The item's column has another name in each table.
        ({"log.csv": "user,item\n1,2\n1,2\n", "items.csv": "id,title\n2,b\n"}, "both tables name the item alike"),
    ],
)
def test_what_cannot_be_guessed_says_what_was_looked_for(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        write_first_config(tmp_path)
    assert not (tmp_path / "config.yaml").exists()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_of_more_rows_than_are_looked_at(tmp_path, monkeypatch, form):
    monkeypatch.setattr(inspection, "SAMPLE_ROWS", 20)
    ids = [f"i{n:03d}" for n in range(100)]
    # The first 20 interactions name items 0, 10, ..., 90, of which 2 are among the first 20 items. Only the last rows
    # have more than 3 stars.
    stars = [1, 2, 3] * 30 + [4, 5] * 5
    tables = {
        "products": pd.DataFrame({"product": ids, "brand": ["x", "y"] * 50}),
        "ratings": pd.DataFrame({"user": list("uvwxy") * 20, "product": ids[::10] * 10, "stars": stars}),
    }
    for name, frame in tables.items():
        if form == "csv":
            frame.to_csv(tmp_path / f"{name}.csv", index=False)
        else:
            frame.to_parquet(tmp_path / f"{name}.parquet", row_group_size=15)
    (tmp_path / "photos").mkdir()
    for item in ids[50:60]:
        (tmp_path / "photos" / f"{item}.png").write_bytes(b"x")
    found = inspect_folder(tmp_path)
    assert (found["interactions"], found["items"]) == (f"ratings.{form}", f"products.{form}")
    # From 1 to 5; the first value in the upper third is 4.
    assert (found["label"], found["label_range"], found["positive_from"]) == ("stars", (1.0, 5.0), 4.0)
    assert [(media["folder"], media["matching"]) for media in found["media_folders"]] == [("photos", 10)]


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match="is not a folder"):
        inspect_folder(tmp_path / "nowhere")


def test_movielens_is_recognised_among_its_other_tables(shared_data, tmp_path):
    config = load_config(write_first_config(shared_data / "movielens-small", tmp_path / "config.yaml"))
    assert config.data.interactions.name == "ratings.csv"
    assert config.data.items.name == "items_text.csv"
    assert (config.features.user_id, config.features.item_id) == ("userId", "movieId")
    assert (config.data.label, config.data.label_range, config.data.positive_from) == ("rating", (0.5, 5.0), 4.0)
    assert {feature.name: feature.kind for feature in config.features.item}["genres"] == "multi_categorical"
