"""tools/kept_figures.py: what a stopped benchmark goes on from, and what it does not."""

import json
import sys
from pathlib import Path

import pytest

from mmrec_tf.errors import RunError

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tools")]

from kept_figures import KeptFigures  # noqa: E402

ASKED = {"config": "train:\n  epochs: 3\n", "share": 0.1, "part": "test", "data": "ab12"}
ROWS = {"none": [], "gated": ["fusion.method=gated"]}


@pytest.fixture
def path(tmp_path):
    kept = KeptFigures(tmp_path / "figures.json", ASKED, ROWS)
    kept.keep("none", 1, {"all": 0.25})
    kept.keep("none", 2, {"all": 0.5})
    kept.keep("gated", 1, {"all": 0.75})
    return tmp_path / "figures.json"


def test_goes_on_where_it_stopped_and_gives_what_was_asked_for(path):
    kept = KeptFigures(path, ASKED, ROWS)
    assert [kept.is_done(row, seed) for row in ROWS for seed in (1, 2)] == [True, True, True, False]
    # The second seed of `none` is there and not asked for.
    assert kept.of(["none", "gated"], [1]) == {"none": {"1": {"all": 0.25}}, "gated": {"1": {"all": 0.75}}}
    # A row more, and the earlier ones stay in the file.
    KeptFigures(path, ASKED, {"sum": []}).keep("sum", 1, {"all": 1.0})
    assert set(json.loads(path.read_text())["figures"]) == {"none", "gated", "sum"}
    assert KeptFigures(path, ASKED, ROWS).is_done("gated", 1)


@pytest.mark.parametrize(
    "changed, rows, said",
    [
        ({"config": "train:\n  epochs: 4\n"}, ROWS, "train.epochs 3, now 4"),
        ({"share": 0.2}, ROWS, "share 0.1, now 0.2"),
        ({"part": "validation"}, ROWS, "part test, now validation"),
        ({"data": "cd34"}, ROWS, "other interactions"),
        ({}, {"gated": ["fusion.method=gated", "fusion.balance=0.1"]}, "gated with fusion.method=gated, now"),
    ],
)
def test_figures_of_something_else_are_refused(path, changed, rows, said):
    with pytest.raises(RunError, match=f"{said}.*Give another --json"):
        KeptFigures(path, {**ASKED, **changed}, rows)


@pytest.mark.parametrize("content", ['{"none": {"1": {"all": 0.25}}}', "[]", "{"])
def test_a_file_that_does_not_say_what_was_measured_is_refused(tmp_path, content):
    (tmp_path / "figures.json").write_text(content)
    with pytest.raises(RunError, match="does not say what its figures were measured with"):
        KeptFigures(tmp_path / "figures.json", ASKED, ROWS)


def test_nothing_is_kept_without_a_file():
    kept = KeptFigures(None, ASKED, ROWS)
    kept.keep("none", 1, {"all": 0.25})
    assert kept.of(["none"], [1]) == {"none": {"1": {"all": 0.25}}}
