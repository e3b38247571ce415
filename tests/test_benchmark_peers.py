"""tools/benchmark_peers.py: what is the same for every peer, on worlds small enough to work out by hand."""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tests import tiny_world

TOOLS = Path(__file__).resolve().parents[1] / "tools"
sys.path[:0] = [str(TOOLS), str(TOOLS / "peers")]

import benchmark_peers  # noqa: E402
import peer_run  # noqa: E402
import peer_table  # noqa: E402
from export_split import export_split  # noqa: E402
from peer_names import OURS, PEERS  # noqa: E402
from peer_search import Setting, search  # noqa: E402
from peer_split import Part, SplitArrays, ndcg, top_items  # noqa: E402


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The tiny world's split as the package has it, its test users, and the same read back from the file."""
    folder = tmp_path_factory.mktemp("split")
    prepared = tiny_world.prepared(folder, split={"method": "leave_one_out"})
    users = export_split(prepared, folder / "split.npz")
    return prepared, users, SplitArrays.load(folder / "split.npz")


def test_exported_split_is_that_of_the_world(world):
    _, users, split = world
    # Six interactions for each of 18 users: the last is test, the one before it validation.
    user_rows, item_rows, _ = tiny_world.interactions()
    items = item_rows.reshape(tiny_world.ACTIVE_USERS, 6)
    assert (split.n_users, split.n_items) == (tiny_world.USERS, tiny_world.ITEMS)
    assert set(zip(split.train_user, split.train_item)) == set(
        zip(user_rows.reshape(18, 6)[:, :4].ravel(), items[:, :4].ravel())
    )
    for part, place in (("validation", 4), ("test", 5)):
        asked = split.parts[part]
        np.testing.assert_array_equal(asked.users, np.arange(18))
        np.testing.assert_array_equal(asked.relevant.indices, items[:, place])
        np.testing.assert_array_equal(asked.times, np.arange(18) * 6 + place)
        for user in range(18):
            np.testing.assert_array_equal(asked.latest(user, 50), items[user, :place])
            assert set(asked.seen[user].indices) == set(items[user, :place])
    np.testing.assert_array_equal(users.relevant.indices, items[:, 5])


def test_item_features_are_the_categories_and_tags(world):
    prepared, _, split = world
    # One category and row % 3 tags for each item, all of which training knows.
    np.testing.assert_array_equal(split.item_features.sum(axis=1).A1, 1 + np.arange(tiny_world.ITEMS) % 3)
    assert split.item_features.shape[1] == tiny_world.GROUPS + 2
    assert split.item_vectors.shape == (tiny_world.ITEMS, sum(prepared.items.widths.values()))


def test_lists_leave_out_what_was_seen_and_what_training_does_not_know(world):
    _, _, split = world
    peer = peer_run.Peer(train=None, settings={}, ranks_new_items=False)
    # A model that likes the last items best, those without training most of all.
    scorer = lambda part, positions: np.tile(np.arange(split.n_items, dtype=float), (len(positions), 1))  # noqa: E731
    lists = peer_run.recommend(peer, split, scorer, "test", split.n_items)
    for user, items in enumerate(lists):
        kept = items[items >= 0]
        allowed = set(np.flatnonzero(split.popularity > 0)) - set(split.parts["test"].seen[user].indices)
        assert kept.tolist() == sorted(allowed, reverse=True)


