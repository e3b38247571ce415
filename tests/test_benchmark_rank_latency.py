"""tools/benchmark_rank_latency.py: what it builds and shows. The sizes that it is for are not measured."""

import sys
from pathlib import Path

import pytest

from mmrec_tf.errors import ConfigError
from mmrec_tf.models.rankers.registry import ranker_names
from mmrec_tf.serving.rank_latency import RankLatency
from tests import tiny_world

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tools")]

import benchmark_rank_latency  # noqa: E402


@pytest.fixture
def exported(monkeypatch):
    """What is exported and asked, without doing so."""
    seen = []

    def export(engine, folder):
        (Path(folder) / "1").mkdir()
        (Path(folder) / "1" / "weights").write_bytes(b"12345")
        seen.append(engine.ranking)
        return Path(folder) / "1"

    def latency(version, users, items, candidates, calls):
        assert (len(users), len(items)) == (tiny_world.USERS, tiny_world.ITEMS)
        return RankLatency(candidates / 100.0, calls / 10.0)

    monkeypatch.setattr("mmrec_tf.serving.export.export_ranking", export)
    monkeypatch.setattr("mmrec_tf.serving.rank_latency.rank_latency", latency)
    return seen


def test_every_ranker_is_built_and_timed(exported, tmp_path):
    prepared, retrieval = tiny_world.prepared(tmp_path), tiny_world.two_tower()
    names = benchmark_rank_latency.ranker_names()
    assert set(names) >= set(ranker_names())
    for name in ("logistic_regression", "esmm"):
        found = benchmark_rank_latency.measure(prepared, retrieval, name, 500, 70)
        assert found == {"ranker": name, "median": 5.0, "p99": 7.0, "bytes": 5}
    assert [type(ranking).__name__ for ranking in exported] == ["LogisticRegression", "ESMM"]
    assert list(exported[1].targets) == ["bought"]
    with pytest.raises(ConfigError, match="Did you mean 'deepfm'"):
        benchmark_rank_latency.measure(prepared, retrieval, "deepfn", 500, 70)


def test_a_row_says_whether_the_budget_is_met():
    one = {"ranker": "din", "median": 4.994, "p99": 7.0, "bytes": 12_340_000}
    assert benchmark_rank_latency.cells(one) == ("din", "4.99", "7.00", "12.3", "yes")
    assert benchmark_rank_latency.cells({**one, "median": 5.0})[-1] == "no"
