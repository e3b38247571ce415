"""Items that come and go after training, through the command line."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml

from mmrec_tf.encoders.hashed_text import HashedTextEncoder
from mmrec_tf.errors import EncoderError
from mmrec_tf.recommend.recommender import Recommender
from mmrec_tf.serving.model_store import ModelStore
from mmrec_tf.workflow import OpenRun
from tests.scann_here import needs_scann

pytestmark = pytest.mark.slow


def mmrec(*arguments):
    code = "import sys; from mmrec_tf.cli import main; sys.argv[0] = 'mmrec'; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def run(small_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("grown") / "run"
    shutil.copytree(small_run.folder, folder)
    # A head of 64 items, and the others in a block behind it.
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    config["export"] |= {"index": "ivf", "candidates": 8}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return folder


def test_items_are_added_and_removed_without_training(run, small_shop, tmp_path):
    weights = (run / "checkpoints" / "retrieval.weights.h5").read_bytes()
    items = pd.read_csv(small_shop.parent / "items.csv", dtype=str, keep_default_na=False)
    # Twins of two items: the same content under another id, with the media beside the shop's table.
    twins = items.iloc[[3, 8]].assign(item_id=["TWIN3", "TWIN8"])
    table = small_shop.parent / "new_items.csv"
    twins.to_csv(table, index=False)
    # As one that was killed before it changed anything but the names has left them.
    names = pd.read_parquet(run / "items.parquet")
    pd.concat([names, names.iloc[[8]].assign(item_id="TWIN3")]).to_parquet(run / "items.parquet", index=False)
    gone = tmp_path / "gone.txt"
    gone.write_text(f"{items['item_id'][5]}\n\n")
    finished = mmrec("index", run, "--add", table, "--remove", gone)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert (run / "checkpoints" / "retrieval.weights.h5").read_bytes() == weights

    retrieval = tf.saved_model.load(str(run / "export" / "retrieval" / "2")).signatures
    embedded = {
        item: retrieval["embed_item"](item_id=tf.constant([item]))["embedding"].numpy()[0]
        for item in ("TWIN3", items["item_id"][3], items["item_id"][20])
    }
    twin, other, stranger = embedded.values()
    assert twin[:-2] @ other[:-2] > twin[:-2] @ stranger[:-2]
    everything = retrieval["retrieve"](user_id=tf.constant(["nobody"]), k=tf.constant([1000]))["item_id"].numpy()[0]
    found = {name.decode() for name in everything if name}
    assert found == {*items["item_id"], "TWIN3", "TWIN8"} - {items["item_id"][5]}
    variables = tf.train.list_variables(str(run / "export" / "retrieval" / "2" / "variables" / "variables"))
    width = len(embedded["TWIN3"])
    assert [shape for _, shape in variables if shape[-1:] == [width]] == [[1, width], [128, width]]
    # The new items have a name where items are shown, and the next export keeps the change.
    catalogue = pd.read_parquet(run / "items.parquet").set_index("item_id")
    assert catalogue.index.is_unique and len(catalogue) == len(items) + 2
    assert catalogue.loc["TWIN3", "title"] == catalogue.loc[items["item_id"][3], "title"]
    assert json.loads((run / "index" / "removed.json").read_text()) == [items["item_id"][5]]
    table_of_all = Recommender.load(run).recommend_all(["U0001", "nobody"], k=100)
    assert items["item_id"][5] not in set(table_of_all["item_id"])
    assert np.isfinite(table_of_all["score"]).all()
    table.unlink()


def test_items_are_not_put_into_another_encoders_space(small_run, small_shop, tmp_path, monkeypatch):
    shutil.copytree(small_run.folder, tmp_path / "run")
    table = small_shop.parent / "newer_items.csv"
    items = pd.read_csv(small_shop.parent / "items.csv", dtype=str, keep_default_na=False)
    items.iloc[[3]].assign(item_id=["TWIN3"]).to_csv(table, index=False)
    monkeypatch.setattr(HashedTextEncoder, "revision", HashedTextEncoder.revision + 1)
    with pytest.raises(EncoderError, match="hashed_text, is not the one that the vectors of .* are from"):
        OpenRun(tmp_path / "run").index(table, [])
    assert not (tmp_path / "run" / "index").exists()
    table.unlink()


@needs_scann
def test_scanns_index_is_written_changed_checked_and_served(small_run, small_shop, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(small_run.folder, folder, ignore=shutil.ignore_patterns("export"))
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    # A head of 32 items, and the others in ScaNN's codes.
    config["export"] |= {"index": "scann", "candidates": 8, "modality_weights": False}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    items = pd.read_csv(small_shop.parent / "items.csv", dtype=str, keep_default_na=False)["item_id"]
    (tmp_path / "gone.txt").write_text(items[5])
    finished = mmrec("index", folder, "--remove", tmp_path / "gone.txt")
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert "needs ScaNN ops, as asked: not for stock TensorFlow Serving" in " ".join(finished.stdout.split())
    checked = mmrec("check-export", folder / "export")
    assert checked.returncode == 0 and "Scann>" in checked.stdout
    store = ModelStore(folder / "export")
    inputs = {"user_id": np.array([b"U0001", b"nobody"], object), "k": np.array([9, 9], np.int32)}
    found = store.find("retrieval").run("retrieve", inputs)["item_id"]
    store.close()
    assert found.shape == (2, 9) and items[5].encode() not in found and b"" not in found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give --add a table of new items, or --remove"),
        (["--remove", "absent.txt"], "is no file"),
        (["--add", "absent.csv"], "absent.csv"),
        (["--remove", "latin.txt"], "is no UTF-8 text"),
    ],
)
def test_mistakes_change_nothing(run, options, message, tmp_path, monkeypatch):
    (tmp_path / "latin.txt").write_bytes("caf\u00e9".encode("latin-1"))
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in (run / "export" / "retrieval").iterdir())
    finished = mmrec("index", run, *options)
    assert finished.returncode == 2 and message in finished.stderr and "Traceback" not in finished.stderr
    assert sorted(path.name for path in (run / "export" / "retrieval").iterdir()) == before
