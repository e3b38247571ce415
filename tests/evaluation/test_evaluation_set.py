import numpy as np
import pandas as pd
import pytest

from mmrec_tf.data.rec_data import RecData
from mmrec_tf.errors import DataError
from mmrec_tf.evaluation.evaluation_set import build_evaluation_set, interaction_matrix
from mmrec_tf.schema import Schema

SCHEMA = Schema(user={"user": "id"}, item={"item": "id"})


def _data(label=None):
    ids = {"user": list("abcd"), "item": list("uvwxyz")}
    users, items = (pd.DataFrame({name: ids[name]}) for name in ("user", "item"))
    return RecData(SCHEMA, pd.DataFrame(columns=["user", "item"]), items, users, label, 4.0 if label else None)


def _frame(*rows, label=False):
    frame = pd.DataFrame(list(rows), columns=["user", "item", "rating"][: 2 + label])
    return frame.astype({"rating": "float32"}) if label else frame


def test_everything_by_hand():
    train = _frame(("a", "u"), ("a", "u"), ("a", "v"), ("b", "v"))
    validation = _frame(("c", "w"))
    # a: v was seen, so only w and x are wanted (x twice, once counts). b: only v, seen, so b is dropped. c: y.
    target = _frame(("a", "v"), ("a", "x"), ("a", "x"), ("a", "w"), ("b", "v"), ("c", "y"))
    users = build_evaluation_set(_data(), pd.concat([train, validation]), target, train)
    np.testing.assert_array_equal(users.user_rows, [0, 2])
    np.testing.assert_array_equal(users.profiles.toarray(), [[2, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]])
    np.testing.assert_array_equal(users.relevant.toarray(), [[0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0]])
    # Only u and v are in train; w was seen in validation and is still new to the model.
    np.testing.assert_array_equal(users.is_cold_item, [False, False, True, True, True, True])
    np.testing.assert_array_equal(users.is_warm_user, [True, False])
    np.testing.assert_array_equal(users.unseen_counts, [4, 5])
    assert (len(users), users.item_count) == (2, 6)


def test_a_sample_is_users_of_the_set_with_all_that_is_known_of_them():
    train = _frame(("a", "u"), ("b", "v"), ("c", "w"))
    target = _frame(("a", "x"), ("b", "y"), ("c", "z"), ("d", "z"))
    users = build_evaluation_set(_data(), train, target, train)
    assert users.sampled(4, seed=0) is users
    rows = set()
    for seed in range(20):
        some = users.sampled(2, seed)
        assert len(some) == 2 and some.item_count == 6 and np.all(np.diff(some.user_rows) > 0)
        rows |= set(some.user_rows.tolist())
        for name in ("profiles", "relevant"):
            found, whole = (getattr(of, name).toarray() for of in (some, users))
            np.testing.assert_array_equal(found, whole[some.user_rows])
        np.testing.assert_array_equal(some.is_warm_user, some.user_rows < 3)
        np.testing.assert_array_equal(some.is_cold_item, users.is_cold_item)
    assert rows == {0, 1, 2, 3}


def test_disliked_items_are_seen_but_neither_profile_nor_relevant():
    data = _data(label="rating")
    train = _frame(("a", "u", 5), ("a", "v", 1), label=True)
    target = _frame(("a", "v", 5), ("a", "w", 2), ("a", "x", 4), label=True)
    users = build_evaluation_set(data, train, target, train)
    np.testing.assert_array_equal(users.profiles.indices, [0, 1])
    np.testing.assert_array_equal(users.profiles.data, [1, 0])
    np.testing.assert_array_equal(users.relevant.indices, [3])
    # v was shown to the model as a negative, so it is not new to it.
    assert not users.is_cold_item[1]


def test_interaction_matrix_counts_positives():
    frame = _frame(("b", "u", 5), ("b", "u", 4), ("b", "v", 3), ("d", "z", 4), label=True)
    matrix = interaction_matrix(_data(label="rating"), frame)
    expected = np.zeros((4, 6))
    expected[1, 0], expected[3, 5] = 2, 1
    np.testing.assert_array_equal(matrix.toarray(), expected)


def test_nobody_left_gives_an_empty_set():
    train = _frame(("a", "u"))
    users = build_evaluation_set(_data(), train, train, train)
    assert len(users) == 0
    assert users.profiles.shape == (0, 6)


def test_an_unknown_id_is_named():
    with pytest.raises(DataError, match="item 'nope'"):
        build_evaluation_set(_data(), _frame(("a", "nope")), _frame(("a", "u")), _frame(("a", "u")))
