"""The figures of examples/encoders: neighbours and chance, on points whose neighbours are plain to see."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "encoders" / "neighbours.py"


@pytest.fixture(scope="module")
def neighbours():
    spec = importlib.util.spec_from_file_location("neighbours", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up by name.
    import sys

    sys.modules["neighbours"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["neighbours"]


def test_items_belong_together_when_they_share_a_label(neighbours):
    belongs = neighbours.shared_labels([{"comedy", "drama"}, {"drama"}, {"comedy"}, {"war"}])
    assert belongs.tolist() == [
        [True, True, True, False],
        [True, True, False, False],
        [True, False, True, False],
        [False, False, False, True],
    ]


def test_chance_counts_pairs_of_different_items(neighbours):
    # 3 of the 6 pairs of four items: (0, 1), (0, 2) share a label, and (1, 2) does; item 3 shares none.
    belongs = neighbours.shared_labels([{"a"}, {"a"}, {"a"}, {"b"}])
    assert neighbours.chance(belongs) == pytest.approx(3 / 6)


def test_share_of_nearest_neighbours(neighbours, monkeypatch):
    monkeypatch.setattr(neighbours, "NEIGHBOURS", (1, 2))
    # Two pairs of near directions, their mean at the origin.
    vectors = np.array([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.1], [-1.0, -0.1]])
    belongs = neighbours.shared_labels([{"a"}, {"a"}, {"b"}, {"a"}])
    # Nearest: 0-1 and 2-3. Of these 0 and 1 belong together, 2 and 3 do not: 2 of 4.
    # Second nearest lie across the vertical axis: 0 has 2 (no), 1 has 3 (yes), 2 has 0 (no), 3 has 1 (yes).
    # Of two: item 0 has 1 of 2, item 1 has 2, item 2 has 0, item 3 has 1: 4 of 8.
    assert neighbours.neighbour_shares(vectors, belongs) == {"of 1": pytest.approx(0.5), "of 2": pytest.approx(0.5)}


def test_no_data_is_said(neighbours, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["neighbours.py", "--data", str(tmp_path)])
    assert neighbours.main() == 2
    assert "holds none of the data sets" in capsys.readouterr().err
