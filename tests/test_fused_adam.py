"""One kernel for a step of Adam, against Keras' dozen of operations."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.fused_adam import FusedAdam

ROWS = ([1, 3, 1], [0, 1, 1], [3, 0, 2], [3, 3, 3])


def trained(kind, xla=False, **options):
    """A table of which rows are looked up, and a vector with a dense gradient, after four steps; and their moments."""
    random = np.random.default_rng(0)
    table = tf.Variable(random.normal(size=[5, 2]).astype(np.float32))
    vector = tf.Variable(random.normal(size=[2]).astype(np.float32))
    optimizer = kind(tf_keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5), **options)
    optimizer.build([table, vector])

    @tf.function(jit_compile=xla)
    def step(rows):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(tf.gather(table, rows) * vector) * tf.range(1.0, 4.0)[:, None])
        optimizer.minimize(loss, [table, vector], tape=tape)

    for rows in ROWS:
        step(tf.constant(rows))
    return [variable.numpy() for variable in (table, vector, *optimizer._momentums, *optimizer._velocities)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"global_clipnorm": 1.0},
        {"adaptive_epsilon": True, "epsilon": 0.1},
        {"beta_1": 0.5, "beta_2": 0.9, "weight_decay": 0.1},
        {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
    ],
)
@pytest.mark.parametrize("xla", [False, True])
def test_steps_are_those_of_keras(options, xla):
    # Keras adds up a row's lookups by `tf.unique`, which XLA does not compile, so that it always runs without.
    for found, expected in zip(trained(FusedAdam, xla, **options), trained(tf_keras.optimizers.Adam, **options)):
        # The kernel takes 1 - beta_2 of two floats, which is off by 5e-5 of itself where beta_2 is .999.
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_replicas_take_the_step():
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        weight = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
        optimizer = FusedAdam(0.1)
        optimizer.build([weight])

    @tf.function
    def step(row):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.gather(weight, [row]))
        optimizer.minimize(loss, [weight], tape=tape)

    strategy.run(step, args=(tf.constant(1),))
    # Adam's first step is the learning rate, whatever the gradient.
    for copy in strategy.experimental_local_results(weight):
        np.testing.assert_allclose(copy.numpy(), [[1.0, 2.0], [2.9, 3.9]], rtol=1e-6)


def test_half_precision_scales_the_loss():
    weight = tf.Variable([1.0, 2.0])
    optimizer = tf_keras.mixed_precision.LossScaleOptimizer(FusedAdam(0.1))
    with tf.GradientTape() as tape:
        loss = optimizer.get_scaled_loss(tf.reduce_sum(weight * [1e-3, -1e-3]))
    gradients = optimizer.get_unscaled_gradients(tape.gradient(loss, [weight]))
    optimizer.apply_gradients(zip(gradients, [weight]))
    np.testing.assert_allclose(weight.numpy(), [0.9, 2.1], rtol=1e-3)


def test_it_is_made_again_from_its_configuration():
    optimizer = tf_keras.optimizers.deserialize(tf_keras.optimizers.serialize(FusedAdam(0.25, beta_1=0.75)))
    assert isinstance(optimizer, FusedAdam)
    assert (float(optimizer.learning_rate), optimizer.beta_1) == (0.25, 0.75)


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="FusedAdam has no amsgrad"):
        FusedAdam(amsgrad=True)
