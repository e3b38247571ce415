"""tools/ranking_peers: what the peers are told, how they stop and how they are timed, by hand-worked numbers."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"
sys.path[:0] = [str(TOOLS), str(TOOLS / "peers"), str(TOOLS / "ranking_peers")]

import deepfm_settings  # noqa: E402
import pair_arrays  # noqa: E402
import ranker_run  # noqa: E402
import target_encoding  # noqa: E402
from pair_arrays import PARTS, PairArrays, Pairs  # noqa: E402
from ranking_names import PEERS  # noqa: E402


def test_clock_is_that_of_utc():
    # 2000-01-01 13:30 UTC, a Saturday: Thursday is 1, so that Saturday is 3.
    found = pair_arrays.clock(np.array([946733400.0]))
    assert (found["clock_hour"][0], found["clock_day"][0]) == (14, 3)


def test_target_mean_leaves_out_the_own_fold_by_hand():
    values, labels, folds = np.array([1, 1, 1, 2]), np.array([1.0, 1.0, 0.0, 0.0]), np.array([0, 1, 1, 0])
    outside = target_encoding.target_mean(values, labels, folds, np.array([1, 2, 3]), None, smoothing=2.0)
    # The mean of all is 1/2: (2 + 2/2) / (3 + 2), (0 + 1) / (1 + 2), and what never came has the mean.
    np.testing.assert_allclose(outside, [3 / 5, 1 / 3, 1 / 2])
    inside = target_encoding.target_mean(values, labels, folds, values, folds, smoothing=2.0)
    # Without fold 0 (labels 1 and 0) one of two is left, mean 1/2; without fold 1 also: (1 + 1) / (2 + 2) for the
    # first row, whose others are rows 2 and 3; (1 + 1) / (1 + 2) for these; the prior where nothing is left.
    np.testing.assert_allclose(inside, [2 / 4, 2 / 3, 2 / 3, 1 / 2])


def test_what_is_told_of_the_test_counts_validation_by_hand():
    day = pair_arrays.DAY
    train = Pairs(np.array([0, 0]), np.array([0, 1]), np.array([0.0, day]), np.array([1.0, 0.0]), np.array([1.0, 0.25]))
    validation = Pairs(np.array([1, 1]), np.array([0, 2]), np.array([2, 3]) * day, np.ones(2), np.array([0.75, 1.0]))
    test = Pairs(np.array([1]), np.array([2]), np.array([5 * day]), np.array([0.0]))
    tables = {
        # Training has pairs of the first user and the first two items.
        "user": {"id": {"id": np.array([1, 0])}},
        "item": {"id": {"id": np.array([1, 2, 0])}, "multi_categorical": {"genres": np.array([[1], [2], [2]])}},
    }
    arrays = PairArrays({"train": train, "validation": validation, "test": test}, tables, {p: {} for p in PARTS})
    encoded, names = target_encoding.encoded(arrays, 1.0)
    # Of four labels three are 1 and the grades' mean is 3/4. The user came twice, (2 + 3/4) / (2 + 1), (7/4 + 3/4) / 3;
    # the item once, (1 + 3/4) / (1 + 1), two days before. Its genre came with 0 and 1, (1 + 3/4) / (2 + 1) = 7/12, and
    # once with this user, (1 + 7/12) / (1 + 1).
    expected = {
        "user_id mean": 11 / 12,
        "user_id grade": 5 / 6,
        "user_id count": np.log(3),
        "item_id mean": 7 / 8,
        "item_id count": np.log(2),
        "item_genres mean": 7 / 12,
        "user x item_genres mean": 19 / 24,
        "item age": 2,
    }
    found = dict(zip(names, encoded["test"][0]))
    np.testing.assert_allclose([found[name] for name in expected], list(expected.values()), rtol=1e-6)
    # Validation itself is told what training says: of this user and this item nothing.
    found = dict(zip(names, encoded["validation"][1]))
    told = [found[name] for name in ("user_id mean", "user_id count", "item_id count", "item age")]
    np.testing.assert_allclose(told, [1 / 2, 0, 0, np.nan])


def test_auc_by_hand():
    # Of the four comparisons two are won and one is a tie.
    assert pair_arrays.auc(np.array([1, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.6])) == pytest.approx(2.5 / 4)
    assert pair_arrays.auc(np.ones(3), np.arange(3)) is None


def test_fit_keeps_the_predictions_of_the_best_pass():
    labels = np.array([0.0, 1.0, 0.0, 1.0], np.float32)
    parts = {part: Pairs(np.arange(4), np.arange(4), np.zeros(4), labels) for part in pair_arrays.PARTS}
    arrays = PairArrays(parts, {}, {})

    def train(arrays, settings, seed):
        # Right after the second pass, and wrong before and after it.
        for passes in range(1, 20):
            sign = 1.0 if passes == 2 else -1.0
            yield passes, lambda part, sign=sign: sign * arrays.parts[part].label

    fitted = ranker_run.fit(ranker_run.RankingPeer(train, {}), arrays, {}, 1)
    assert (fitted["best_passes"], fitted["passes"]) == (2, 2 + ranker_run.PATIENCE)
    assert fitted["validation_auc"] == 1.0
    np.testing.assert_array_equal(fitted["predictions"], labels)


def test_quickest_pass_is_that_of_six_without_the_first_of_a_call():
    asked = []

    def call(name, *ends):
        moments = iter(ends)

        def passes(count):
            asked.append((name, count))
            return next(moments)

        return passes

    # 3, 2 and 3 seconds, then 5, 1.5 and 4; the first passes, of 1 and of 0.1 seconds, do not count.
    one = call("one", [1.0, 4.0, 6.0, 9.0], [20.1, 25.1, 26.6, 30.6])
    other = call("other", [10.0, 12.0, 14.0, 16.0], [40.0, 42.0, 44.0, 45.0])
    np.testing.assert_allclose(ranker_run.quickest_passes(one, other), [1.5, 1.0])
    assert asked == [("one", 4), ("other", 4), ("one", 4), ("other", 4)]


@pytest.mark.parametrize("script", sorted({peer.script for peer in PEERS.values() if peer.is_deepfm}))
def test_every_deepfm_is_timed_as_ours_are(script):
    text = (TOOLS / "ranking_peers" / script).read_text(encoding="utf-8")
    assert re.search(r"RankingPeer\(train, SETTINGS, at_width, in_one_call\)", text)


def test_layers_halve_down_to_64_and_are_ours_at_our_width():
    widths = [deepfm_settings.hidden_widths({"hidden": hidden}) for hidden in (64, 128, 256, 512)]
    assert widths == [(64, 32), (128, 64), (256, 128, 64), (512, 256, 128, 64)]
    ours = deepfm_settings.at_width({"dim": 32, "hidden": [100, 50, 20], "batch_size": 2048})
    assert deepfm_settings.hidden_widths({"hidden": 64, **ours}) == (100, 50, 20)
