"""tf.data pipelines: what reaches the train step, in which shapes and in which order."""

import numpy as np

from mmrec_tf.data.pipelines import gathered_batches, ranking_dataset, retrieval_dataset
from mmrec_tf.data.sequences import Sequences


def ten_interactions() -> Sequences:
    """Two users with five items each; the item says the position: index 11 at position 0, ..., 20 at position 9."""
    return Sequences(np.repeat([0, 1], 5), np.arange(10, 20), np.arange(10), users=2, length=3)


def epoch(dataset) -> list[dict[str, np.ndarray]]:
    return list(dataset.as_numpy_iterator())


def column(batches, name) -> np.ndarray:
    return np.concatenate([batch[name] for batch in batches])


def test_retrieval_shapes_are_static():
    spec = retrieval_dataset(ten_interactions(), batch_size=4).element_spec
    assert {name: (tuple(part.shape), part.dtype.name) for name, part in spec.items()} == {
        "user_index": ((4,), "int32"),
        "history": ((4, 3), "int32"),
        "gaps": ((4, 3), "int32"),
        "since": ((4,), "int32"),
        "moment": ((4,), "int32"),
        "item_index": ((4,), "int32"),
        "weight": ((4,), "float32"),
    }


def test_retrieval_epoch_covers_every_interaction_once_but_the_dropped_rest():
    sequences = ten_interactions()
    batches = epoch(retrieval_dataset(sequences, batch_size=4))
    items = column(batches, "item_index")
    # 10 = 2 batches of 4, and 2 left over.
    assert len(batches) == 2
    assert len(set(items.tolist())) == 8
    positions = items - 11
    np.testing.assert_array_equal(column(batches, "user_index"), sequences.user_index[positions])
    asked = sequences.asked_at(positions)
    for name in ("history", "gaps", "since"):
        np.testing.assert_array_equal(column(batches, name), asked[name])
    assert sorted(column(epoch(retrieval_dataset(sequences, batch_size=5)), "item_index")) == list(range(11, 21))


def test_retrieval_order_changes_from_epoch_to_epoch_and_repeats_with_the_seed():
    def two_epochs(seed):
        dataset = retrieval_dataset(ten_interactions(), batch_size=5, seed=seed)
        return [column(epoch(dataset), "item_index").tolist() for _ in range(2)]

    first, second = two_epochs(3)
    assert first != second
    assert two_epochs(3) == [first, second]
    assert two_epochs(4) != [first, second]


def test_moments_and_weights_go_with_the_interactions():
    moments, weights = np.arange(10, dtype=np.int32) * 2, np.arange(10, dtype=np.float32) / 4
    for batch in epoch(retrieval_dataset(ten_interactions(), 5, moments=moments, weights=weights)):
        positions = batch["item_index"] - 11
        np.testing.assert_array_equal(batch["moment"], moments[positions])
        np.testing.assert_array_equal(batch["weight"], weights[positions])


def baskets() -> Sequences:
    """One user: items 11 and 12 at 0 seconds, 11 again and 13 at 10, 14 and 15 at 13."""
    return Sequences([0] * 6, [10, 11, 10, 12, 13, 14], [0, 0, 10, 10, 13, 13], users=1, length=3)


def test_what_a_user_has_touched_before_is_history_and_no_example():
    (batch,) = epoch(retrieval_dataset(baskets(), batch_size=5))
    by_item = {int(item): history.tolist() for item, history in zip(batch["item_index"], batch["history"])}
    assert by_item == {11: [0, 0, 0], 12: [0, 0, 11], 13: [11, 12, 11], 14: [12, 11, 13], 15: [11, 13, 14]}
    windows = epoch(retrieval_dataset(baskets(), batch_size=6, all_positions=True))
    weights = {(int(i), w) for batch in windows for i, w in zip(batch["item_index"].flat, batch["weight"].flat)}
    assert weights == {(11, 1.0), (11, 0.0), (12, 1.0), (13, 1.0), (14, 1.0), (15, 1.0)}


def test_before_a_moment_nothing_of_the_same_basket_is_known():
    (batch,) = epoch(retrieval_dataset(baskets(), batch_size=5, before_moment=True))
    told = zip(batch["item_index"].tolist(), batch["history"].tolist(), batch["gaps"].tolist(), batch["since"].tolist())
    # The buckets 1 + floor(log2(1 + s)) of 0, 10 and 3 seconds are 1, 4 and 3; nothing lies before the first moment.
    assert sorted(told) == [
        (11, [0, 0, 0], [0, 0, 0], 0),
        (12, [0, 0, 11], [0, 0, 0], 1),
        (13, [0, 11, 12], [0, 0, 1], 4),
        (14, [12, 11, 13], [1, 4, 1], 3),
        (15, [12, 11, 13], [1, 4, 1], 3),
    ]


def test_windows_hold_every_interaction_once_with_what_came_before_it():
    weights = np.arange(1, 11, dtype=np.float32)
    # Windows of three: positions 2 to 4 and 0 to 1 of each user's five.
    batches = epoch(retrieval_dataset(ten_interactions(), batch_size=3, weights=weights, all_positions=True))
    rows = {tuple(row): place for place, row in enumerate(column(batches, "item_index").tolist())}
    assert sorted(rows) == [(0, 11, 12), (0, 16, 17), (13, 14, 15), (18, 19, 20)]
    by_hand = {
        (0, 11, 12): {"user_index": 1, "history": [0, 0, 11], "since": [0, 0, 2], "gaps": [0, 0, 0]},
        (13, 14, 15): {"user_index": 1, "history": [12, 13, 14], "since": [2, 2, 2], "gaps": [2, 2, 2]},
        (18, 19, 20): {"user_index": 2, "history": [17, 18, 19], "since": [2, 2, 2], "gaps": [2, 2, 2]},
    }
    for row, expected in by_hand.items():
        for name, values in expected.items():
            np.testing.assert_array_equal(column(batches, name)[rows[row]], values)
    np.testing.assert_array_equal(column(batches, "weight")[rows[(0, 16, 17)]], [0.0, 6.0, 7.0])


