"""tools/benchmark_pretraining.py and tools/compare_fusions.py: their rows, and what is said before training."""

import argparse
import json
import sys
from pathlib import Path

import pytest

from tests import tiny_world

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tools")]

import benchmark_pretraining  # noqa: E402
import compare_fusions  # noqa: E402


@pytest.fixture
def config(tmp_path):
    content = {"data": {"interactions": "none.csv", "items": "none.csv"}, "schema": tiny_world.SCHEMA.model_dump()}
    (tmp_path / "config.yaml").write_text(json.dumps(content), encoding="utf-8")
    return str(tmp_path / "config.yaml")


def test_rows_of_the_documented_also():
    documented = benchmark_pretraining.__doc__.partition('[--also "')[2].partition('"]')[0]
    rows = benchmark_pretraining.choices(argparse.Namespace(stages=["a+b"], also=[documented]))
    assert rows == {
        "none": ["pretraining=[]"],
        "a+b": ["pretraining=[a, b]"],
        "NAME": ["fusion.method=gated", "pretraining=[denoising]"],
    }


@pytest.mark.parametrize("tool", [benchmark_pretraining, compare_fusions], ids=["stages", "fusions"])
@pytest.mark.parametrize(
    "wrong, said", [("fusion.method=gatde", "Did you mean 'gated'"), ("fusion.rank=3", "fusion.rank is no option")]
)
def test_a_row_that_cannot_be_made_is_said_before_the_data_are_read(tool, wrong, said, config, monkeypatch, capsys):
    # The tables are not there either, which would be said later.
    monkeypatch.setattr(sys, "argv", ["tool", config, "--also", f"NAME: {wrong}", "--set", "fusion.method=gated"])
    assert tool.main() == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("tool", [benchmark_pretraining, compare_fusions], ids=["stages", "fusions"])
def test_missing_tables_are_said_without_a_traceback(tool, config, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tool", config])
    assert tool.main() == 2
    assert "none.csv" in capsys.readouterr().err
