"""Histories: what each user did before, and never what came after."""

import numpy as np
import pytest

from mmrec_tf.data.sequences import Sequences

# user row, item row, time. Sorted by user and time, ties as in the table, indices are rows + 1:
#   user 0: 3 (10), 4 (10)      user 1: 5 (10), 5 (20), 6 (30)      user 2: none      user 3: 1 (5)
TABLE = np.array([(1, 5, 30), (0, 2, 10), (1, 4, 10), (0, 3, 10), (1, 4, 20), (3, 0, 5)])


def by_hand(length: int = 2) -> Sequences:
    return Sequences(*TABLE.T, users=4, length=length)


def test_sorted_by_user_and_time_with_ties_in_the_tables_order():
    sequences = by_hand()
    assert len(sequences) == 6
    assert sequences.user_index.tolist() == [1, 1, 2, 2, 2, 4]
    assert sequences.item_index.tolist() == [3, 4, 5, 5, 6, 1]
    assert sequences.times.tolist() == [10, 10, 10, 20, 30, 5]
    assert sequences.order.tolist() == [1, 3, 2, 4, 0, 5]


def test_before_is_oldest_first_and_padded_in_front():
    history = by_hand().before(np.arange(6))
    assert history.tolist() == [[0, 0], [0, 3], [0, 0], [0, 5], [5, 5], [0, 0]]
    assert history.dtype == np.int32
    assert by_hand(1).before([4, 1]).tolist() == [[5], [3]]
    assert by_hand(3).before([4]).tolist() == [[0, 5, 5]]


def test_latest_and_a_user_without_interactions():
    assert by_hand().latest([3, 0, 2, 1]).tolist() == [[0, 1], [3, 4], [0, 0], [5, 6]]


# User 0 does something at 0, 1, 4 and 100 seconds, user 1 once, user 2 nothing. The buckets 1 + floor(log2(1 + s)) of
# the 1, 3 and 96 seconds between are 2, 3 and 7; of the first of each user it is 0.
TIMED = Sequences([0, 0, 1, 0, 0], [0, 1, 8, 2, 3], [0, 1, 50, 4, 100], users=3, length=2)


def as_lists(asked):
    assert {array.dtype for array in asked.values()} == {np.dtype(np.int32)}
    return {name: array.tolist() for name, array in asked.items()}


def test_what_was_known_when_each_interaction_came_about():
    assert as_lists(TIMED.asked_at([3, 0, 1, 2, 4])) == {
        "user_index": [1, 1, 1, 1, 2],
        "history": [[2, 3], [0, 0], [0, 1], [1, 2], [0, 0]],
        "gaps": [[2, 3], [0, 0], [0, 0], [0, 2], [0, 0]],
        "since": [7, 0, 2, 3, 0],
    }


def test_what_is_known_now_and_how_long_ago_the_last_was():
    # Of 7 seconds the bucket is 4, of 3 it is 3; who never did anything has no last time.
    known = {"user_index": [1, 2, 3], "history": [[3, 4], [0, 9], [0, 0]], "gaps": [[3, 7], [0, 0], [0, 0]]}
    assert as_lists(TIMED.asked_now([0, 1, 2], [107.0, 53.0, 60.0])) == {**known, "since": [4, 3, 0]}
    assert as_lists(TIMED.asked_now([0, 1, 2])) == {**known, "since": [0, 0, 0]}


@pytest.mark.parametrize(
    "length, ends, users", [(1, [4, 3, 2, 1, 5], [0, 0, 0, 0, 1]), (3, [4, 1, 5], [0, 0, 1]), (9, [4, 5], [0, 1])]
)
def test_windows_are_full_from_the_end_backwards(length, ends, users):
    # User 0 has positions 0 to 3 and user 1 position 4.
    sequences = Sequences([0, 0, 0, 0, 1], [0, 1, 2, 3, 8], np.arange(5), users=3, length=length)
    found = sequences.window_ends()
    assert [array.tolist() for array in found] == [ends, users]


def test_before_moment_is_strict():
    # Of one user several moments, out of order, and a user who did nothing.
    asked = [(0, 10), (0, 10.5), (1, 31), (1, 30), (2, 99), (3, 5), (3, 6), (1, 10), (1, -1)]
    users, times = np.array(asked).T
    expected = [[0, 0], [3, 4], [5, 6], [5, 5], [0, 0], [0, 0], [0, 1], [0, 0], [0, 0]]
    assert by_hand().before_moment(users, times).tolist() == expected


