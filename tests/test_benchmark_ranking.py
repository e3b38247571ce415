"""tools/benchmark_ranking.py: what is the same for every ranker, on worlds small enough to work out by hand."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import tiny_world

TOOLS = Path(__file__).resolve().parents[1] / "tools"
sys.path[:0] = [str(TOOLS), str(TOOLS / "peers"), str(TOOLS / "ranking_peers")]

import benchmark_ranking  # noqa: E402
import pair_arrays  # noqa: E402
import ranker_run  # noqa: E402
import ranking_table  # noqa: E402
import target_encoding  # noqa: E402
from export_pairs import CLICK, LIKE, export_pairs, overrides, task_of  # noqa: E402
from pair_arrays import PairArrays  # noqa: E402
from ranking_names import OURS, PEERS  # noqa: E402

# Six interactions for each of 18 users at the moments 0..107; the temporal split takes shares of a tenth from the end.
STARS = np.arange(6 * tiny_world.ACTIVE_USERS) % 5 + 1.0
"""1, 2, ..., 5 and again, in order of time; likes are 4 and 5."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The tiny world's likes as the package has them, the test pairs, and all of it read back from the file."""
    folder = tmp_path_factory.mktemp("pairs")
    ranking = {"negatives": 0, "hard_negatives": 0}
    prepared = tiny_world.prepared(folder, STARS, 4.0, split={"method": "temporal"}, ranking=ranking)
    pairs = export_pairs(prepared, folder / "pairs.npz")
    return prepared, pairs, PairArrays.load(folder / "pairs.npz")


def test_every_labelled_interaction_is_a_pair_and_none_is_drawn(world):
    prepared, pairs, arrays = world
    users, items, times = tiny_world.interactions()
    start = 0
    for part in pair_arrays.PARTS:
        found = arrays.parts[part]
        rows = slice(start, start + len(getattr(prepared.split, part)))
        np.testing.assert_array_equal(found.user, users[rows])
        np.testing.assert_array_equal(found.item, items[rows])
        np.testing.assert_array_equal(found.time, times[rows])
        np.testing.assert_array_equal(found.label, STARS[rows] >= 4)
        start = rows.stop
    assert start == len(STARS)
    np.testing.assert_array_equal(pairs["label"], arrays.parts["test"].label)


def test_features_are_those_of_the_tables(world):
    _, _, arrays = world
    train, test = arrays.parts["train"], arrays.parts["test"]
    known = set(train.user)
    np.testing.assert_array_equal(arrays.categories("test")["user_id"] > 0, [user in known for user in test.user])
    # One id for each user with a training pair, liked or not, counted from 1.
    assert arrays.size("user_id") == len(known) + 1
    # Row % 3 tags for each item, of which training knows both.
    np.testing.assert_array_equal((arrays.lists("train")["item_tags"] > 0).sum(axis=1), train.item % 3)
    assert set(arrays.numbers("train")) == {"user_age", "item_price"}
    assert set(arrays.categories("test", with_clock=True)) - set(arrays.categories("test")) == {
        "clock_hour",
        "clock_day",
    }


def test_drawn_pairs_stand_at_the_moment_of_what_they_are_drawn_for(tmp_path):
    prepared = tiny_world.prepared(tmp_path, split={"method": "leave_one_out"}, ranking={"negatives": 4})
    assert task_of(prepared.config) == CLICK
    assert overrides(prepared.config) == []
    pairs = export_pairs(prepared, tmp_path / "pairs.npz")
    moments = dict(zip(pairs["user_index"][:18], pairs["time"][:18]))
    np.testing.assert_array_equal(pairs["label"], np.arange(18 * 5) < 18)
    assert all(moments[user] == time for user, time in zip(pairs["user_index"], pairs["time"]))


def test_task_is_like_where_the_test_has_both_labels():
    rated = {"label": "stars", "positive_from": 4.0}
    assert task_of(tiny_world.config(data=rated, split={"method": "random"})) == LIKE
    assert task_of(tiny_world.config(data=rated, split={"method": "leave_one_out"})) == CLICK
    assert "models.ranking.negatives=0" in overrides(tiny_world.config(data=rated, split={"method": "temporal"}))


