"""A run's directory: appears whole or not at all, and never replaces what is no run."""

import shutil

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mmrec_tf.config import Config
from mmrec_tf.data.validation import load_data
from mmrec_tf.encoders.tuning import plan_tuning
from mmrec_tf.errors import EncoderError, RunError
from mmrec_tf.features.item_vectors import build_encoders
from mmrec_tf.features.prepared import prepare
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.run import Run, catalogue_of, check_same_ids, new_run, replacing
from mmrec_tf.training.tune_encoder import Tuned
from tests import tale_world
from tests.tiny_encoders import make_text_module, make_text_network


def finished(folder, text="new"):
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_run_appears_when_the_block_ends(tmp_path):
    with new_run(tmp_path / "deep" / "run") as run:
        finished(run.folder)
        assert not (tmp_path / "deep" / "run").exists()
    assert names(tmp_path / "deep") == ["run"]
    assert names(tmp_path / "deep" / "run") == ["checkpoints", "config.yaml"]


def test_failure_leaves_the_earlier_run(tmp_path):
    finished(tmp_path / "run", "earlier")
    with pytest.raises(ZeroDivisionError), new_run(tmp_path / "run", overwrite=True) as run:
        finished(run.folder)
        raise ZeroDivisionError
    assert (tmp_path / "run" / "config.yaml").read_text() == "earlier"
    assert names(tmp_path) == ["run"]


def test_overwrite_replaces_a_run_whole(tmp_path):
    finished(tmp_path / "run", "earlier")
    (tmp_path / "run" / "only_in_the_earlier").touch()
    with new_run(tmp_path / "run", overwrite=True) as run:
        finished(run.folder)
    assert names(tmp_path / "run") == ["checkpoints", "config.yaml"]
    assert names(tmp_path) == ["run"]


def test_an_earlier_run_is_not_replaced_unasked(tmp_path):
    finished(tmp_path / "run")
    with pytest.raises(RunError, match="--overwrite"), new_run(tmp_path / "run"):
        pass


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_run_is_never_replaced(tmp_path, overwrite):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "precious.jpg").touch()
    with pytest.raises(RunError, match="is no run"), new_run(tmp_path / "photos", overwrite=overwrite):
        pass
    assert names(tmp_path / "photos") == ["precious.jpg"]


def test_an_empty_folder_may_become_a_run(tmp_path):
    (tmp_path / "run").mkdir()
    with new_run(tmp_path / "run") as run:
        finished(run.folder)
    assert names(tmp_path / "run") == ["checkpoints", "config.yaml"]


def test_opening_what_is_no_run_says_how_to_make_one(tmp_path):
    with pytest.raises(RunError, match="mmrec train CONFIG --out"):
        Run.open(tmp_path)


def test_missing_part_names_the_command_that_makes_it(tmp_path):
    finished(tmp_path / "run")
    with pytest.raises(RunError, match="mmrec evaluate"):
        Run.open(tmp_path / "run").read_json("metrics.json")


@pytest.mark.parametrize(("content", "why"), [(b"no weights", "file signature not found"), (None, "shape")])
def test_weights_that_do_not_fit_name_what_to_do(content, why, tmp_path):
    config = tale_world.config(tmp_path, tmp_path)
    config = Config.model_validate({**config.model_dump(by_alias=True), "encoders": {"tale": "hashed_text"}})
    prepared = prepare(tale_world.rec_data(), config)
    tables = prepared.users, prepared.items
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    wider = config.model_copy(deep=True)
    wider.models.retrieval.dim *= 2
    run.save_models(build_two_tower(wider, *tables), None)
    weights = run.folder / "checkpoints" / "retrieval.weights.h5"
    if content is not None:
        weights.write_bytes(content)
    with pytest.raises(RunError, match=f"retrieval.weights.h5 does not fit .*{why}.* train again with: mmrec train"):
        run.load_models(config, *tables)


def test_replacing_keeps_the_old_file_on_failure(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(target) as path:
        path.write_text("half")
        raise ZeroDivisionError
    assert target.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]
    with replacing(target) as path:
        path.write_text("new")
    assert target.read_text() == "new"


