"""Where negatives come from, and that their correction makes them stand for the whole catalogue."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.errors import ConfigError
from mmrec_tf.losses.negatives import hard_negatives
from mmrec_tf.losses.negatives_registry import build_negatives
from mmrec_tf.losses.softmax_loss import SoftmaxLoss
from mmrec_tf.losses.streaming_frequency import StreamingFrequency

SIZE = 6
SHARES = np.array([0.0, 0.4, 0.3, 0.2, 0.1, 0.0], np.float32) + 1e-6
BATCH = tf.constant([1, 1, 2, 4])


def drawn(name, **settings) -> tuple[np.ndarray, np.ndarray]:
    source = build_negatives(name, SIZE, **settings)
    source.set_probabilities(SHARES)
    ids, log_expected = source(BATCH)
    return ids.numpy(), np.exp(log_expected.numpy())


def test_the_whole_catalogue_once():
    ids, expected = drawn("full")
    assert ids.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(expected, 1.0)


def test_in_batch():
    ids, expected = drawn("in_batch")
    np.testing.assert_array_equal(ids, BATCH)
    np.testing.assert_allclose(expected, 4 * SHARES[ids], rtol=1e-4)


def test_uniform_and_mixed():
    ids, expected = drawn("uniform", count=200)
    assert set(ids.tolist()) == {1, 2, 3, 4, 5}
    np.testing.assert_allclose(expected, 200 / 5, rtol=1e-5)
    ids, expected = drawn("mixed", count=3)
    assert ids[:4].tolist() == BATCH.numpy().tolist() and len(ids) == 7
    # An item can come from either, so both count for each.
    np.testing.assert_allclose(expected, 4 * SHARES[ids] + 3 / 5, rtol=1e-4)


def test_cached_holds_the_latest_of_earlier_batches():
    source = build_negatives("cached", SIZE, count=5)
    source.set_probabilities(SHARES)
    found = [
        source(tf.constant(batch), training=True)[0].numpy().tolist() for batch in ([1, 2], [3, 4], [5, 1], [2, 2])
    ]
    assert found[0] == [1, 2, 0, 0, 0, 0, 0]
    assert found[1] == [3, 4, 1, 2, 0, 0, 0]
    assert found[3] == [2, 2, 5, 1, 3, 4, 1]
    # Outside of training nothing is kept.
    ids, log_expected = source(tf.constant([3, 3]))
    assert ids.numpy().tolist() == [3, 3, 2, 2, 5, 1, 3]
    np.testing.assert_allclose(np.exp(log_expected.numpy()), 7 * SHARES[ids.numpy()], rtol=1e-4)
    assert source(tf.constant([3, 3]))[0].numpy().tolist() == ids.numpy().tolist()


def test_without_correction_all_count_alike():
    for name in ("in_batch", "mixed", "cached", "uniform"):
        np.testing.assert_array_equal(drawn(name, logq=False)[1], 1.0)


@pytest.mark.parametrize("name", ["full", "in_batch", "uniform", "mixed", "cached"])
def test_compiles_with_static_shapes_and_survives_its_config(name):
    source = build_negatives(name, SIZE, count=3, logq="streaming")
    copy = tf_keras.saving.deserialize_keras_object(tf_keras.saving.serialize_keras_object(source))
    assert type(copy) is type(source) and copy.get_config() == source.get_config()

    @tf.function(jit_compile=True)
    def compiled(item_index):
        ids, log_expected = source(item_index, training=True)
        assert ids.shape.rank == 1 and ids.shape[0] is not None
        return ids, tf.zeros_like(ids, tf.float32) + log_expected

    for _ in range(3):
        ids, log_expected = compiled(BATCH)
    assert np.isfinite(log_expected.numpy()[ids.numpy() > 0]).all()


def test_hard_negatives_are_drawn_from_the_users_list():
    lists = tf.constant([[0, 0, 0], [1, 2, 3], [4, 5, 0]])
    found = hard_negatives(lists, tf.constant([2, 0, 1, 2]), 50).numpy()
    assert found.shape == (4, 50)
    assert [set(row) for row in found.tolist()] == [{4, 5, 0}, {0}, {1, 2, 3}, {4, 5, 0}]


def test_unknown_names_are_named():
    with pytest.raises(ConfigError, match="source 'in-batch' is unknown. .*in_batch.* Allowed: full, in_batch"):
        build_negatives("in-batch", SIZE)


def learned_shares(logq) -> tuple[np.ndarray, np.ndarray]:
    """A corpus of 20 items, the first 20 times as popular as the last, and what free scores learn from its batches.

    There are two sorts of users, who like the first and the second half of the items a little more than others do.
    """
    random = np.random.default_rng(0)
    popularity = np.geomspace(20.0, 1.0, 20)
    likes = np.where(np.arange(20) < 10, 1.0, 3.0)
    true = np.stack([popularity * likes, popularity * likes[::-1]])
    true /= true.sum(axis=1, keepdims=True)
    source = build_negatives("in_batch", 21, logq=logq)
    source.set_probabilities(np.append(1e-6, true.mean(axis=0)))
    scores, loss = tf.Variable(np.zeros([2, 20], np.float32)), SoftmaxLoss()
    optimizer = tf_keras.optimizers.Adam(tf_keras.optimizers.schedules.CosineDecay(0.15, 120))

    @tf.function
    def step(sort, item_index):
        ids, log_expected = source(item_index)
        counted = ids != item_index[:, None]
        with tf.GradientTape() as tape:
            own = tf.gather_nd(scores, tf.stack([sort, item_index - 1], axis=1))
            negatives = tf.gather(tf.gather(scores, sort), ids - 1, axis=1)
            value = tf.reduce_mean(loss(own, negatives, counted, log_expected))
        optimizer.apply_gradients([(tape.gradient(value, scores), scores)])

    for _ in range(120):
        sort = random.integers(0, 2, 512)
        items = np.array([random.choice(20, p=true[one]) for one in (0, 1) for _ in range((sort == one).sum())]) + 1
        step(tf.constant(np.sort(sort), tf.int32), tf.constant(items, tf.int32))
    return tf.nn.softmax(scores, axis=1).numpy(), true


def divergence(found, true) -> float:
    return float((true * np.log(true / found)).sum(axis=1).mean())


def test_logq_removes_the_popularity_bias_of_in_batch_negatives():
    corrected, true = learned_shares("counts")
    biased, _ = learned_shares(False)
    popularity = true.mean(axis=0)
    # With the correction the scores tell each sort's shares. Without it popular items are pushed down as often as they
    # are negatives, and what is left is the taste without the popularity: shares divided by it.
    assert divergence(corrected, true) < 0.02
    assert divergence(biased, true) > 0.1
    without = true / popularity
    without /= without.sum(axis=1, keepdims=True)
    assert divergence(biased, without) < 0.02


def test_streaming_frequency_follows_a_stream():
    random = np.random.default_rng(1)
    frequency = StreamingFrequency(9, rate=0.02)
    update = tf.function(frequency.update)
    index = tf.range(1, 9)

    def pass_by(shares, steps):
        for _ in range(steps):
            update(tf.constant(random.choice(np.arange(1, 9), 16, p=shares), tf.int32))

    first = np.array([0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.03, 0.02])
    pass_by(first, 500)
    np.testing.assert_allclose(frequency.share(index).numpy(), first, rtol=0.35)
    # What was rare becomes frequent, and the other way round.
    pass_by(first[::-1], 800)
    np.testing.assert_allclose(frequency.share(index).numpy(), first[::-1], rtol=0.35)
    # Index 0 was never seen: less than any.
    assert float(frequency.share(tf.constant(0))) < 0.001
    with pytest.raises(ValueError, match="rate must lie in"):
        StreamingFrequency(3, rate=0.0)
