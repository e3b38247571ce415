"""What `mmrec distill` takes and shows."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from mmrec_tf.cli import app
from mmrec_tf.cli_distill import milliseconds, student_settings
from mmrec_tf.config_file import dump_config
from mmrec_tf.errors import ConfigError, MmrecError, RunError
from mmrec_tf.run_distill import BudgetError, DistillOptions
from tests import tiny_world


def ranker(name, auc, milliseconds, **changes):
    figures = {"auc": auc, "per_user_auc": auc - 0.1, "log_loss": 0.5}
    sizes = {"bytes": 3_000_000, "zipped_bytes": 2_000_000, "dense_weights": 9}
    test = {**figures, "auc": auc - 0.02}
    times = {"milliseconds": milliseconds, "p99_milliseconds": 2 * milliseconds}
    return {"name": name, "target": "click", "validation": figures, "test": test, **times, **sizes, **changes}


FOUND = {
    "teacher": "runs/shop",
    "milliseconds": 5.0,
    "candidates": 500,
    "calls": 300,
    "sparsity": 0.0,
    "rankers": [ranker("as trained", 0.8, 6.0), ranker("dim=8", 0.79, 2.0)],
    "chosen": "dim=8",
}


@pytest.fixture
def run(tmp_path):
    return folder_of(tmp_path / "shop")


def folder_of(folder, **sections):
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(dump_config(tiny_world.config(**sections)), encoding="utf-8")
    return folder


@pytest.fixture
def asked(monkeypatch):
    """What the steps behind the command are called with; `asked.answer` is what they give."""
    calls = SimpleNamespace(answer=FOUND)

    def distilled(opened, options, out, overwrite, progress):
        calls.options, calls.out, calls.overwrite = options, out, overwrite
        if isinstance(calls.answer, Exception):
            raise calls.answer
        return calls.answer

    opened = SimpleNamespace(check_same_interactions=lambda: None)
    monkeypatch.setattr("mmrec_tf.workflow.OpenRun", lambda *_: opened)
    monkeypatch.setattr("mmrec_tf.run_distill.distill_run", distilled)
    return calls


def mmrec(*arguments):
    return CliRunner().invoke(app, ["distill", *map(str, arguments)])


def test_what_is_asked_for_is_what_is_done(run, asked):
    answer = mmrec(run)
    assert answer.exit_code == 0, answer.exception
    assert asked.options == DistillOptions() and asked.out == run.parent / "shop-small" and not asked.overwrite
    arguments = ["--out", run.parent / "o", "--under", "0.2s", "--candidates", 50, "--prune", 0.5, "--alone"]
    arguments += ["--student", "model=fm", "--student", "dim=8,hidden=[32,16]", "--temperature", 3, "--weight", 0.9]
    assert mmrec(run, *arguments, "--calls", 7, "--overwrite").exit_code == 0
    students = [{"model": "fm"}, {"dim": 8, "hidden": [32, 16]}]
    assert asked.options == DistillOptions(200.0, 50, students, 0.5, 3.0, 0.9, True, 7)
    assert asked.out == run.parent / "o" and asked.overwrite


def test_table_of_figures_and_costs_in_80_columns(run, asked, monkeypatch):
    monkeypatch.setattr("mmrec_tf.cli_distill.console.width", 80)
    shown = mmrec(run).stdout
    lines = [line.split() for line in shown.splitlines()]
    assert "ranker validation AUC per user log loss ms MB".split() in lines
    # Validation AUC, then AUC, per-user AUC and log loss of the test split.
    assert ["as", "trained", "0.8000", "0.7800", "0.7000", "0.5000", "6.00", "3.00"] in lines
    assert ["dim=8", "0.7900", "0.7700", "0.6900", "0.5000", "2.00", "3.00"] in lines
    assert "of those under 5 ms: dim=8, 3.0 times as fast as the run's own ranker." in shown
    assert "answers in time too" not in shown
    asked.answer = {**FOUND, "milliseconds": 6.0, "sparsity": 0.5}
    shown = mmrec(run).stdout
    assert "zipped" in shown and "answers in time too: runs/shop stays as it is" in shown


def test_table_of_ratings(run, asked, monkeypatch):
    monkeypatch.setattr("mmrec_tf.cli_distill.console.width", 100)
    figures = {"target": "rating", "validation": {"rmse": 0.9}, "test": {"rmse": 0.95}}
    asked.answer = {
        **FOUND,
        "rankers": [ranker("as trained", 0.8, 6.0, **figures), ranker("dim=8", 0.8, 2.0, **figures)],
    }
    lines = [line.split() for line in mmrec(run).stdout.splitlines()]
    assert "ranker validation RMSE AUC per user ms MB".split() in lines
    assert ["dim=8", "0.9000", "0.9500", "2.00", "3.00"] in lines


def test_what_was_measured_is_shown_though_nothing_is_in_time(run, asked):
    content = {name: value for name, value in FOUND.items() if name != "chosen"}
    asked.answer = BudgetError("no ranker answers within 1 ms; the quickest, dim=8, takes 2.00 ms.", content)
    answer = mmrec(run, "--under", "1ms")
    assert answer.exception is asked.answer and "dim=8" in answer.stdout and "Chosen" not in answer.stdout
    answer = mmrec(run, "--under", "1ms", "--json")
    assert answer.exception is asked.answer and json.loads(answer.stdout) == content
    asked.answer = FOUND
    assert json.loads(mmrec(run, "--json").stdout) == FOUND


def test_times_and_students():
    assert [milliseconds(text) for text in ("5ms", "0.2 s", "5", " 12.5 ms ")] == [5.0, 200.0, 5.0, 12.5]
    assert student_settings("model=fm") == {"model": "fm"}
    assert student_settings("hidden=[32,16], dim=8,trends=false") == {"hidden": [32, 16], "dim": 8, "trends": False}
    assert student_settings("targets={},dim=8") == {"targets": {}, "dim": 8}


@pytest.mark.parametrize("text", ["fast", "0ms", "-1ms", "5m", ""])
def test_times_that_are_none(text):
    with pytest.raises(MmrecError, match="--under takes a time above 0, such as 5ms or 0.2s, got"):
        milliseconds(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dim", "--student takes settings of models.ranking, each once, as in dim=8"),
        ("dim=8,dim=4", "each once"),
        ("=8", "each once"),
        ("hidden=[32", r"the value of hidden, '\[32', is not valid YAML"),
        ("dim=2024-02-30", "the value of dim, '2024-02-30', is not valid YAML"),
    ],
)
def test_students_that_are_none(text, message):
    with pytest.raises(MmrecError, match=message):
        student_settings(text)


def test_mistakes(run, asked, tmp_path):
    def mistake(*arguments):
        return mmrec(*arguments).exception

    assert isinstance(mistake(tmp_path), RunError)
    assert "--prune takes a share from 0 to below 1, got 1." in str(mistake(run, "--prune", 1))
    assert "--weight takes a number from 0 to 1, got 2." in str(mistake(run, "--weight", 2))
    assert "--temperature takes a number above 0, got 0." in str(mistake(run, "--temperature", 0))
    assert "the run itself, which stays as it is" in str(mistake(run, "--out", run))
    unknown = mistake(run, "--student", "dimm=8")
    assert isinstance(unknown, ConfigError) and "Did you mean 'dim'" in str(unknown)
    twice = mistake(run, "--student", "dim=8", "--student", "dim=8")
    assert isinstance(twice, ConfigError) and "the student dim=8 is named twice" in str(twice)
    without = mistake(folder_of(tmp_path / "plain", ranking={"enabled": False}))
    assert isinstance(without, RunError) and "has no ranker to learn from" in str(without)
    assert not hasattr(asked, "options")
