"""What every alignment promises: who is counted, who is nobody's negative, and that odd batches do no harm."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.losses.alignment import WithinRange, mean_over
from mmrec_tf.losses.alignment_registry import alignment_names, build_alignment

every_method = pytest.mark.parametrize("method", alignment_names())
every_contrast = pytest.mark.parametrize("method", [name for name in alignment_names() if name != "cca"])


def pair(rows: int = 6, seed: int = 1, widths=(5, 3)) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    first, second = (random.normal(size=[rows, width]).astype(np.float32) for width in widths)
    return first, second


def everywhere(rows: int = 6) -> tuple[np.ndarray, np.ndarray]:
    return np.ones(rows, bool), np.ones(rows, bool)


def loss_and_gradients(layer, vectors, masks, ids=None):
    """The loss and its gradients by the vectors and by the weights."""
    vectors = tuple(tf.constant(values) for values in vectors)
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        loss = layer(vectors, masks=masks, ids=ids)
    return float(loss), tape.gradient(
        loss, [*vectors, *layer.trainable_weights], unconnected_gradients=tf.UnconnectedGradients.ZERO
    )


@every_method
def test_only_rows_with_both_modalities_count(method):
    first, second = pair()
    masks = np.array([1, 1, 0, 1, 0, 1], bool), np.array([1, 0, 0, 1, 1, 1], bool)
    both = masks[0] & masks[1]
    layer = build_alignment(method, dim=4)
    expected, _ = loss_and_gradients(layer, (first[both], second[both]), everywhere(3))
    assert expected > 0
    spoilt = tuple(np.where(both[:, None], values, np.nan) for values in (first, second))
    for vectors in ((first, second), spoilt):
        loss, gradients = loss_and_gradients(layer, vectors, masks)
        assert loss == pytest.approx(expected, rel=1e-5)
        assert all(np.isfinite(gradient).all() for gradient in gradients)
        np.testing.assert_array_equal(gradients[0].numpy()[~both], 0.0)


@every_method
@pytest.mark.parametrize("counted", [0, 1])
def test_fewer_than_two_rows_give_zero_and_no_gradient(method, counted):
    vectors = pair()
    masks = np.arange(6) < counted, np.ones(6, bool)
    layer = build_alignment(method, dim=4)
    loss, gradients = loss_and_gradients(layer, vectors, masks)
    assert loss == 0.0
    assert all(np.abs(gradient).max() == 0 for gradient in gradients)


@every_method
@pytest.mark.parametrize("rows", [0, 1])
def test_batches_of_one_and_none(method, rows):
    loss, gradients = loss_and_gradients(build_alignment(method, dim=4), pair(rows), everywhere(rows))
    assert loss == 0.0
    assert all(not np.any(gradient) for gradient in gradients)


@every_contrast
@pytest.mark.parametrize("told_by", ["ids", "first vector", "second vector"])
def test_a_duplicate_is_not_pushed_away(method, told_by):
    # Rows 0 and 1 are one item. All else equal, how similar row 0's first vector is to row 1's second must not matter:
    # the gradient by that pair's similarity is zero.
    first, second = pair()
    ids = np.arange(6)
    if told_by == "ids":
        ids[1] = ids[0]
    elif told_by == "first vector":
        first[1] = first[0]
    else:
        second[1] = second[0]
    layer = build_alignment(method, dim=4)
    layer((first, second), masks=everywhere(), ids=ids)
    negative = negatives_seen(layer, (first, second), everywhere(), ids)
    expected = ~np.eye(6, dtype=bool)
    expected[[0, 1], [1, 0]] = False
    np.testing.assert_array_equal(negative, expected)
    similarity = tf.Variable(np.random.default_rng(2).uniform(-1, 1, [6, 6]).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = layer.loss(similarity, tf.ones([6], bool), tf.constant(negative))
    gradient = tape.gradient(loss, similarity).numpy()
    assert gradient[0, 1] == gradient[1, 0] == 0.0
    # Its own pair is still drawn together.
    assert gradient[0, 0] < 0 and gradient[1, 1] < 0


def negatives_seen(layer, vectors, masks, ids=None) -> np.ndarray:
    """The `negative` that the layer hands to its loss."""
    seen = []
    original = layer.loss
    layer.loss = lambda similarity, counted, negative: seen.append(negative) or original(similarity, counted, negative)
    try:
        layer(vectors, masks=masks, ids=ids)
    finally:
        layer.loss = original
    return seen[0].numpy()


@every_method
@pytest.mark.parametrize("kind", ["identical items", "constant vectors", "zeros", "one id"])
def test_items_that_cannot_be_told_apart_give_zero_and_no_gradient(method, kind):
    first, second = pair()
    ids = None
    if kind == "identical items":
        first, second = first[[2] * 6], second[[2] * 6]
    elif kind == "one id":
        ids = np.full(6, 7)
    else:
        first = np.full_like(first, {"constant vectors": 0.3, "zeros": 0.0}[kind])
    loss, gradients = loss_and_gradients(build_alignment(method, dim=4), (first, second), everywhere(), ids)
    assert loss == 0.0
    assert all(np.abs(gradient).max() == 0 for gradient in gradients)


def test_equal_vectors_are_known_by_their_bits():
    layer = build_alignment("contrastive", dim=4)
    first, second = pair(5)
    first[1] = first[0]
    # The smallest change makes another vector; -0 is 0.
    first[1, 4] = np.nextafter(first[0, 4], np.float32(10))
    first[3] = first[2] = 0.0
    first[3] = -first[2]
    negative = negatives_seen(layer, (first, second), everywhere(5))
    assert negative[0, 1] and not negative[2, 3] and negative[3, 4]


def test_equal_vectors_are_found_in_a_large_batch():
    # Of 4096 rows, no two different ones may be taken for one.
    first, second = pair(4096)
    first[17] = first[4000]
    negative = negatives_seen(build_alignment("triplet", dim=None), (first, first.copy()), everywhere(4096))
    assert (~negative).sum() == 4096 + 2 and not negative[17, 4000] and not negative[4000, 17]


@every_method
def test_a_counted_vector_that_is_no_number_makes_the_loss_none(method):
    first, second = pair()
    first[2, 0] = np.nan
    loss, _ = loss_and_gradients(build_alignment(method, dim=4), (first, second), everywhere())
    assert np.isnan(loss)


@every_method
def test_without_projections_the_vectors_are_compared_as_they_are(method):
    first, second = pair(widths=(4, 4))
    layer = build_alignment(method, dim=None)
    unprojected, _ = loss_and_gradients(layer, (first, second), everywhere())
    with_identity = build_alignment(method, dim=4)
    with_identity((first, second), masks=everywhere())
    with_identity.project_first.set_weights([np.eye(4)])
    with_identity.project_second.set_weights([np.eye(4)])
    expected, _ = loss_and_gradients(with_identity, (first, second), everywhere())
    assert unprojected == pytest.approx(expected, rel=1e-5)


def test_without_projections_the_widths_must_agree():
    with pytest.raises(ValueError, match="vectors of one width, got 5 and 3. Set dim"):
        build_alignment("contrastive", dim=None)(pair(), masks=everywhere())


@every_method
def test_exchanging_the_modalities_does_not_change_the_loss(method):
    first, second = pair(widths=(4, 4))
    layer = build_alignment(method, dim=None)
    there, _ = loss_and_gradients(layer, (first, second), everywhere())
    back, _ = loss_and_gradients(layer, (second, first), everywhere())
    assert there == pytest.approx(back, rel=1e-5)


@every_method
def test_gradients_under_xla_are_those_without(method):
    vectors, masks = tuple(map(tf.constant, pair())), tuple(map(tf.constant, everywhere()))
    ids = tf.constant([0, 0, 1, 2, 3, 4])
    layer = build_alignment(method, dim=4, **({"margin": 1.0} if method == "triplet" else {}))
    layer(vectors, masks=masks)

    def step():
        with tf.GradientTape() as tape:
            loss = layer(vectors, masks=masks, ids=ids)
        return [loss, *tape.gradient(loss, layer.trainable_weights)]

    for one, other in zip(tf.function(step, jit_compile=True)(), step(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


@every_method
def test_half_precision_loses_little(method):
    # The projections round to three digits; the loss behind them does not add to that.
    first, second = pair(32)
    before = tf_keras.mixed_precision.global_policy()
    exact = build_alignment(method, dim=8)
    expected, _ = loss_and_gradients(exact, (first, second), everywhere(32))
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        half = build_alignment(method, dim=8)
        half((first, second), masks=everywhere(32))
        half.set_weights(exact.get_weights())
        loss = half((first, second), masks=everywhere(32))
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(expected, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@every_method
def test_two_hundred_steps_bring_the_modalities_together(method, policy):
    # Both modalities are views of the same two numbers; after training, each finds its own among 32.
    random = np.random.default_rng(3)
    hidden = random.normal(size=[32, 2])
    vectors = tuple(tf.constant(hidden @ random.normal(size=[2, width]), tf.float32) for width in (6, 4))
    masks = tuple(map(tf.constant, everywhere(32)))
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        layer = build_alignment(method, dim=4)
        layer(vectors, masks=masks)
        before_training = share_found(layer, vectors)
        optimizer = tf_keras.mixed_precision.LossScaleOptimizer(tf_keras.optimizers.Adam(0.02))

        @tf.function
        def step():
            with tf.GradientTape() as tape:
                loss = layer(vectors, masks=masks)
                scaled = optimizer.get_scaled_loss(loss)
            gradients = optimizer.get_unscaled_gradients(tape.gradient(scaled, layer.trainable_weights))
            optimizer.apply_gradients(zip(gradients, layer.trainable_weights))
            return loss

        losses = [float(step()) for _ in range(200)]
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
    assert np.isfinite(losses).all()
    assert all(np.isfinite(weight).all() for weight in layer.get_weights())
    # A tenth finds its own among the nearest three by chance.
    assert before_training < 0.4 and share_found(layer, vectors) > 0.8


def share_found(layer, vectors) -> float:
    """The share of rows whose own second vector is among the three that are nearest to the first."""
    first, second = (
        tf.math.l2_normalize(tf.matmul(values, projection.kernel), axis=1)
        for values, projection in zip(vectors, (layer.project_first, layer.project_second))
    )
    similarity = tf.matmul(first, second, transpose_b=True).numpy()
    return float(((similarity > np.diag(similarity)[:, None]).sum(axis=1) < 3).mean())


def test_mean_over_counts_only_what_it_is_told_to():
    values = tf.constant([1.0, np.nan, 3.0])
    assert float(mean_over(values, tf.constant([True, False, True]))) == 2.0
    assert float(mean_over(values, tf.constant([False] * 3))) == 0.0


def test_a_weight_is_brought_back_into_its_range_after_a_step():
    weight = tf_keras.layers.Layer().add_weight(name="weight", shape=[2], constraint=WithinRange(0.0, 1.0))
    weight.assign([0.5, 0.9])
    tf_keras.optimizers.SGD(1.0).apply_gradients([(tf.constant([0.2, -5.0]), weight)])
    np.testing.assert_allclose(weight, [0.3, 1.0])
    copy = tf_keras.constraints.deserialize(tf_keras.constraints.serialize(WithinRange(0.0, 2.0)))
    assert (copy.low, copy.high) == (0.0, 2.0)
