"""`mmrec distill` on a finished run, and the run that it writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mmrec_tf.cli import app
from mmrec_tf.errors import RunError
from mmrec_tf.run import Run
from mmrec_tf.run_distill import BudgetError
from mmrec_tf.serving.op_check import check_export
from mmrec_tf.workflow import OpenRun

pytestmark = pytest.mark.slow


def mmrec(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "150"})


def content_of(folder: Path) -> dict:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def distilled(plain_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("distilled") / "small"
    before = content_of(plain_run.folder)
    # No machine is so slow.
    arguments = ["--under", "100s", "--candidates", 20, "--calls", 3, "--prune", 0.5]
    answer = mmrec("distill", plain_run.folder, "--out", out, "--student", "dim=4,hidden=[8]", *arguments, "--json")
    assert answer.exit_code == 0, answer.exception
    assert content_of(plain_run.folder) == before
    return out, json.loads(answer.stdout)


def test_what_was_tried_is_told_and_the_best_on_validation_chosen(plain_run, distilled):
    out, found = distilled
    rankers = {one["name"]: one for one in found["rankers"]}
    names = ["as trained", "as trained 0.5 pruned", "dim=4,hidden=[8]", "dim=4,hidden=[8] 0.5 pruned"]
    assert list(rankers) == names
    best = max(names[1:], key=lambda name: rankers[name]["validation"]["auc"])
    assert found["chosen"] == best and (found["candidates"], found["milliseconds"]) == (20, 100_000.0)
    assert json.loads((out / "distillation.json").read_text(encoding="utf-8")) == found
    # The run's own figures are those that its training measured.
    own = json.loads((plain_run.folder / "metrics.json").read_text(encoding="utf-8"))["ranker"]
    assert rankers["as trained"]["test"] == pytest.approx(own)
    for name in names[::2]:
        whole, pruned = rankers[name]["dense_weights"], rankers[f"{name} 0.5 pruned"]["dense_weights"]
        assert pruned == pytest.approx(0.5 * whole, rel=0.02)
        assert rankers[f"{name} 0.5 pruned"]["zipped_bytes"] < rankers[name]["zipped_bytes"]
    assert rankers[names[2]]["dense_weights"] < rankers[names[0]]["dense_weights"]


def test_the_new_run_is_one_like_any_other(plain_run, distilled):
    out, found = distilled
    run, settings = Run.open(out), {one["name"]: one["settings"] for one in found["rankers"]}[found["chosen"]]
    old = plain_run.load_config().models.ranking
    assert run.load_config().models.ranking == old.model_copy(update=settings)
    chosen = next(one for one in found["rankers"] if one["name"] == found["chosen"])
    assert run.read_json("metrics.json")["ranker"] == pytest.approx(chosen["test"])
    assert (out / "report.html").is_file() and run.read_json("history.json")["seconds"]["distill"] > 0.0
    weights = [folder / "checkpoints" / "retrieval.weights.h5" for folder in (out, plain_run.folder)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    measured = OpenRun(out).evaluate()
    assert measured["ranker"] == pytest.approx(chosen["test"])
    checks = check_export(out / "export")
    assert {check.path.parent.name for check in checks} == {"recommend", "retrieval", "ranking", "item_encoder"}
    assert not any(check.refusals for check in checks)
    users = json.loads((out / "examples.json").read_text(encoding="utf-8"))
    answer = mmrec("recommend", out, "--user", users[0]["user"], "--k", 3, "--json")
    assert answer.exit_code == 0 and len(json.loads(answer.stdout)) > 0
    assert mmrec("export", out).exit_code == 0


def test_nothing_is_written_where_nothing_is_in_time(plain_run, tmp_path):
    arguments = ["--student", "model=logistic_regression", "--calls", 3, "--candidates", 20, "--under", "0.0001ms"]
    answer = mmrec("distill", plain_run.folder, "--out", tmp_path / "none", *arguments)
    assert isinstance(answer.exception, BudgetError) and "takes" in str(answer.exception)
    assert "the quickest, model=logistic_regression," in str(answer.exception)
    assert "as trained" in answer.stdout and not np.any([*tmp_path.iterdir()])
    # A folder that is taken is refused before anything is trained.
    assert isinstance(mmrec("distill", plain_run.folder, "--out", plain_run.folder.parent).exception, RunError)
