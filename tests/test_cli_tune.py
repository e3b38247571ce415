"""`mmrec tune`: searches, shows the best trials, warns of edges, goes on after a kill, and says what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from mmrec_tf import cli
from mmrec_tf.cli_tune import _short_names
from mmrec_tf.config_file import dump_config, load_config
from tests.pretraining.worlds import file_config
from tests.search.worlds import StubJudge

SPACE = {"models.retrieval.dim": [8, 16], "train.learning_rate": {"low": 0.001, "high": 0.1, "scale": "log"}}
TRAIN = {"epochs": 2, "batch_size": 32, "ranking": {"epochs": 1}}


def write(folder, **sections):
    search = {"method": "random", "trials": 8, "space": SPACE, **sections.pop("search", {})}
    path = folder / "config.yaml"
    path.write_text(dump_config(file_config(folder, train=TRAIN, search=search, **sections)), encoding="utf-8")
    return path


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["mmrec", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def wide(config) -> float:
    """The wider the better, and the faster, but that counts for little."""
    return config.models.retrieval.dim / 100 + config.train.learning_rate / 10


@pytest.fixture
def stubbed(monkeypatch):
    """Trials are scored without training; 16 is the best of the widths, and an end of them."""
    judge = StubJudge(wide)
    monkeypatch.setattr("mmrec_tf.search.searching.search_settings.__defaults__", (False, None, judge.made))
    return judge


def test_the_table_the_warning_and_what_to_do_next(stubbed, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(monkeypatch, capsys, "tune", write(tmp_path), "--out", tmp_path / "s")
    assert code == 0, err
    lines = out.splitlines()
    assert "validation NDCG@10: the best of 8 trials, trial 0 as configured" in lines[0]
    scores = [float(line.split()[1]) for line in lines if line.strip()[:1].isdigit()]
    assert scores == sorted(scores, reverse=True) and len(scores) == 8
    assert "dim 8, learning_rate 0.002" in out
    assert "warning: models.retrieval.dim is best at 16" in out and "beyond 16" in " ".join(out.split())
    assert f"Train with them: mmrec train {tmp_path / 's' / 'best.yaml'}" in out
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80


def test_json_has_every_trial(stubbed, tmp_path, monkeypatch, capsys):
    tune = ("tune", write(tmp_path), "--out", tmp_path / "s", "--json", "--set", "search.trials=7")
    code, out, _ = run(monkeypatch, capsys, *tune)
    content = json.loads(out)
    assert code == 0 and len(content["trials"]) == 7 and content["metric"] == "validation NDCG@10"
    assert content["best"] in content["trials"]
    assert wide(load_config(content["best_config"])) == content["best"]["score"]
    assert content["at_edge"][0]["setting"] == "models.retrieval.dim"
    assert content["at_edge"][0]["message"].endswith("beyond 16")


def test_failed_trials_are_told_of(stubbed, tmp_path, monkeypatch, capsys):
    def score(config):
        if config.models.retrieval.dim == 16:
            raise MemoryError("no room for [16]")
        return wide(config)

    stubbed.score = score
    code, out, _ = run(monkeypatch, capsys, "tune", write(tmp_path), "--out", tmp_path / "s")
    assert code == 0 and "MemoryError: no room for [16]" in out and "failed, the first of them trial" in out


def test_names_are_as_short_as_leaves_them_different():
    short = {
        "train.learning_rate": "train.learning_rate",
        "train.ranking.learning_rate": "ranking.learning_rate",
        "models.retrieval.dim": "retrieval.dim",
        "models.ranking.dim": "ranking.dim",
        "fusion.method": "method",
    }
    assert _short_names(list(short)) == short


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["search.space={train.epoch: [1, 2]}"], "Did you mean 'train.epochs'"),
        (["search.space={train.epochs: {low: 3, high: 2}}"], "the range from 3 to 2 is empty"),
        (["search.method=grid"], "search.method"),
        (["search.trials=0"], "search.trials"),
        (["search.trials=null"], "after trials or minutes"),
        (["serach.trials=3"], "Did you mean 'search'"),
    ],
)
def test_a_mistake_gives_a_message_and_no_folder(stubbed, settings, expected, tmp_path, monkeypatch, capsys):
    overrides = [part for setting in settings for part in ("--set", setting)]
    code, _, err = run(monkeypatch, capsys, "tune", write(tmp_path), "--out", tmp_path / "s", *overrides)
    assert code == 2 and expected in " ".join(err.split()) and "Traceback" not in err
    assert not (tmp_path / "s").exists()


def test_a_changed_configuration_is_refused_and_overwrite_begins_anew(stubbed, tmp_path, monkeypatch, capsys):
    config = write(tmp_path)
    tune = ("tune", config, "--out", tmp_path / "s")
    assert run(monkeypatch, capsys, *tune)[0] == 0
    code, _, err = run(monkeypatch, capsys, *tune, "--set", "train.epochs=3")
    assert code == 2 and "train.epochs was 2 and is 3" in err and "--overwrite" in err
    asked = len(stubbed.asked)
    assert run(monkeypatch, capsys, *tune, "--set", "train.epochs=3", "--overwrite")[0] == 0
    assert len(stubbed.asked) == asked + 8


@pytest.mark.slow
@pytest.mark.thorough
def test_a_real_search_is_killed_and_goes_on_and_its_best_can_be_trained(tmp_path):
    config, folder = write(tmp_path, search={"stage": "both", "trials": 4}), tmp_path / "s"
    command = [sys.executable, "-c", "from mmrec_tf.cli import main; main()"]
    tune = [*command, "tune", str(config), "--out", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(tune, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def statuses():
        path = folder / "trials.json"
        return [trial["status"] for trial in json.loads(path.read_text())["trials"]] if path.is_file() else []

    deadline = time.monotonic() + 240
    while len(statuses()) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert statuses() == ["done", "done", "running"]
    before = json.loads((folder / "trials.json").read_text())["trials"][:2]
    finished = subprocess.run([*tune, "--json"], env=environment, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stderr
    content = json.loads(finished.stdout)
    assert content["trials"][:2] == before and [trial["status"] for trial in content["trials"]] == ["done"] * 4
    assert content["trials"][2]["begun"] == 2
    assert all(trial["epochs"] == 3 and trial["seconds"] > 0 for trial in content["trials"])
    # No marks and half-written files are left.
    assert sorted(path.name for path in folder.iterdir()) == ["best.yaml", "oracle.json", "trials.json"]
    train = [*command, "train", str(folder / "best.yaml"), "--out", str(tmp_path / "run")]
    trained = subprocess.run(train, env=environment, capture_output=True, text=True, timeout=300)
    assert trained.returncode == 0, trained.stderr
