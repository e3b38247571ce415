import numpy as np
import pandas as pd
import pytest

from mmrec_tf.config import SplitConfig
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.data.splits import Split, split_interactions
from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.schema import Schema


def _data(rows, label=False, context=None) -> RecData:
    """RecData from tuples (user, item, time[, label])."""
    columns = ["user", "item", "time", "label"][: len(rows[0])]
    frame = pd.DataFrame(rows, columns=columns).astype({"time": float})
    if label:
        frame["label"] = frame["label"].astype(np.float32)
    schema = Schema(
        user={"user": "id"}, item={"item": "id"}, context={"time": "timestamp"} if context is None else context
    )
    users = pd.DataFrame({"user": frame["user"].unique()})
    items = pd.DataFrame({"item": frame["item"].unique()})
    return RecData(schema, frame, items, users, "label" if label else None, 1.0 if label else None)


def _times(*times) -> RecData:
    return _data([("u", "i", time) for time in times])


def _rows(split: Split) -> tuple[list, list, list]:
    return split.train.index.tolist(), split.validation.index.tolist(), split.test.index.tolist()


def test_leave_one_out_by_hand():
    data = _data([
        ("a", "w", 30), ("a", "x", 10), ("a", "y", 20), ("a", "z", 40),  # last: row 3, before it: row 0
        ("b", "w", 6), ("b", "x", 5),  # two: only a test row, row 4
        ("c", "w", 50),  # one: train
    ])  # fmt: skip
    split = split_interactions(data, SplitConfig())
    # By time: row 5 at 5, row 1 at 10, row 2 at 20, row 6 at 50.
    assert _rows(split) == ([5, 1, 2, 6], [0], [4, 3])


def test_leave_one_out_holds_out_positives_only_and_no_row_of_their_future_is_trained_on():
    data = _data([
        ("a", "p", 1, 1), ("a", "q", 2, 0), ("a", "r", 3, 1), ("a", "s", 4, 0), ("a", "t", 5, 1), ("a", "u", 6, 0),
        # One positive and a later dislike: nothing is held out, both train.
        ("d", "p", 1, 1), ("d", "q", 2, 0),
        # Two positives with a dislike between and one before.
        ("e", "p", 1, 0), ("e", "q", 2, 1), ("e", "r", 3, 0), ("e", "s", 4, 1),
    ], label=True)  # fmt: skip
    # Of a: positives at 1, 3, 5, so 5 is test, 3 validation; the dislikes at 4 and 6 lie after 3 and are left out.
    split = split_interactions(data, SplitConfig())
    assert _rows(split) == ([0, 6, 8, 1, 7, 9, 10], [2], [11, 4])


def test_leave_one_out_keeps_the_tables_order_among_equal_times():
    data = _data([("a", "w", 1), ("a", "x", 1), ("a", "y", 1)])
    assert _rows(split_interactions(data, SplitConfig())) == ([0], [1], [2])


def test_temporal_shares():
    data = _times(10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
    split = split_interactions(data, SplitConfig(method="temporal", validation=0.2, test=0.2))
    # The two latest, 9 and 10, are rows 1 and 0; 7 and 8 are rows 3 and 2.
    assert _rows(split) == ([9, 8, 7, 6, 5, 4], [3, 2], [1, 0])


def test_temporal_keeps_one_moment_together():
    data = _times(1, 2, 3, 4, 5, 5, 5, 6)
    split = split_interactions(data, SplitConfig(method="temporal", validation=0.25, test=0.25))
    # Two of eight rows would be 5 and 6; all three rows at 5 go with them. Validation: the two before, 3 and 4.
    assert _rows(split) == ([0, 1], [2, 3], [4, 5, 6, 7])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"validation_from": "1970-01-02", "test_from": "1970-01-03"}, ([0], [1, 2], [3])),
        ({"validation_from": 86401, "test_from": 2 * 86400.0}, ([0, 1], [2], [3])),
        # A quarter of four rows is one row: the latest before the test.
        ({"test_from": "1970-01-03", "validation": 0.25}, ([0, 1], [2], [3])),
        ({"test_from": "1970-01-03", "validation": 0.0}, ([0, 1, 2], [], [3])),
    ],
)
def test_temporal_moments(settings, expected):
    data = _times(86399, 86400, 100_000, 2 * 86400)
    assert _rows(split_interactions(data, SplitConfig(method="temporal", **settings))) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation_from": "1970-01-02"}, "needs split.test_from"),
        ({"validation_from": 20, "test_from": 10}, "must lie before"),
        ({"test_from": "soon"}, "'soon' is no moment"),
    ],
)
def test_temporal_moments_that_make_no_sense(settings, message):
    with pytest.raises(ConfigError, match=message):
        split_interactions(_times(1, 2, 3), SplitConfig(method="temporal", **settings))