def test_strangers_in_the_test_are_shown_what_was_popular_until_then():
    # Training has one like, of item 0; validation two of item 2, and a dislike of item 1.
    none, asked = csr_matrix((1, 3), dtype=np.float32), np.array([1])
    part = Part(asked, none, none, np.zeros(1), (np.zeros(2, int), np.zeros(0, int)))
    train = [np.array([0]), np.array([0]), np.zeros(1), np.ones(1), np.array([True])]
    later = [np.array([0, 2, 0]), np.array([2, 2, 1]), np.ones(3), np.array([True, True, False])]
    features = csr_matrix((3, 0), dtype=np.float32)
    split = SplitArrays(3, 3, *train, *later, features, np.zeros((3, 0)), {"validation": part, "test": part})
    np.testing.assert_array_equal(split.popularity_of("validation"), [1, 0, 0])
    np.testing.assert_array_equal(split.popularity_of("test"), [1, 0, 2])
    scorer = lambda part, positions: np.array([[0.0, 1.0, 0.0]])  # noqa: E731
    peer = peer_run.Peer(train=None, settings={})
    assert peer_run.recommend(peer, split, scorer, "validation", 1).tolist() == [[0]]
    assert peer_run.recommend(peer, split, scorer, "test", 2).tolist() == [[2, 0]]


def test_fit_keeps_the_lists_of_the_best_pass(world):
    _, users, split = world
    validation, test = split.parts["validation"], split.parts["test"]

    def train(split, settings, seed):
        # Perfect after the second pass, and wrong before and after it.
        for passes in range(1, 20):
            is_right = passes == 2
            yield passes, lambda part, positions: (1 if is_right else -1) * part.relevant[positions].toarray()

    peer = peer_run.Peer(train, {}, ranks_new_items=True, falls_back=False)
    fitted = peer_run.fit(peer, split, {}, 1, with_lists=True)
    assert fitted["best_passes"] == 2
    assert fitted["passes"] == 2 + peer_run.PATIENCE
    assert fitted["validation_ndcg"] == 1.0
    np.testing.assert_array_equal(fitted["lists"][:, 0], users.relevant.indices)
    assert len(validation) == len(test) == 18


def test_ndcg_by_hand():
    relevant = csr_matrix(np.array([[1, 1, 0, 0], [0, 0, 0, 1]], np.float32))
    lists = np.array([[2, 0, -1], [0, 1, 2]])
    # One of two found, in second place; nothing found.
    expected = (1 / np.log2(3)) / (1 + 1 / np.log2(3))
    np.testing.assert_allclose(ndcg(lists, relevant), [expected, 0.0])


def test_top_items_breaks_ties_by_column_and_leaves_minus_infinity_out():
    scores = np.array([[1.0, 3.0, 3.0, -np.inf], [-np.inf, -np.inf, 0.0, -np.inf]])
    np.testing.assert_array_equal(top_items(scores, 3), [[1, 2, 0], [2, -1, -1]])


def test_search_walks_off_its_grid_and_names_no_edge():
    # The best is at 32 and the grid ends at 8: it goes on by the ratio of the last two.
    found = search(lambda s: -abs(np.log2(s["width"]) - 5), {"width": Setting(4, [2, 4, 8])}, lambda: True)
    assert found.settings == {"width": 32}
    assert found.at_edge == []


def test_search_names_the_edge_where_time_ran_out():
    calls = iter([True, False])
    found = search(lambda s: s["width"], {"width": Setting(4, [2, 4, 8])}, lambda: next(calls, False))
    assert found.settings == {"width": 8}
    assert found.at_edge == ["width"]


def test_what_was_never_tried_is_an_edge_whatever_its_type():
    settings = {
        "dropout": Setting(0.0, [0.0, 0.2, 0.5]),
        "logq": Setting(False, [False, True]),
        "kind": Setting("a", ["a", "b", "c"]),
        "depth": Setting(1, [1, 2]),
        "fixed": Setting(3, [3]),
    }
    # The time is over after the first.
    assert search(lambda s: 0.0, settings, lambda: False).at_edge == ["dropout", "logq", "kind", "depth"]
    # With one more for each of dropout, logq and kind; of kind one is left.
    calls = iter([True, True, True])
    assert search(lambda s: 0.0, settings, lambda: next(calls, False)).at_edge == ["kind", "depth"]
    # With all of them tried, 0 and one of what is counted are ends by nature.
    assert search(lambda s: 0.0, settings, lambda: True).at_edge == []


