"""tools/benchmark_retrieval.py: what its figures are made of. The measurements themselves are not run."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"
sys.path[:0] = [str(TOOLS), str(TOOLS / "retrieval_speed")]

import benchmark_retrieval  # noqa: E402
from growth_plot import computed_megabytes, plot_growth  # noqa: E402
from interactions import interactions  # noqa: E402
from processes import MeasurementError, measured, quickest  # noqa: E402
from variants import Variant  # noqa: E402


def test_quickest_span_of_each_clock_by_itself():
    # Wall spans 4 and 2, CPU spans 1 and 3, over 2 pieces of work.
    assert quickest([(0.0, 0.0), (4.0, 1.0), (6.0, 4.0)], 2.0) == {"wall": 1.0, "cpu": 0.5}


def test_interactions_have_the_skew_of_movielens():
    users, items = interactions(943, 1_682, 100_000)
    assert users.min() >= 0 and users.max() < 943 and items.max() < 1_682
    counts = np.sort(np.bincount(items, minlength=1_682))[::-1]
    # The first tenth of u^(1/(1-0.75)) has 0.1^0.25 = 0.56 of the interactions.
    assert counts[:168].sum() / 100_000 == pytest.approx(0.56, abs=0.02)


def test_memory_is_counted_number_by_number():
    # 9 users: 10 rows of 2 numbers, three times, and an index: 70. 4 items: 5 rows of (2 + 1) * 3 + 3 numbers: 60.
    assert computed_megabytes({"users": 9, "items": 4, "dim": 2}) * 2**20 == pytest.approx(4 * 130)


def test_plot_of_growth(tmp_path):
    row = {"cpu": 1e-6, "resident_mb": 500.0, "computed_mb": 10.0}
    plot_growth({10: row, 100: {**row, "resident_mb": 600.0}}, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_a_failing_measurement_says_why():
    with pytest.raises(MeasurementError, match="KeyError: 'users'"):
        measured("ranking", {}, 1)


def test_rows_count_their_quickest_round_and_a_failing_row_is_named(monkeypatch, capsys):
    rounds = iter([{"cpu": 0.5, "wall": 1.0, "peak_mb": 9.0}, {"cpu": 1.0, "wall": 0.25, "peak_mb": 8.0}])

    def made_up(script, *_):
        if script == "broken":
            raise MeasurementError("no such library")
        return next(rounds)

    monkeypatch.setattr(benchmark_retrieval, "measured", made_up)
    variants = [Variant("works", "ranking", {}), Variant("does not", "broken", {})]
    found = benchmark_retrieval.in_turns(variants, argparse.Namespace(rounds=2, threads=1, recbole=None))
    assert found["works"] == {"cpu": 0.5, "wall": 0.25, "peak_mb": 8.0}
    benchmark_retrieval.show(found, "users", "works")
    printed = capsys.readouterr().out
    assert "failed: no such library" in printed
    assert " 2 " in printed and " 4 " in printed


def test_recbole_is_left_out_without_its_environment(monkeypatch, capsys):
    asked = []

    def made_up(script, *_):
        asked.append(script)
        return {"cpu": 1.0, "wall": 1.0, "peak_mb": 1.0}

    monkeypatch.setattr(benchmark_retrieval, "measured", made_up)
    benchmark_retrieval.recbole(argparse.Namespace(rounds=1, threads=1, recbole=None))
    assert set(asked) == {"our_training"}
    assert "RecBole is left out" in capsys.readouterr().out


def test_what_fails_is_named_and_what_was_measured_before_is_kept(tmp_path, monkeypatch, capsys):
    def made_up(script, *_):
        if script == "our_training":
            return {"cpu": 1.0, "wall": 1.0, "peak_mb": 1.0, "resident_mb": 1.0}
        raise MeasurementError("out of memory")

    monkeypatch.setattr(benchmark_retrieval, "measured", made_up)
    file = tmp_path / "figures.json"
    given = ["--only", "growth", "large", "profile", "--rounds", "1", "--most-items", "10000", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", ["benchmark_retrieval.py", *given])
    assert benchmark_retrieval.main() == 0
    found = json.loads(file.read_text())
    assert found["growth"]["10,000 items"]["cpu"] == 1.0
    assert found["large"] == {"error": "out of memory"}
    assert {part["error"] for part in found["profile"].values()} == {"out of memory"}
    # One line for `large` and one for each of the three steps of `profile`.
    assert capsys.readouterr().out.count("failed: out of memory") == 4

    # What stops the program between two sections leaves the first one's figures.
    file.unlink()
    monkeypatch.setattr(benchmark_retrieval, "large", lambda options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        benchmark_retrieval.main()
    assert list(json.loads(file.read_text())) == ["growth"]


def test_growth_without_its_smallest_catalogue_has_no_plot(tmp_path, monkeypatch, capsys):
    def made_up(script, spec, *_):
        if spec["items"] == 10_000:
            raise MeasurementError("out of memory")
        return {"cpu": 1.0, "wall": 1.0, "peak_mb": 1.0, "resident_mb": 1.0}

    monkeypatch.setattr(benchmark_retrieval, "measured", made_up)
    options = argparse.Namespace(rounds=1, threads=1, recbole=None, most_items=100_000, plot=tmp_path / "growth.png")
    benchmark_retrieval.growth(options)
    assert "no plot: it begins with 10,000 items, which failed" in capsys.readouterr().out
    assert not options.plot.exists()


def test_a_largest_catalogue_below_the_smallest_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark_retrieval.py", "--only", "growth", "--most-items", "5000"])
    with pytest.raises(SystemExit):
        benchmark_retrieval.main()
    assert "--most-items is 5000, and the smallest catalogue has 10000" in capsys.readouterr().err


def test_an_interpreter_that_is_not_there_is_a_failed_measurement():
    with pytest.raises(MeasurementError, match="/no/such cannot be started"):
        measured("recbole_bpr", {}, 1, "/no/such")
