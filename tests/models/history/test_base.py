"""What every encoder of histories promises."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.models.history import HistoryEncoder, MeanHistory, build_history_encoder, history_encoder_names
from mmrec_tf.models.history.base import by_distance, recency_start
from tests.models.history.histories import DIM, LENGTH, MASK, given, randomized

every_encoder = pytest.mark.parametrize("name", history_encoder_names())


@every_encoder
def test_a_position_knows_nothing_of_what_comes_after(name):
    encoder, inputs = randomized(build_history_encoder(name, DIM, LENGTH)), given()
    before = encoder(**inputs).numpy()
    changed = {**given(seed=2), "mask": MASK}
    for position in range(1, LENGTH):
        for key in ("items", "gaps"):
            changed[key][:, :position] = inputs[key][:, :position]
        after = encoder(**changed).numpy()
        np.testing.assert_allclose(after[:, :position], before[:, :position], atol=1e-5)
        # The full history's own position sees its item.
        assert np.abs(after[0, position] - before[0, position]).max() > 1e-3
        changed = {**given(seed=2), "mask": MASK}


@every_encoder
def test_padding_in_front_changes_nothing(name):
    encoder, inputs = randomized(build_history_encoder(name, DIM, LENGTH)), given()
    whole = encoder(**inputs).numpy()
    for row, length in enumerate(MASK.sum(axis=1)):
        if length:
            short = {key: value[row : row + 1, LENGTH - length :] for key, value in inputs.items()}
            np.testing.assert_allclose(encoder(**short).numpy()[0], whole[row, LENGTH - length :], atol=1e-5)
    np.testing.assert_array_equal(whole[~MASK], 0.0)


@every_encoder
def test_what_stands_at_padding_has_no_influence_on_outputs_and_gradients(name):
    encoder, inputs = randomized(build_history_encoder(name, DIM, LENGTH)), given()
    junk = {**inputs, "items": np.where(MASK[..., None], inputs["items"], np.nan), "gaps": inputs["gaps"] + 3 * ~MASK}
    results = []
    for values in (inputs, junk):
        with tf.GradientTape() as tape:
            output = encoder(**values)
            loss = tf.reduce_sum(tf.square(output))
        results.append([output, *map(tf.convert_to_tensor, tape.gradient(loss, encoder.trainable_weights))])
    for one, other in zip(*results):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5)


@every_encoder
def test_the_latest_state_alone_is_the_last_of_all_with_the_same_gradients(name):
    encoder, inputs = randomized(build_history_encoder(name, DIM, LENGTH)), given()
    # Neither what stands at padding nor how much of it there is.
    inputs["items"] = np.where(MASK[..., None], inputs["items"], np.nan).astype(np.float32)
    for cut in (0, 2):
        shorter = {key: tf.constant(value[:, cut:]) for key, value in inputs.items()}
        results = []
        for latest_only in (False, True):
            with tf.GradientTape() as tape:
                tape.watch(shorter["items"])
                output = encoder(**shorter, latest_only=latest_only)
                output = output if latest_only else output[:, -1]
                loss = tf.reduce_sum(tf.square(output))
            asked = [shorter["items"], *encoder.trainable_weights]
            results.append(
                [output, *map(tf.convert_to_tensor, tape.gradient(loss, asked, unconnected_gradients="zero"))]
            )
        assert results[1][0].shape == (5, DIM)
        for one, other in zip(*results):
            np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5)
        np.testing.assert_array_equal(results[1][0][~MASK[:, -1]], 0.0)


@every_encoder
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision(name, policy):
    inputs = given()
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        encoder = build_history_encoder(name, DIM, LENGTH)
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
    full = build_history_encoder(name, DIM, LENGTH)
    with tf.GradientTape() as tape:
        output = encoder(**inputs)
        loss = tf.reduce_sum(tf.square(tf.cast(output, tf.float32)))
    gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, encoder.trainable_weights)]
    assert output.dtype == encoder.compute_dtype != "float32"
    assert all(np.isfinite(tf.cast(gradient, tf.float32)).all() for gradient in gradients)
    full(**inputs)
    full.set_weights(encoder.get_weights())
    np.testing.assert_allclose(tf.cast(output, tf.float32), full(**inputs), atol=0.03)


@every_encoder
def test_training_starts_near_the_weighted_mean(name):
    inputs = given()
    expected = MeanHistory(DIM, LENGTH)(**inputs).numpy()
    found = build_history_encoder(name, DIM, LENGTH)(**inputs).numpy()
    # Eight standard deviations of what the networks add at first.
    np.testing.assert_allclose(found, expected, atol=0.16)


@every_encoder
def test_no_history_at_all(name):
    encoder = build_history_encoder(name, DIM, 0)
    nothing = np.zeros([3, 0, DIM], np.float32), np.zeros([3, 0], bool), np.zeros([3, 0], np.int32)
    assert encoder(*nothing).shape == (3, 0, DIM) and not encoder.weights
    np.testing.assert_array_equal(encoder(*nothing, latest_only=True), np.zeros([3, DIM]))


def test_other_shapes_than_it_was_made_for_are_refused():
    for shape in ([2, LENGTH + 1, DIM], [2, LENGTH, DIM + 1]):
        with pytest.raises(ValueError, match=r"up to 6 items of width 4, got items of shape \[2, "):
            MeanHistory(DIM, LENGTH)(
                np.zeros(shape, np.float32), np.ones(shape[:2], bool), np.ones(shape[:2], np.int32)
            )


def test_a_subclass_only_encodes():
    class Latest(HistoryEncoder):
        def encode(self, items, present, gaps, training):
            return items + 1.0

    inputs = given()
    expected = np.where(MASK[..., None], inputs["items"] + 1.0, 0.0)
    np.testing.assert_array_equal(Latest(DIM, LENGTH)(**inputs), expected)
    np.testing.assert_array_equal(Latest(DIM, LENGTH)(**inputs, latest_only=True), expected[:, -1])


def test_values_by_distance():
    values = np.array([[30.0, 20.0, 10.0], [3.0, 2.0, 1.0]])
    assert by_distance(tf.constant(values), 3).numpy().tolist() == [
        [[10, 0, 0], [20, 10, 0], [30, 20, 10]],
        [[1, 0, 0], [2, 1, 0], [3, 2, 1]],
    ]
    # Of a shorter history the near distances.
    assert by_distance(tf.constant(values[0]), 2).numpy().tolist() == [[10, 0], [20, 10]]


def test_start_of_the_logits_by_distance():
    assert recency_start([2, 5], tf.float32).numpy().tolist() == [[-2.0, -1.5, -1.0, -0.5, 0.0]] * 2
