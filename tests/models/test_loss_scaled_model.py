"""The train step: the same gradients as without a loss scale, also those that float16 would round to 0."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.models.loss_scaled_model import LossScaledModel
from mmrec_tf.models.row_sums import row_sums


class Slope(LossScaledModel):
    """loss = slope * weight, worked out in float16, and a second weight's square that is added as a layer's loss."""

    def __init__(self, slope):
        super().__init__(autocast=False)
        self.slope = slope
        self.weight = self.add_weight(name="weight", shape=[], initializer="ones", experimental_autocast=False)
        self.held = tf_keras.layers.Dense(
            1, use_bias=False, kernel_initializer="ones", kernel_regularizer="l2", dtype="float32"
        )
        self.held(tf.zeros([1, 1]))

    def compute_loss(self, inputs, training=False):
        return tf.cast(tf.cast(self.weight, tf.float16), tf.float32) * self.slope * tf.reduce_mean(inputs)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_step_by_hand(scaled):
    model = Slope(0.5)
    optimizer = tf_keras.optimizers.SGD(1.0)
    if scaled:
        optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer, dynamic=False, initial_scale=1024.0)
    model.compile(optimizer=optimizer)
    logs = model.train_on_batch(tf.ones([4]), return_dict=True)
    # The gradient is 0.5; the square's is 2 * 0.01 (Keras' own factor) of a weight of 1.
    assert float(model.weight) == pytest.approx(0.5, rel=1e-5)
    assert model.held.kernel.numpy() == pytest.approx(0.98, rel=1e-5)
    assert logs == pytest.approx({"loss": 0.5, "regularization_loss": 0.01, "total_loss": 0.51}, rel=1e-5)


@pytest.mark.parametrize(("scale", "expected"), [(None, 1.0), (1024.0, 1.0 - 1e-8 * 1e6)])
def test_small_gradients_arrive_with_a_scale(scale, expected):
    # 1e-8 is below float16's smallest number, 6e-8; times 1024 it is not, and the rate of 1e6 makes it seen.
    model = Slope(1e-8)
    optimizer = tf_keras.optimizers.SGD(1e6)
    if scale is not None:
        optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer, dynamic=False, initial_scale=scale)
    model.held.trainable = False
    model.compile(optimizer=optimizer)
    model.train_on_batch(tf.ones([4]))
    np.testing.assert_allclose(model.weight.numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_histories_are_added_up_where_they_stand_unless_xla_compiles_the_step(compiled):
    traced = []

    class Histories(Slope):
        def compute_loss(self, inputs, training=False):
            there = tf.ones([2, 3], tf.bool)
            sums = row_sums(tf.eye(4) * self.weight, tf.constant([[0, 1, 1], [2, 0, 3]]), there)
            traced.append({operation.type for operation in sums.graph.get_operations()})
            return tf.reduce_sum(sums * inputs)

    model = Histories(0.0)
    model.held.trainable = False
    model.compile(optimizer=tf_keras.optimizers.SGD(1.0), jit_compile=compiled)
    model.train_on_batch(tf.constant([[1.0, 10.0, 100.0, 1000.0]]))
    # Row 0 is named twice, row 1 twice, 2 and 3 once: 2 * 1 + 2 * 10 + 100 + 1000.
    assert float(model.weight) == pytest.approx(1.0 - 1122.0)
    assert {any("Segment" in name for name in names) for names in traced} == {not compiled}


def test_a_model_in_a_model_does_not_log_its_loss_in_place_of_the_outer_ones():
    class Outer(LossScaledModel):
        def __init__(self):
            super().__init__()
            self.inner = Slope(3.0)

        def compute_loss(self, inputs, training=False):
            return 2.0 * self.inner.compute_loss(inputs, training=training)

    model = Outer()
    model.compile(optimizer=tf_keras.optimizers.SGD(0.0))
    history = model.fit(tf.data.Dataset.from_tensors(tf.ones([4])).repeat(2), verbose=0).history
    assert history["loss"] == [6.0]


def test_a_call_of_several_steps_traces_the_step_once_and_does_what_single_steps_do():
    traced = []

    class Square(Slope):
        def compute_loss(self, inputs, training=False):
            traced.append(inputs)
            return self.slope * tf.square(self.weight) * tf.reduce_mean(inputs)

    for steps, slope, expected in ((1, 0.05, 0.9**4), (4, 0.05, 0.9**4), (4, 0.1, 0.8**4)):
        model = Square(slope)
        model.compile(optimizer=tf_keras.optimizers.SGD(1.0), steps_per_execution=steps)
        model.optimizer.build(model.trainable_variables)
        traced.clear()
        model.fit(tf.data.Dataset.from_tensors(tf.ones([4])).repeat(4), verbose=0)
        assert len(traced) == 1
        # Each step takes slope * 2 of the weight away.
        assert float(model.weight) == pytest.approx(expected, rel=1e-5)
    # Compiled anew, it trains with the new optimizer.
    model.weight.assign(1.0)
    model.compile(optimizer=tf_keras.optimizers.SGD(0.5), steps_per_execution=2)
    model.fit(tf.data.Dataset.from_tensors(tf.ones([4])).repeat(4), verbose=0)
    assert float(model.weight) == pytest.approx(0.9**4, rel=1e-5)