def test_search_stops_at_a_bound_and_marks_an_end_that_is_none():
    # Larger is better, without end: 0.5 goes on by 0.5 / 0.2 = 2.5 to 1.25, which the bound cuts to 0.9.
    bound = {"dropout": Setting(0.2, [0.0, 0.2, 0.5], high=0.9)}
    found = search(lambda s: s["dropout"], bound, lambda: True)
    assert found.settings == {"dropout": 0.9}
    assert found.at_edge == []
    assert max(settings["dropout"] for settings, _ in found.trials) == 0.9
    # Smaller is better: 0.4 goes on by 2 to 0.2, and on to the bound.
    found = search(lambda s: -s["share"], {"share": Setting(0.8, [0.4, 0.8], low=0.15)}, lambda: True)
    assert (found.settings, found.at_edge) == ({"share": 0.15}, [])
    calls = iter([True, True])
    found = search(lambda s: s["dropout"], bound, lambda: next(calls, False))
    assert found.settings == {"dropout": 0.9}
    calls = iter([True])
    found = search(lambda s: s["dropout"], bound, lambda: next(calls, False))
    assert (found.settings, found.at_edge) == ({"dropout": 0.5}, ["dropout"])


def _write(folder, name, seed, lists):
    peer_run.write_fit(folder, name, seed, lists, {"seconds": 2.0, "examples_per_second": 50.0})


def test_table_has_figures_reasons_and_the_difference_to_the_best_peer(tmp_path, world):
    _, users, _ = world
    wanted = users.relevant.indices[:, None]
    nothing = np.full((len(users), 1), -1)
    _write(tmp_path, "good", 1, np.concatenate([wanted, nothing], axis=1))
    _write(tmp_path, "good", 2, np.concatenate([nothing, wanted], axis=1))
    _write(tmp_path, "poor", 1, np.concatenate([nothing, nothing], axis=1))
    (tmp_path / "poor.settings.json").write_text(
        json.dumps({"settings": {"width": 8}, "trials": 3, "at_edge": ["width"], "tuning_seconds": 60.0})
    )
    good = peer_table.read_row(tmp_path, "good", "Good", users, [1, 2], is_ours=True)
    poor = peer_table.read_row(tmp_path, "poor", "Poor", users, [1])
    gone = peer_table.read_row(tmp_path, "gone", "Gone", users, [1], reason="no module named gone")
    # First place with one seed and second with the other, for everybody.
    mean = (1 + 1 / np.log2(3)) / 2
    assert peer_table.cells(good)[1] == f"{mean:.4f}"
    assert peer_table.cells(good)[2] == f"{mean:.4f}..{mean:.4f}"
    assert peer_table.cells(good)[4] == "1.0000"
    assert peer_table.cells(poor)[1] == "0.0000"
    assert peer_table.cells(gone)[1:] == ["-"] * (len(peer_table.HEADER) - 1)
    assert "no module named gone" in peer_table.notes(gone)[0]
    assert "width" in peer_table.notes(poor)[0]
    (difference,) = peer_table.differences([good, poor, gone])
    assert f"{mean:+.4f} [{mean:+.4f}, {mean:+.4f}]" in difference


def test_ranx_that_disagrees_is_an_error(tmp_path, world):
    _, users, _ = world
    _write(tmp_path, "good", 1, users.relevant.indices[:, None])
    ones = np.ones(len(users))
    np.savez(tmp_path / "ranx.npz", **{"good.seed1/ndcg@10": ones, "good.seed1/recall@20": ones})
    assert "every user of 1 lists" in peer_table.check_by_ranx(tmp_path, users)
    np.savez(tmp_path / "ranx.npz", **{"good.seed1/ndcg@10": ones, "good.seed1/recall@20": 0.9 * ones})
    with pytest.raises(ValueError, match="recall@20 of good.seed1 differs"):
        peer_table.check_by_ranx(tmp_path, users)


