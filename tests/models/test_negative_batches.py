import numpy as np

from mmrec_tf.models.negative_batches import negative_batches


def _batches(users, items, n_items, batch_size, negatives, seed=0, count=30):
    dataset = negative_batches(np.array(users), np.array(items), n_items, batch_size, negatives, seed)
    return [{name: value.numpy() for name, value in batch.items()} for batch in dataset.take(count)]


def test_what_counts_is_consumed_by_somebody_and_not_by_the_user():
    # Five users, nine items of which 0 to 6 occur; each user has three of them.
    users = np.repeat(np.arange(5), 3)
    items = np.concatenate([np.random.default_rng(user).permutation(7)[:3] for user in range(5)])
    own = set(zip(users.tolist(), items.tolist()))
    for batch in _batches(users, items, 9, 16, 4):
        assert {*zip(batch["user"].tolist(), batch["item"].tolist())} <= own
        assert batch["negatives"].shape == batch["weight"].shape == (16, 4)
        for user, drawn, weights in zip(batch["user"], batch["negatives"], batch["weight"]):
            assert all((int(user), int(item)) not in own for item, weight in zip(drawn, weights) if weight)
            assert set(drawn.tolist()) <= set(items.tolist())


def test_positives_and_negatives_are_drawn_evenly():
    # User 0 has item 0, user 1 has items 1 to 4: what user 0 has not is 1 to 4, each a quarter of the draws.
    batches = _batches([0, 1, 1, 1, 1], [0, 1, 2, 3, 4], 5, 500, 2, count=20)
    positives = np.bincount(np.concatenate([batch["item"] for batch in batches]), minlength=5) / 10_000
    np.testing.assert_allclose(positives, 0.2, atol=0.02)
    of_first = np.concatenate([batch["negatives"][(batch["user"] == 0)].ravel() for batch in batches])
    counted = np.concatenate([batch["weight"][(batch["user"] == 0)].ravel() for batch in batches]) > 0
    np.testing.assert_allclose(np.bincount(of_first[counted], minlength=5) / counted.sum(), [0, *[0.25] * 4], atol=0.04)


def test_who_has_everything_has_no_negative():
    batch = _batches([0, 0, 1], [0, 1, 0], 2, 64, 3, count=1)[0]
    np.testing.assert_array_equal(batch["weight"][batch["user"] == 0], 0.0)
    assert (batch["weight"][batch["user"] == 1] == 1.0).mean() > 0.8
    np.testing.assert_array_equal(batch["negatives"][(batch["user"] == 1)][batch["weight"][batch["user"] == 1] > 0], 1)


def test_the_seed_decides_and_batches_differ():
    arguments = (np.repeat(np.arange(5), 3), np.arange(15) % 7, 7, 32, 2)
    first, again, other = (_batches(*arguments, seed=seed, count=2) for seed in (1, 1, 2))
    for name in first[0]:
        np.testing.assert_array_equal(first[1][name], again[1][name])
    assert (first[0]["item"] != first[1]["item"]).any() and (first[0]["item"] != other[0]["item"]).any()
