"""`mmrec importance` on a finished run."""

import json

import pytest
from typer.testing import CliRunner

from mmrec_tf.cli import app
from mmrec_tf.errors import MmrecError, RunError

pytestmark = pytest.mark.slow


def mmrec(*arguments):
    return CliRunner().invoke(app, ["importance", *map(str, arguments)])


def test_table_json_and_plot_say_the_same(small_run, tmp_path):
    found = mmrec(small_run.folder, "--repeats", 2, "--json")
    assert found.exit_code == 0, found.exception
    content = json.loads(found.stdout)
    assert content["loss"] == "drop of AUC" and content["repeats"] == 2 and content["pairs"] > 100
    losses = [one["loss"] for one in content["features"]]
    assert losses == sorted(losses, reverse=True) and losses[0] > 0.0
    named = {(one["part"], one["feature"]) for one in content["features"]}
    schema = small_run.load_config().features
    assert {("item", feature.name) for feature in schema.item if feature.kind != "id"} <= named
    assert {("user", "id"), ("item", "id"), ("history", "items")} <= named
    plot = tmp_path / "plots" / "importance.svg"
    shown = mmrec(small_run.folder, "--repeats", 2, "--plot", plot)
    assert shown.exit_code == 0, shown.exception
    first = content["features"][0]
    assert f"{first['loss']:.4f}" in shown.stdout and "wrote" in shown.stdout
    drawn = plot.read_text(encoding="utf-8")
    assert drawn.startswith("<svg") and f"{first['part']}: {first['feature']}" in drawn


def test_mistakes(small_run, tmp_path):
    assert isinstance(mmrec(tmp_path).exception, RunError)
    found = mmrec(small_run.folder, "--plot", tmp_path / "plot.png").exception
    assert isinstance(found, MmrecError) and "ends in .svg" in str(found)
