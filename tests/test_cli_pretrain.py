"""`mmrec pretrain`: runs stages ahead of training, says what came of them, and is found by `mmrec train`."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mmrec_tf import cli
from mmrec_tf.config_file import dump_config
from tests.pretraining.worlds import file_config

DENOISING = {"stage": "denoising", "epochs": 3}
MASKED_ITEM = {"stage": "masked_item", "epochs": 2}
SHORT = {"train": {"epochs": 2}, "ranking": {"enabled": False}}


def write(folder, *stages, **sections):
    path = folder / "config.yaml"
    path.write_text(dump_config(file_config(folder, *stages, **sections)), encoding="utf-8")
    return path


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["mmrec", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def test_stages_are_computed_then_reused_then_computed_where_something_changed(tmp_path, monkeypatch, capsys):
    config = write(tmp_path, DENOISING, MASKED_ITEM)
    code, out, _ = run(monkeypatch, capsys, "pretrain", config, "--json")
    first = json.loads(out)
    assert code == 0 and first["folder"] == str(tmp_path / "store" / "pretraining")
    assert {name: stage["epochs"] for name, stage in first["stages"].items()} == {"denoising": 3, "masked_item": 2}
    assert all(stage["reused_epochs"] == 0 for stage in first["stages"].values())
    assert all(np.isfinite(stage["last_loss"]) and stage["seconds"] > 0 for stage in first["stages"].values())

    _, out, _ = run(monkeypatch, capsys, "pretrain", config, "--json")
    again = json.loads(out)["stages"]
    assert {name: stage["reused_epochs"] for name, stage in again.items()} == {"denoising": 3, "masked_item": 2}
    assert again["denoising"]["last_loss"] == first["stages"]["denoising"]["last_loss"]

    # The second stage starts from what the first has left, so that a change to the first concerns both.
    _, out, _ = run(monkeypatch, capsys, "pretrain", config, "--json", "--set", "fusion.dim=32", "--set", "seed=9")
    assert [stage["reused_epochs"] for stage in json.loads(out)["stages"].values()] == [0, 0]


def test_the_table_fits_a_narrow_terminal_and_says_what_was_reused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    config = write(tmp_path, DENOISING)
    for word in ("computed", "reused"):
        code, out, _ = run(monkeypatch, capsys, "pretrain", config)
        assert code == 0 and "denoising" in out and word in out
        assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line) <= 80


def test_without_stages_it_says_what_there_is(tmp_path, monkeypatch, capsys):
    code, _, err = run(monkeypatch, capsys, "pretrain", write(tmp_path))
    assert code == 2
    assert "no pretraining" in err and "masked_modality" in err


def test_what_follows_the_fit_is_left_to_training(tmp_path, monkeypatch, capsys):
    code, out, _ = run(monkeypatch, capsys, "pretrain", write(tmp_path, "pseudo_labels"))
    assert code == 0 and "pseudo_labels runs in mmrec train: it learns from the fitted model" in out
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_embed_passes_over_the_folder_and_prunes_what_is_asked_for_no_longer(tmp_path, monkeypatch, capsys):
    run(monkeypatch, capsys, "pretrain", write(tmp_path, DENOISING, {"stage": "cross_modal", "epochs": 1}))
    folder = tmp_path / "store" / "pretraining"
    assert len(list(folder.iterdir())) == 2
    config = write(tmp_path, DENOISING)
    code, out, _ = run(monkeypatch, capsys, "embed", config, "--status", "--json")
    assert code == 0 and json.loads(out)["stale_encoders"] == {}
    assert len(list(folder.iterdir())) == 2
    code, out, _ = run(monkeypatch, capsys, "embed", config, "--prune", "--json")
    assert code == 0 and json.loads(out)["freed_bytes"] > 1000
    assert [path.name.rpartition("-")[0] for path in folder.iterdir()] == ["denoising"]


@pytest.mark.slow
def test_training_finds_what_pretrain_has_done(tmp_path, monkeypatch, capsys):
    def losses(out):
        return json.loads((out / "history.json").read_text())["history"]["retrieval"]

    config = write(tmp_path, DENOISING, MASKED_ITEM, {"stage": "pseudo_labels", "epochs": 1}, **SHORT)
    code, _, err = run(monkeypatch, capsys, "train", config, "--out", tmp_path / "alone")
    assert code == 0, err
    kept = {path.name for path in (tmp_path / "store" / "pretraining").iterdir()}
    assert sorted(name.rpartition("-")[0] for name in kept) == ["denoising", "masked_item", "pseudo_labels"]
    for path in (tmp_path / "store").rglob("state.json"):
        path.unlink()
    run(monkeypatch, capsys, "pretrain", config)
    states = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("epoch-*")}
    code, _, err = run(monkeypatch, capsys, "train", config, "--out", tmp_path / "after")
    assert code == 0, err
    # Not one of the files has been written again, but for those of the stage that follows the fit.
    same = {path for path, changed in states.items() if path.exists() and path.stat().st_mtime_ns == changed}
    assert {path.parent.name.rpartition("-")[0] for path in same} == {"denoising", "masked_item"}
    assert losses(tmp_path / "after") == losses(tmp_path / "alone")
    assert len(losses(tmp_path / "after")["denoising: loss"]) == 3


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on(tmp_path):
    config = write(tmp_path, {**DENOISING, "epochs": 300})
    command = [sys.executable, "-c", "from mmrec_tf.cli import main; main()", "pretrain", str(config)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    folder, deadline = tmp_path / "store" / "pretraining", time.monotonic() + 120
    while not list(folder.glob("*/state.json")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (state,) = folder.glob("*/state.json")
    done = json.loads(state.read_text())["epochs_done"]
    assert 0 < done < 300
    finished = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=True)
    stage = json.loads(finished.stdout)["stages"]["denoising"]
    assert stage["reused_epochs"] == done and stage["epochs"] == 300
    # What the killed process left half-written, its mark among it, is gone.
    assert {path.name.partition(".")[0] for path in state.parent.iterdir()} == {"state", "epoch-300-finished"}
