"""tools/benchmark_index.py: its catalogues and its table. The sizes that it is for are not measured."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"
sys.path[:0] = [str(TOOLS), str(TOOLS / "index_speed")]

import benchmark_index  # noqa: E402
import catalogues  # noqa: E402


@pytest.mark.parametrize("name", ["random", "clustered", "factors"])
def test_catalogues_are_as_two_tower_makes_them(name):
    items, queries = getattr(catalogues, name)(2_000, 40)
    assert items.shape == (2_001, 66) and queries.shape == (40, 66)
    assert items.dtype == queries.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(items[1:, :64], axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(queries[:, :64], axis=1), 1.0, rtol=1e-5)
    assert not items[0].any() and (queries[:, 64] == 1.0).all()
    again = getattr(catalogues, name)(2_000, 40)
    np.testing.assert_array_equal(items, again[0])


def test_the_catalogues_differ_in_how_near_items_lie():
    nearness = {}
    for name in ("random", "clustered"):
        items, _ = getattr(catalogues, name)(2_000, 1)
        similarities = items[1:] @ items[1:].T
        np.fill_diagonal(similarities, -1.0)
        nearness[name] = similarities.max(axis=1).mean()
    # Of two thousand directions in 64 dimensions the nearest is at a cosine of some 0.4; around one centre, with noise
    # of 0.8, two are at 1 / (1 + 0.8^2) = 0.61 on average, and the nearest of 45 nearer.
    assert nearness["random"] < 0.5 and nearness["clustered"] > 0.61


def test_a_small_catalogue_is_measured_and_shown():
    options = argparse.Namespace(recall=0.6, rounds=1, run=None)
    rows = benchmark_index.measure("clustered", "3000", options)
    assert rows[0]["index"] == "ivf" and all(row["index"] == "scann" for row in rows[1:])
    for row in rows:
        assert 0.5 <= row["recall"] <= 1.0 and 1 <= row["probes"] <= row["blocks"] and row["dim"] == 66
        kinds = ("exact", "index", "exact cpu", "index cpu")
        assert set(row["ms"]) == {f"{key} {batch}" for key in kinds for batch in (1, 32)}
        assert min(row["ms"].values()) > 0.0
        # The table once, some of its places empty, and a mean for each block; with ScaNN's, codes beside it.
        assert row["exact_mb"] < row["index_mb"] < 1.5 * row["exact_mb"]
        line = benchmark_index._line(row)
        assert len(line) == len(benchmark_index._HEADER) and line.split()[:3] == ["clustered", "3,000", row["index"]]