def test_interval_holds_the_mean_and_is_as_wide_as_theory_says():
    values = np.random.default_rng(1).normal(0.0, 1.0, 2500)
    low, high = peer_table.interval(values)
    # 1.96 standard errors of 1 / sqrt(2500) = 0.02 to either side.
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * 0.02, rel=0.1)


@pytest.mark.parametrize("name", PEERS)
def test_every_named_peer_is_in_its_script(name):
    script = (TOOLS / "peers" / PEERS[name].script).read_text(encoding="utf-8")
    assert re.search(rf'"{name}"', script)
    assert not set(PEERS) & set(OURS)


def test_names_and_folders_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(Exception, match="there is no surprise"):
        benchmark_peers._names("popularity,surprise")


@pytest.mark.parametrize(
    "asked, made, shown, run",
    [
        # Named under --again alone, a peer is made all the same.
        (dict(again=["ease"]), set(), ["popularity", "ease"], {"popularity", "ease"}),
        (dict(again=["two_tower"]), set(), ["popularity", *OURS], {"popularity", *OURS}),
        # Finished rows stay in the table, of ours too, and are not made again.
        (dict(), {"two_tower", "ease"}, ["popularity", "ease", "two_tower"], {"popularity"}),
        (dict(without_ours=False), set(), ["popularity", *OURS], {"popularity", *OURS}),
    ],
)
def test_rows_of_the_table_and_those_that_are_made(asked, made, shown, run):
    arguments = argparse.Namespace(**{"peers": ["popularity"], "again": [], "without_ours": True, **asked})
    assert benchmark_peers.rows_of(arguments, made, list(OURS)) == (shown, run)


def test_our_rows_are_named_after_the_ranker_of_the_configuration():
    config = tiny_world.config(ranking={"model": "dcn"})
    assert list(benchmark_peers.our_titles(config).values()) == ["mmrec_tf two-tower", "mmrec_tf two-tower + DCN v2"]
    alone = tiny_world.config(ranking={"enabled": False})
    assert benchmark_peers.our_titles(alone) == {"two_tower": "mmrec_tf two-tower"}
    assert list(benchmark_peers.our_titles(config)) == list(OURS)


def test_again_takes_rows_of_ours_and_peers_takes_none():
    assert benchmark_peers._names("ease,two_tower") == ["ease", "two_tower"]
    with pytest.raises(Exception, match="there is no two_tower. Allowed: popularity"):
        benchmark_peers._peers("two_tower")


def test_folder_of_another_split_configuration_or_budget_is_refused(tmp_path):
    asked = {"split": "ab12", "minutes": 2.0, "config": "train:\n  epochs: 3\n  seed: 1\n"}
    assert benchmark_peers.claim(tmp_path, asked, set(), []) == ""
    (tmp_path / "ease.seed1.json").touch()
    (tmp_path / "ease.settings.json").touch()
    (tmp_path / "user_knn.settings.json").touch()
    made = benchmark_peers.made_rows(tmp_path)
    assert made == {"ease", "user_knn"}
    assert benchmark_peers.claim(tmp_path, asked, made, []) == ""
    other = {**asked, "config": "train:\n  epochs: 4\n  seed: 1\n"}
    said = benchmark_peers.claim(tmp_path, other, made, ["ease"])
    assert "another configuration (train.epochs 3, now 4). Give another --out" in said
    assert said.endswith("--again ease,user_knn")
    assert "of 2 minutes" in benchmark_peers.claim(tmp_path, {**asked, "minutes": 3.0}, made, [])
    assert "another split" in benchmark_peers.claim(tmp_path, {**asked, "split": "cd34"}, made, [])
    # What was refused has left no trace; with all rows made anew it is taken.
    assert benchmark_peers.claim(tmp_path, asked, made, []) == ""
    assert benchmark_peers.claim(tmp_path, other, made, ["ease", "user_knn"]) == ""
    assert "epochs 4, now 3" in benchmark_peers.claim(tmp_path, asked, made, [])
