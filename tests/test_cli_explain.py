"""`mmrec explain`: a table, JSON, and messages; and how `--weight` is read."""

import json

import pandas as pd
import pytest

from mmrec_tf.cli_explain import parse_modality_weights, run_explain
from mmrec_tf.errors import MmrecError, RunError
from mmrec_tf.recommend.recommender import Recommender
from mmrec_tf.serving.export import export_models
from tests import tiny_world


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """As much of a run as explaining reads."""
    folder = tmp_path_factory.mktemp("run")
    export_models(tiny_world.engine(), folder / "export")
    (folder / "checkpoints").mkdir()
    (folder / "config.yaml").write_text("")
    tiny_world.users_frame()[["user_id"]].to_parquet(folder / "users.parquet")
    rows = range(tiny_world.ITEMS)
    catalogue = {"title": [f"Title [{row}]" for row in rows], "category": [""] * 5 + ["tea"] * 25}
    pd.DataFrame({"item_id": [f"i{row}" for row in rows], **catalogue}).to_parquet(folder / "items.parquet")
    return folder


def test_as_a_table(run, capsys):
    run_explain(run, "u3", "i5", as_json=False)
    shown = capsys.readouterr()
    explanation = Recommender.load(run).explain("u3", "i5")
    lines = shown.out.splitlines()
    assert lines[0].rstrip() == "i5 for u3"
    found = {line.split()[0]: line.split()[1] for line in lines if len(line.split()) == 2 and line.split()[0] != "part"}
    assert {name: found[name] for name in ("image", "text", "id")} == {
        name: f"{value:.4f}" for name, value in explanation.contributions.items()
    }
    assert f"Title [5] tea\nscore {explanation.score:.4f}" in shown.out
    assert shown.err == ""


def test_as_json(run, capsys):
    run_explain(run, "somebody [/new]", "i2", as_json=True)
    explanation = Recommender.load(run).explain("somebody [/new]", "i2")
    assert json.loads(capsys.readouterr().out) == {
        "user_id": "somebody [/new]",
        "item_id": "i2",
        "score": pytest.approx(explanation.score),
        "contributions": pytest.approx(explanation.contributions),
    }


def test_a_stranger_is_told_to_be_one(run, capsys):
    run_explain(run, "somebody [/new]", "i2", as_json=False)
    shown = capsys.readouterr()
    assert "user somebody [/new] is not known" in " ".join(shown.err.split())
    assert "i2 for somebody [/new]" in shown.out


def test_mistakes(run, tmp_path):
    with pytest.raises(MmrecError, match="item 'i99' is not in the catalogue"):
        run_explain(run, "u3", "i99", as_json=False)
    with pytest.raises(RunError, match="is no finished run"):
        run_explain(tmp_path, "u3", "i5", as_json=False)


def test_weights_from_the_command_line():
    assert parse_modality_weights(None) is None and parse_modality_weights([]) is None
    assert parse_modality_weights(["photo=2", "text=0.5", "a=b=1e1"]) == {"photo": 2.0, "text": 0.5, "a=b": 10.0}


@pytest.mark.parametrize("given", [["photo"], ["photo="], ["photo=two"], ["=2"], ["photo=1", "photo=2"]])
def test_weights_that_cannot_be_read(given):
    with pytest.raises(MmrecError, match=f"--weight takes .*MODALITY=NUMBER.*got {given[-1]!r}"):
        parse_modality_weights(given)