def test_items_by_user_is_a_ragged_array():
    values, splits = by_hand().items_by_user()
    parts = [values[start:stop].tolist() for start, stop in zip(splits[:-1], splits[1:])]
    assert parts == [[3, 4], [5, 5, 6], [], [1]]


def test_profiles_count_what_each_user_touched():
    profiles = by_hand().profiles(items=6)
    expected = np.zeros((4, 6))
    expected[0, [2, 3]] = 1
    expected[1, 4], expected[1, 5] = 2, 1  # item row 4 twice
    expected[3, 0] = 1
    np.testing.assert_array_equal(profiles.toarray(), expected)
    # One stored entry for each item, so that entries can be counted as items.
    profiles.sum_duplicates()
    assert profiles.nnz == 5


def test_histories_against_a_loop_over_the_table():
    random = np.random.default_rng(0)
    users, items = random.integers(0, 7, 200), random.integers(0, 50, 200)
    times = random.integers(0, 40, 200)  # with many ties
    sequences = Sequences(users, items, times, users=8, length=4)

    def last(rows):
        tail = (items[rows] + 1).tolist()[-4:]
        return [0] * (4 - len(tail)) + tail

    table = sorted(range(200), key=lambda row: (times[row], row))
    before = sequences.before(np.arange(200))
    for position, row in enumerate(sequences.order):
        earlier = [r for r in table if users[r] == users[row] and (times[r], r) < (times[row], row)]
        assert before[position].tolist() == last(earlier)
    asked_users, asked_times = random.integers(0, 8, 100), random.integers(-1, 42, 100)
    found = sequences.before_moment(asked_users, asked_times)
    for row, (user, time) in enumerate(zip(asked_users, asked_times)):
        assert found[row].tolist() == last([r for r in table if users[r] == user and times[r] < time])


def test_the_future_changes_no_history():
    changed = TABLE.copy()
    changed[[0, 4], 1] = [9, 8]  # what user 1 does at 20 and 30
    asked = ([1, 1, 0, 3], [10, 20, 11, 6])
    found = Sequences(*changed.T, users=4, length=2).before_moment(*asked)
    np.testing.assert_array_equal(found, by_hand().before_moment(*asked))


@pytest.mark.parametrize("length", [0, 3])
def test_no_interactions_and_no_length(length):
    empty = Sequences([], [], [], users=3, length=length)
    assert len(empty) == 0
    asked = empty.asked_now([0, 2], [5.0, 6.0])
    assert asked["since"].tolist() == [0, 0]
    assert [array.tolist() for array in empty.window_ends()] == [[], []]
    for history in (empty.latest([0, 2]), empty.before_moment([1, 2], [5.0, 6.0]), asked["history"], asked["gaps"]):
        np.testing.assert_array_equal(history, np.zeros((2, length)))
    assert empty.before([]).shape == (0, length)
    assert empty.profiles(4).toarray().tolist() == [[0] * 4] * 3
    assert by_hand(0).before([0, 4]).shape == (2, 0)
    assert by_hand(0).latest([0, 1, 2]).shape == (3, 0)


def test_where_moments_begin_and_which_interactions_are_a_users_first_with_an_item():
    # User 0: items 1, 2 at one moment, 1 again and 3 at the next, 2 again; user 1: 1; user 2: 3 and 3 at one moment.
    sequences = Sequences([0, 0, 0, 0, 0, 1, 2, 2], [0, 1, 0, 2, 1, 0, 2, 2], [5, 5, 7, 7, 9, 9, 4, 4], 3, length=2)
    # In a user's first moment each has the ones before it in the table.
    assert sequences.moment_starts().tolist() == [0, 1, 2, 2, 4, 5, 6, 7]
    assert sequences.is_first().tolist() == [True, True, False, True, False, True, True, False]
    nobody = Sequences([], [], [], users=2, length=2)
    assert nobody.moment_starts().tolist() == nobody.is_first().tolist() == []


def test_histories_are_cut_block_by_block(monkeypatch):
    whole = by_hand(3)
    expected = whole.before(np.arange(6)), whole.asked_at(np.arange(6))
    monkeypatch.setattr("mmrec_tf.data.sequences._BLOCK", 2)
    np.testing.assert_array_equal(whole.before(np.arange(6)), expected[0])
    for name, values in whole.asked_at(np.arange(6)).items():
        np.testing.assert_array_equal(values, expected[1][name])