def test_random_has_the_shares_and_follows_the_seed():
    data = _times(*range(100))
    config = SplitConfig(method="random", validation=0.1, test=0.2)
    split = split_interactions(data, config, seed=1)
    assert [len(rows) for rows in _rows(split)] == [70, 10, 20]
    assert sorted(row for rows in _rows(split) for row in rows) == list(range(100))
    assert _rows(split) == _rows(split_interactions(data, config, seed=1))
    assert _rows(split) != _rows(split_interactions(data, config, seed=2))


def test_parts_are_sorted_by_time():
    time = np.random.default_rng(0).integers(0, 50, 200)
    split = split_interactions(_times(*time), SplitConfig(method="random"), seed=3)
    for part in (split.train, split.validation, split.test):
        pd.testing.assert_frame_equal(part, part.sort_index().sort_values("time", kind="stable"))


def test_column_says_it():
    data = _data([("a", "x", 4), ("a", "y", 3), ("b", "x", 2), ("b", "y", 1)], context={})
    data.interactions["fold"] = ["test", "train", "validation", "train"]
    assert _rows(split_interactions(data, SplitConfig(method="column", column="fold"))) == ([1, 3], [2], [0])
    with pytest.raises(ConfigError, match="'split' is not among"):
        split_interactions(data, SplitConfig(method="column"))
    data.interactions["fold"] = ["test", "train", "dev", "train"]
    with pytest.raises(DataError, match="'dev'.*train, validation, test"):
        split_interactions(data, SplitConfig(method="column", column="fold"))


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([("a", "x", 1), ("b", "x", 2)], {}, "no test interactions.*two positives"),
        ([("a", "x", 1), ("a", "y", 1)], {"method": "temporal"}, "no train interactions.*1970-01-01"),
        ([("a", "x", 1)], {"method": "temporal", "test_from": "2000-01-01"}, "no test interactions"),
        ([("a", "x", 1)], {"method": "random"}, "no test interactions.*too few"),
    ],
)
def test_empty_parts_are_said_to_be_so(rows, settings, message):
    with pytest.raises(DataError, match=message):
        split_interactions(_data(rows), SplitConfig(**settings))


def test_methods_in_time_need_a_timestamp():
    data = _data([("a", "x", 1), ("a", "y", 2)], context={})
    with pytest.raises(ConfigError, match="needs a timestamp"):
        split_interactions(data, SplitConfig())


def test_leave_one_out_agrees_with_a_loop_over_users():
    generator = np.random.default_rng(5)
    rows = [(f"u{generator.integers(30)}", "i", generator.integers(40), generator.integers(2)) for _ in range(400)]
    data = _data(rows, label=True)
    train, validation, test = [], [], []
    for _, frame in data.interactions.groupby("user"):
        frame = frame.sort_values("time", kind="stable")
        order = frame.index.tolist()
        positives = [row for row in order if frame.label[row] == 1]
        held = positives[-2:] if len(positives) >= 3 else positives[-1:] if len(positives) == 2 else []
        train += order[: order.index(held[0])] if held else order
        test += held[-1:]
        validation += held[:-1]
    split = split_interactions(data, SplitConfig())
    assert [sorted(rows) for rows in _rows(split)] == [sorted(train), sorted(validation), sorted(test)]
