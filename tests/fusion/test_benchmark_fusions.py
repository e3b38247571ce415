"""The benchmark of fusions runs and compares with concat; its figures are the machine's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "benchmark_fusions.py"


@pytest.mark.slow
def test_a_small_run_reports_ratios_to_concat(tmp_path):
    given = "--methods co_attention gated --dim 8 --batch 16 --rounds 2 --steps 2 --json".split()
    command = [sys.executable, str(TOOL), *given, str(tmp_path / "found.json")]
    process = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(TOOL.parents[1])},
    )
    assert process.returncode == 0, process.stderr[-2000:]
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert sorted(found) == ["co_attention", "concat", "gated"]
    assert found["concat"]["cpu_ratio"] == found["concat"]["wall_ratio"] == 1.0
    assert (found["gated"]["limit"], found["co_attention"]["limit"]) == (1.3, 3.0)
    for row in found.values():
        assert row["holds"] == (row["cpu_ratio"] <= row["limit"])
        assert row["cpu_ms"] > 0 and row["wall_ms"] > 0
    for name in found:
        assert name in process.stdout
