"""`mmrec embed`: computing, asking, pruning, and what it says of files that are of no use."""

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml
from PIL import Image

from mmrec_tf import cli
from mmrec_tf.data import file_memory
from mmrec_tf.encoders import registry
from mmrec_tf.encoders.hashed_text import HashedTextEncoder


@pytest.fixture
def shop(tmp_path):
    """Four items: a photo, a broken one, one that is not there, and none."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    items = {"item": ["a", "b", "c", "d"], "title": ["red hat", "blue hat", "sock", "shoe"]}
    pd.DataFrame({**items, "photo": ["good.png", "broken.png", "gone.png", ""]}).to_csv(tmp_path / "i.csv", index=False)
    pd.DataFrame({"user": [1, 2, 1], "item": ["a", "b", "c"], "time": [1, 2, 3]}).to_csv(
        tmp_path / "x.csv", index=False
    )
    config = {
        "data": {"interactions": "x.csv", "items": "i.csv"},
        "schema": {
            "user": {"user": "id"},
            "item": {"item": "id", "title": "text", "photo": "image"},
            "context": {"time": "timestamp"},
        },
        "encoders": {"title": {"type": "hashed_text", "dim": 16}, "photo": {"dim": 16}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["mmrec", "embed", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def test_hostile_files_are_missing_modalities_with_a_line(shop, monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, shop / "config.yaml", "--json")
    photo = json.loads(out)["features"]["photo"]
    assert code == 0
    assert (photo["items"], photo["computed"], photo["absent"]) == (4, 1, 3)
    assert photo["problems"] == {"missing_media": 1, "undecodable_media": 1, "no_media": 1}


def test_status_then_embed_then_status(shop, monkeypatch, capsys):
    _, out, _ = run(monkeypatch, capsys, shop / "config.yaml", "--status", "--json")
    before = {feature["feature"]: feature for feature in json.loads(out)["features"]}
    assert (before["title"]["missing"], before["photo"]["missing"], before["photo"]["empty"]) == (4, 1, 3)
    run(monkeypatch, capsys, shop / "config.yaml")
    _, out, _ = run(monkeypatch, capsys, shop / "config.yaml", "--status", "--json")
    after = {feature["feature"]: feature for feature in json.loads(out)["features"]}
    assert (after["title"]["stored"], after["photo"]["stored"], after["photo"]["missing"]) == (4, 1, 0)


def test_one_changed_item_is_embedded_anew_and_pruned_away(shop, monkeypatch, capsys):
    run(monkeypatch, capsys, shop / "config.yaml")
    items = pd.read_csv(shop / "i.csv")
    items.loc[0, "title"] = "green hat"
    items.to_csv(shop / "i.csv", index=False)
    _, out, _ = run(monkeypatch, capsys, shop / "config.yaml", "--json")
    title = json.loads(out)["features"]["title"]
    assert (title["computed"], title["reused"]) == (1, 3)
    _, out, _ = run(monkeypatch, capsys, shop / "config.yaml", "--prune", "--json")
    content = json.loads(out)
    assert content["freed_bytes"] > 0
    assert [feature["stale"] for feature in content["features"]] == [0, 0]


def test_pruning_while_the_photos_are_away_keeps_their_vectors(shop, monkeypatch, capsys):
    # Files this young are not trusted to stay as they are.
    monkeypatch.setattr(file_memory, "_SETTLED_SECONDS", -1.0)
    (shop / "photos").mkdir()
    for name, colour in (("a.png", "red"), ("b.png", "blue"), ("c.png", "green")):
        Image.new("RGB", (16, 16), colour).save(shop / "photos" / name)
    items = pd.read_csv(shop / "i.csv")
    items["photo"] = ["photos/a.png", "photos/b.png", "photos/c.png", ""]
    items.to_csv(shop / "i.csv", index=False)
    config = shop / "config.yaml"
    _, out, _ = run(monkeypatch, capsys, config, "--json")
    assert json.loads(out)["features"]["photo"]["computed"] == 3
    # The third photo is no item's any more.
    items.loc[2, "photo"] = ""
    items.to_csv(shop / "i.csv", index=False)
    (shop / "photos").rename(shop / "elsewhere")
    _, out, _ = run(monkeypatch, capsys, config, "--status", "--json")
    assert {feature["feature"]: feature["stale"] for feature in json.loads(out)["features"]} == {"title": 0, "photo": 1}
    for _ in range(2):
        code, out, _ = run(monkeypatch, capsys, config, "--prune")
        assert code == 0 and "photo: 2 files cannot be found or read; what is stored of them is kept" in out
    _, out, _ = run(monkeypatch, capsys, config, "--status", "--json")
    assert [feature["stale"] for feature in json.loads(out)["features"]] == [0, 0]
    (shop / "elsewhere").rename(shop / "photos")
    _, out, _ = run(monkeypatch, capsys, config, "--json")
    photo = json.loads(out)["features"]["photo"]
    assert (photo["computed"], photo["reused"]) == (0, 2)
    items.loc[2, "photo"] = "photos/c.png"
    items.to_csv(shop / "i.csv", index=False)
    _, out, _ = run(monkeypatch, capsys, config, "--json")
    assert json.loads(out)["features"]["photo"]["computed"] == 1


def test_tables_fit_a_narrow_terminal(shop, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in ([], ["--status"], ["--prune"]):
        code, out, _ = run(monkeypatch, capsys, shop / "config.yaml", *arguments)
        assert code == 0 and "photo" in out
        assert max(len(line) for line in out.splitlines() if str(shop) not in line) <= 80


def test_status_and_prune_together_are_refused(shop, monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, shop / "config.yaml", "--status", "--prune")
    assert code == 2 and "one of them" in err


def test_what_no_feature_uses_is_named_and_what_pruning_it_means(shop, monkeypatch, capsys):
    run(monkeypatch, capsys, shop / "config.yaml")
    text = (shop / "config.yaml").read_text()
    assert text.count("dim: 16") == 2
    # The photos' encoder is another one from now on.
    (shop / "config.yaml").write_text(text.replace("dim: 16", "dim: 8", 1))
    _, out, _ = run(monkeypatch, capsys, shop / "config.yaml", "--status", "--json")
    (unused,) = json.loads(out)["stale_encoders"]
    monkeypatch.setenv("COLUMNS", "200")
    for option, told in (
        ("--status", f"no feature uses {unused}"),
        ("--prune", f"dropped what no feature uses: {unused}"),
    ):
        _, out, _ = run(monkeypatch, capsys, shop / "config.yaml", option)
        # Where lines end depends on how long the paths are.
        words = " ".join(out.split())
        assert told in words and "a finished run keeps its own copy" in words
    _, out, _ = run(monkeypatch, capsys, shop / "config.yaml", "--prune")
    assert "dropped" not in out and "finished run" not in out
    _, out, _ = run(monkeypatch, capsys, shop / "config.yaml", "--prune", "--json")
    assert json.loads(out)["dropped_encoders"] == []


class NaNForHats(HashedTextEncoder):
    """Gives no numbers for whatever ends in "hat"."""

    def call(self, batch, training=False):
        vectors = super().call(batch, training=training)
        return tf.where(tf.strings.regex_full_match(batch, ".*hat")[:, None], np.nan, vectors)


def test_an_encoder_that_fails_for_an_item_names_its_id(shop, monkeypatch, capsys):
    monkeypatch.setitem(registry._ENCODERS, "nan_for_hats", NaNForHats)
    config = shop / "config.yaml"
    code, _, err = run(monkeypatch, capsys, config, "--set", "encoders.title.type=nan_for_hats")
    assert code == 2 and "NaNForHats gave a vector that is not finite for item 'a'" in " ".join(err.split())
