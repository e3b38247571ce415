"""Items that a run does not serve any more, wherever it shows what it would recommend."""

import json

import numpy as np
import pytest

from mmrec_tf import run_distill, workflow
from mmrec_tf.run import Run
from mmrec_tf.run_export import removed_items
from mmrec_tf.small_rankers import SmallRanker
from mmrec_tf.workflow import OpenRun
from tests import tiny_world


@pytest.fixture
def opened(tmp_path):
    """A run without its data's files, from which items 4 and 7 were removed, and one that came after training."""
    run = OpenRun.__new__(OpenRun)
    run.run, run.prepared = Run(tmp_path / "run"), tiny_world.prepared(tmp_path)
    run.retrieval, run.ranking = tiny_world.two_tower(), tiny_world.ranker()
    (run.run.folder / "index").mkdir(parents=True)
    (run.run.folder / "index" / "removed.json").write_text(json.dumps(["i4", "i7", "new"]))
    run.run.write_json("history.json", {"history": {}, "seconds": {}})
    return run


@pytest.fixture
def shown(monkeypatch):
    """The engines that reports were made of."""
    engines = []
    for module in (workflow, run_distill):
        monkeypatch.setattr(module, "report_on", lambda run, prepared, engine: engines.append(engine))
    return engines


def not_offered(engine):
    return np.flatnonzero(~engine.is_offered.numpy()).tolist()


def test_a_run_without_changes_has_none(tmp_path):
    assert removed_items(Run(tmp_path)) == []


def test_a_report_does_not_recommend_them(opened, shown):
    opened.report()
    # Index 0 stands for no item.
    assert [not_offered(engine) for engine in shown] == [[0, 5, 8]]


def test_the_report_of_a_distilled_run_does_not_either(opened, shown, tmp_path, monkeypatch):
    for name in ("evaluate_models", "served_encoders", "export_run"):
        monkeypatch.setattr(run_distill, name, lambda *_: {})
    (tmp_path / "new").mkdir()
    new, ranker = Run(tmp_path / "new"), SmallRanker(opened.ranking, opened.prepared, {})
    run_distill._write(opened, new, ranker, {}, None)
    assert removed_items(new) == ["i4", "i7", "new"]
    assert [not_offered(engine) for engine in shown] == [[0, 5, 8]]
