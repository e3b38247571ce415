"""The model around a stage: what a step does, and draws that depend on nothing but the batch."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.pretraining.stage_model import StageModel, normal, uniform


class Adds(tf_keras.layers.Layer):
    """Adds half of its input's sum to the loss."""

    def call(self, inputs):
        self.add_loss(0.5 * tf.reduce_sum(inputs))
        return inputs


class Stage(StageModel):
    reported = ("loss", "half")

    def __init__(self, adds=False):
        super().__init__()
        self.weight = self.add_weight(name="weight", shape=[1], initializer="ones")
        self.adds = Adds() if adds else None

    def objective(self, batch, training):
        value = self.weight * tf.reduce_mean(batch["x"])
        loss = tf.reduce_sum(value if self.adds is None else self.adds(value))
        return {"loss": loss, "half": loss / 2}


@pytest.mark.parametrize(("adds", "gradient"), [(False, 3.0), (True, 4.5)])
def test_a_step_minimises_the_loss_and_what_layers_add(adds, gradient):
    stage = Stage(adds)
    stage.compile(optimizer=tf_keras.optimizers.SGD(0.1))
    logs = stage.train_step({"x": tf.constant([2.0, 4.0])})
    # The loss is w * 3, and the layer adds half of it.
    np.testing.assert_allclose(stage.weight.numpy(), [1.0 - 0.1 * gradient], rtol=1e-6)
    assert {name: float(value) for name, value in logs.items()} == {"loss": 3.0, "half": 1.5}


def test_what_is_reported_is_the_mean_of_an_epoch():
    stage = Stage()
    stage.compile(optimizer=tf_keras.optimizers.SGD(0.0))
    history = stage.fit(tf.data.Dataset.from_tensor_slices({"x": [[1.0], [4.0]]}), epochs=2, verbose=0).history
    assert history == {"loss": [2.5, 2.5], "half": [1.25, 1.25]}


def test_evaluate_changes_nothing():
    stage = Stage()
    stage.compile(optimizer=tf_keras.optimizers.SGD(0.1))
    dataset = tf.data.Dataset.from_tensors({"x": [2.0]})
    assert stage.evaluate(dataset, verbose=0, return_dict=True) == {"loss": 2.0, "half": 1.0}
    assert stage.weight.numpy() == [1.0]


def test_draws_are_those_of_the_seed():
    one, other = tf.constant([1, 2]), tf.constant([1, 3])
    for draw in (uniform, normal):
        first = draw(one, 0, [100])
        tf.random.set_seed(9)
        np.testing.assert_array_equal(draw(one, 0, [100]), first)
        for another in (draw(other, 0, [100]), draw(one, 1, [100])):
            assert np.abs(np.corrcoef(first, another)[0, 1]) < 0.4
    numbers = uniform(one, 0, [4000]).numpy()
    assert 0.0 <= numbers.min() and numbers.max() < 1.0 and abs(numbers.mean() - 0.5) < 0.02