def test_training_features_do_not_tell_the_own_label(world):
    # A label that is noise: what out-of-fold means say of it is no better than chance, while in-fold ones know it.
    random = np.random.default_rng(3)
    n = 4000
    users, labels = random.integers(1, n // 2, n), random.integers(0, 2, n).astype(np.float32)
    folds = random.integers(0, target_encoding.FOLDS, n)
    leaky = target_encoding.target_mean(users, labels, folds, users, None, 1.0)
    clean = target_encoding.target_mean(users, labels, folds, users, folds, 1.0)
    assert pair_arrays.auc(labels, leaky) > 0.8
    assert abs(pair_arrays.auc(labels, clean) - 0.5) < 0.04
    _, _, arrays = world
    encoded, names = target_encoding.encoded(arrays, 10.0)
    for part in pair_arrays.PARTS:
        assert encoded[part].shape == (len(arrays.parts[part]), len(names))
    told = np.concatenate([arrays.parts[part].item for part in ("train", "validation")])
    for part, known in (("train", told[: len(arrays.parts["train"])]), ("test", told)):
        count = np.bincount(known, minlength=tiny_world.ITEMS)[arrays.parts[part].item]
        np.testing.assert_allclose(encoded[part][:, names.index("item_id count")], np.log1p(count), rtol=1e-6)


def test_grades_of_training_and_validation_are_told_and_not_those_of_the_test(world):
    prepared, _, arrays = world
    for part, frame in (("train", prepared.split.train), ("validation", prepared.split.validation)):
        # Likes begin at 4 of 1 to 5 stars, and more stars are a higher grade.
        stars, grade = frame[prepared.data.label].to_numpy(), arrays.parts[part].grade
        assert len(grade) == len(arrays.parts[part])
        assert all(np.diff(grade[np.argsort(stars, kind="stable")]) >= 0)
        assert np.ptp(grade) > 0
    assert arrays.parts["test"].grade is None


def test_resampled_auc_of_a_user_who_is_all_and_of_two():
    labels, scores = np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.6])
    alone = ranking_table.TestPairs(labels, np.zeros(4, int))
    np.testing.assert_allclose(ranking_table.auc_resamples(alone, [scores], 5), 2.5 / 4)
    # The first user's pairs are in order, the second's are not; drawn once each, 2.5 of 4 as above.
    two = ranking_table.TestPairs(labels, np.array([0, 0, 1, 1]))
    found = ranking_table.auc_resamples(two, [scores], 50)
    assert set(np.round(found, 6)) == {0.0, 0.625, 1.0}
    np.testing.assert_array_equal(found, ranking_table.auc_resamples(two, [scores], 50))


def _write(folder, name, seed, predictions):
    facts = {"seconds": 2.0, "examples_per_second": 50.0, "peak_memory_mb": 10.0}
    ranker_run.write_predictions(folder, name, seed, predictions, facts)


def test_table_has_figures_reasons_and_the_differences(tmp_path):
    labels = np.array([1, 0, 1, 0])
    pairs = ranking_table.TestPairs(labels, np.array([0, 0, 1, 1]))
    _write(tmp_path, "good", 1, np.array([0.8, 0.2, 0.8, 0.2]))
    _write(tmp_path, "good", 2, np.array([0.8, 0.2, 0.2, 0.8]))
    _write(tmp_path, "poor", 1, np.full(4, 0.5))
    (tmp_path / "poor.settings.json").write_text(
        json.dumps({"settings": {"width": 8}, "trials": 3, "at_edge": ["width"], "tuning_seconds": 60.0})
    )
    rows = [
        ranking_table.RankingRow("good", "Good", is_ours=True),
        ranking_table.RankingRow("poor", "Poor", is_deepfm=True),
        ranking_table.RankingRow("gone", "Gone", reason="no module named gone"),
    ]
    good, poor, gone = (ranking_table.read_row(tmp_path, row, pairs, [1, 2]) for row in rows)
    # All four comparisons are won with one seed; with the other one is, one is lost and two are ties: 1 and 1/2.
    assert ranking_table.cells(good, pairs)[1] == "0.7500"
    # Within the users 1 and 1 with one seed, 1 and 0 with the other.
    assert ranking_table.cells(good, pairs)[4] == "0.7500"
    # -log 0.8 seven times in eight... of the eight chances six are right: -(6 log 0.8 + 2 log 0.2) / 8.
    assert ranking_table.cells(good, pairs)[5] == f"{-(6 * np.log(0.8) + 2 * np.log(0.2)) / 8:.4f}"
    assert ranking_table.cells(poor, pairs)[1] == "0.5000"
    # A chance of one half for pairs of which half are positive.
    assert ranking_table.cells(poor, pairs)[6] == "0.0000"
    assert ranking_table.cells(gone, pairs)[1:] == ["-"] * (len(ranking_table.HEADER) - 1)
    assert "no module named gone" in ranking_table.notes(gone)[0]
    assert "width" in ranking_table.notes(poor)[0]
    good.facts = [{**facts, "input_share": share} for facts, share in zip(good.facts * 2, (0.01, 0.05))]
    assert "wait for the input pipeline 3.0% of a pass" in ranking_table.notes(good)[0]
    said = ranking_table.differences([good, poor, gone], pairs)
    assert [text.split(",")[0] for text in said] == ["Good minus best peer", "Good minus best DeepFM of the peers"]
    assert all("AUC +0.2500" in text for text in said)
    table = ranking_table.markdown("t", [ranking_table.cells(good, pairs)], ["note"])
    assert table.splitlines()[4].count("|") == len(ranking_table.HEADER) + 1