def test_without_a_seed_order_is_kept_and_nothing_dropped():
    batches = epoch(gathered_batches({"row": np.arange(7)}, batch_size=3, seed=None))
    assert [batch["row"].tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6]]


def examples(labels=(1.0, 1.0, 0.0, 1.0)) -> dict[str, np.ndarray]:
    """Users 1 to 4, each with an item and a history of their own."""
    return {
        "user_index": np.array([1, 2, 3, 4], np.int32),
        "item_index": np.array([10, 20, 30, 40], np.int32),
        "history": np.array([[0, 11], [21, 22], [0, 0], [41, 42]], np.int32),
        "label": np.array(labels, np.float32),
    }


def by_user(dataset) -> dict[int, dict[str, np.ndarray]]:
    rows = {}
    for batch in epoch(dataset):
        for row, user in enumerate(batch["user_index"]):
            rows[int(user)] = {name: array[row] for name, array in batch.items()}
    return rows


def test_ranking_shapes_are_grouped_and_static():
    hard = np.ones((5, 2), np.int32)
    dataset = ranking_dataset(
        examples(), np.arange(1, 50), batch_size=12, negatives=3, hard_negatives=hard, hard_per_example=2
    )
    # A group is the item, 3 random and 2 hard negatives; 12 pairs are 2 groups.
    assert {name: tuple(part.shape) for name, part in dataset.element_spec.items()} == {
        "user_index": (2,),
        "history": (2, 2),
        "item_index": (2, 6),
        "label": (2, 6),
        "weight": (2, 6),
    }
    assert {name: part.dtype.name for name, part in dataset.element_spec.items()} == {
        "user_index": "int32",
        "history": "int32",
        "item_index": "int32",
        "label": "float32",
        "weight": "float32",
    }


def test_ranking_puts_the_own_item_first_and_negatives_have_label_zero():
    rows = by_user(ranking_dataset(examples(), np.arange(100, 200), batch_size=8, negatives=3))
    assert sorted(rows) == [1, 2, 3, 4]
    for user, label in zip((1, 2, 3, 4), (1, 1, 0, 1)):
        row = rows[user]
        assert row["item_index"][0] == 10 * user
        assert row["label"].tolist() == [label, 0, 0, 0]
        assert ((row["item_index"][1:] >= 100) & (row["item_index"][1:] < 200)).all()
        # Nothing clashes here; a disliked item takes no negatives, but is an example itself.
        assert row["weight"].tolist() == ([1, 1, 1, 1] if label else [1, 0, 0, 0])


def test_ranking_negatives_come_from_the_given_items_alone():
    drawn = set()
    dataset = ranking_dataset(examples(), np.array([5, 7, 9]), batch_size=100, negatives=50)
    for row in by_user(dataset).values():
        drawn |= set(row["item_index"][1:].tolist())
    # 200 draws from three items miss one of them with probability 3 (2/3)^200.
    assert drawn == {5, 7, 9}


def test_ranking_clashes_have_weight_zero():
    # Only two items can be drawn: user 1's own and one of user 2's history.
    rows = by_user(ranking_dataset(examples(), np.array([10, 22]), batch_size=100, negatives=20))
    for user, clash in ((1, 10), (2, 22), (4, None)):
        items, weights = rows[user]["item_index"][1:], rows[user]["weight"][1:]
        assert set(items.tolist()) == {10, 22}
        np.testing.assert_array_equal(weights, (items != clash).astype(float))


def test_ranking_hard_negatives_are_the_users_own():
    hard = np.zeros((5, 3), np.int32)
    hard[1] = [61, 62, 63]
    hard[2] = [71, 0, 22]  # a gap and an item of the history
    hard[4] = [81, 81, 40]  # the own item
    dataset = ranking_dataset(
        examples(), np.array([90]), batch_size=1000, negatives=1, hard_negatives=hard, hard_per_example=30
    )
    rows = by_user(dataset)
    for user, usable in ((1, {61, 62, 63}), (2, {71}), (4, {81})):
        assert rows[user]["item_index"][1] == 90
        items, weights = rows[user]["item_index"][2:], rows[user]["weight"][2:]
        assert set(items.tolist()) == set(hard[user].tolist())
        np.testing.assert_array_equal(weights, np.isin(items, list(usable)).astype(float))
        assert not rows[user]["label"][1:].any()


def test_ranking_without_hard_negatives_leaves_their_places_out():
    for table in (None, np.zeros((5, 0), np.int32)):
        dataset = ranking_dataset(examples(), np.array([90]), 8, 1, hard_negatives=table, hard_per_example=2)
        assert dataset.element_spec["item_index"].shape == (4, 2)


def test_ranking_draws_repeat_with_the_seed_and_change_from_epoch_to_epoch():
    def two_epochs(seed):
        hard = np.arange(500).reshape(5, 100)
        dataset = ranking_dataset(
            examples(), np.arange(1, 1000), 6, negatives=4, hard_negatives=hard, hard_per_example=2, seed=seed
        )
        return [{user: row["item_index"].tolist() for user, row in by_user(dataset).items()} for _ in range(2)]

    first, second = two_epochs(1)
    assert two_epochs(1) == [first, second]
    assert two_epochs(2) != [first, second]
    # With another order an example stands in another place, and meets other negatives.
    assert first != second