def test_tuned_encoders_come_back_with_the_vectors_they_gave(tmp_path):
    network = make_text_network(tmp_path / "network")
    config = tale_world.config(network, tmp_path, tuning={"mode": "adapter", "adapter": "bottleneck"})
    run, texts = Run(tmp_path / "run"), tf.constant(tale_world.tales()[:3])
    with pytest.raises(EncoderError, match="the tuned weights of 'tale' cannot be read"):
        run.load_encoder(config, "tale")
    plan = plan_tuning(build_encoders(config)["tale"], config.encoders["tale"].tuning)
    for weight in plan.weights.values():
        weight.assign_add(tf.ones_like(weight) / 10)
    run.save_tuned(config, {"tale": Tuned(plan, {}, {})})
    loaded = run.load_encoder(config, "tale")
    np.testing.assert_array_equal(loaded(texts), plan.encoder(texts))
    assert np.abs(loaded(texts) - build_encoders(config)["tale"](texts)).max() > 1e-3
    with pytest.raises(RunError, match="no item feature 'title' has an encoder. Those that have: tale"):
        run.load_encoder(config, "title")


def test_an_encoder_that_gives_other_vectors_than_the_runs_is_refused(tmp_path):
    module = make_text_module(tmp_path / "module")
    config = tale_world.config(module, tmp_path, type="hub", max_tokens=None)
    (tmp_path / "run").mkdir()
    run = Run(tmp_path / "run")
    # A run of an earlier version wrote nothing.
    run.load_encoder(config, "tale")
    run.save_fingerprints(config, build_encoders(config))
    # Built anew, from another place too, it is the same.
    run.load_encoder(config, "tale")
    shutil.copytree(module, tmp_path / "copy")
    run.load_encoder(tale_world.config(tmp_path / "copy", tmp_path, type="hub", max_tokens=None), "tale")
    (module / "assets" / "note.txt").write_text("of another release")
    with pytest.raises(EncoderError, match="encoder of 'tale', hub from .*module, is not the one .* Put back the mod"):
        run.load_encoder(config, "tale")


def test_of_an_encoder_that_has_learned_its_weights_tell(tmp_path):
    network = make_text_network(tmp_path / "network")
    tuned = tale_world.config(network, tmp_path, tuning="full")
    frozen = tale_world.config(network, tmp_path).model_dump()
    pretrained = Config.model_validate({**frozen, "pretraining": [{"stage": "masked_language"}]})
    run = Run(tmp_path)
    for config in (tuned, pretrained):
        run.save_fingerprints(config, {"tale": None})
        assert run.read_json("features/encoders.json") == {}


def test_changed_tables_are_refused_with_the_first_difference():
    check_same_ids(["a", "b"], ["a", "b"], "items")
    with pytest.raises(RunError, match="items table has changed.*in row 1; 3 rows then, 3 now"):
        check_same_ids(["a", "b", "c"], ["a", "c", "b"], "items")
    with pytest.raises(RunError, match="in row 2; 2 rows then, 3 now"):
        check_same_ids(["a", "b"], ["a", "b", "c"], "users")


def test_a_doubled_item_has_the_title_of_its_first_row(tmp_path):
    pd.DataFrame({"user": ["u"], "item": ["a"]}).to_csv(tmp_path / "interactions.csv", index=False)
    items = {"item": ["a", "b", "a"], "title": ["Ape", "Bee", "Ant"], "plot": ["swings", "hums", "digs"]}
    pd.DataFrame(items).to_csv(tmp_path / "items.csv", index=False)
    config = Config.model_validate({
        "data": {"interactions": tmp_path / "interactions.csv", "items": tmp_path / "items.csv"},
        "schema": {
            "user": {"user": "id"}, "item": {"item": "id", "text": {"kind": "text", "columns": ["title", "plot"]}},
        },
        "split": {"method": "random"},
    })  # fmt: skip
    data, _ = load_data(config)
    assert data.items["text"].tolist() == ["Ape swings", "Bee hums"]
    assert catalogue_of(data, config)["title"].tolist() == ["Ape", "Bee"]