def test_sklearn_that_disagrees_is_an_error(tmp_path):
    from sklearn.metrics import log_loss, roc_auc_score

    labels, chances = np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.6])
    pairs = ranking_table.TestPairs(labels, np.zeros(4, int))
    _write(tmp_path, "good", 1, chances)
    theirs = {"good.seed1/auc": roc_auc_score(labels, chances), "good.seed1/log_loss": log_loss(labels, chances)}
    np.savez(tmp_path / "sklearn.npz", **theirs)
    assert "for 1 predictions" in ranking_table.check_by_sklearn(tmp_path, pairs)
    np.savez(tmp_path / "sklearn.npz", **{**theirs, "good.seed1/auc": 0.7})
    with pytest.raises(ValueError, match="auc of good.seed1 differs"):
        ranking_table.check_by_sklearn(tmp_path, pairs)


@pytest.mark.parametrize("name", PEERS)
def test_every_named_peer_is_in_its_script(name):
    script = (TOOLS / "ranking_peers" / PEERS[name].script).read_text(encoding="utf-8")
    assert re.search(rf'"{name}": RankingPeer\(', script)
    assert not name.startswith(OURS)


def test_names_that_do_not_fit_are_refused():
    with pytest.raises(Exception, match="there is no surprise"):
        benchmark_ranking._peers("lightgbm,surprise")
    with pytest.raises(Exception, match="there is no dnc. Allowed: deepctr"):
        benchmark_ranking._rows("lightgbm,dnc")
    assert benchmark_ranking._rows("lightgbm,mmrec_dcn") == ["lightgbm", "mmrec_dcn"]


def test_again_makes_the_rows_that_it_deletes_and_leaves_the_others(tmp_path, monkeypatch):
    users, items, times = tiny_world.interactions()
    rows = pd.DataFrame({"user_id": users, "item_id": items, "timestamp": times, "stars": STARS})
    rows.to_csv(tmp_path / "interactions.csv", index=False)
    tiny_world.items_frame()[["item_id", "category"]].assign(item_id=np.arange(tiny_world.ITEMS)).to_csv(
        tmp_path / "items.csv", index=False
    )
    schema = {"user": {"user_id": "id"}, "item": {"item_id": "id", "category": "categorical"}}
    schema["context"] = {"timestamp": "timestamp"}
    data = {"interactions": "interactions.csv", "items": "items.csv", "label": "stars", "positive_from": 4}
    (tmp_path / "config.yaml").write_text(json.dumps({"data": data, "schema": schema}), encoding="utf-8")
    folder = tmp_path / "out" / "scores"
    folder.mkdir(parents=True)
    for name in ("lightgbm", "catboost", "mmrec_dcn", "mmrec_autoint"):
        _write(folder, name, 1, np.zeros(1))
    calls, shown = [], {}

    def called(self, title, command, most_seconds):
        calls.append(title)
        return "stopped here"

    monkeypatch.setattr(benchmark_ranking.RankingBenchmark, "_call", called)
    monkeypatch.setattr(benchmark_ranking.RankingBenchmark, "_interpreter", lambda self, family: sys.executable)
    monkeypatch.setattr(benchmark_ranking, "_show", lambda *given: shown.update(given[3]))
    given = [str(tmp_path / "config.yaml"), "--out", str(tmp_path / "out"), "--peers", "logistic", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", ["benchmark_ranking.py", *given, "--again", "lightgbm,mmrec_dcn"])
    assert benchmark_ranking.main() == 0
    assert calls == ["lightgbm, tune 1", "logistic, tune 1", "mmrec_deepfm, seed 1", "mmrec_dcn, seed 1"]
    assert {name for name, reason in shown.items() if reason} == {"lightgbm", "logistic", "mmrec_deepfm", "mmrec_dcn"}
    assert {name for name, reason in shown.items() if not reason} == {"catboost", "mmrec_autoint"}
    assert not list(folder.glob("mmrec_dcn.*"))
    monkeypatch.setattr(sys, "argv", ["benchmark_ranking.py", *given, "--again", "mmrec_dnc"])
    assert benchmark_ranking.main() == 2
