"""Tasks under mixed precision."""

import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from mmrec_tf.losses.float32_tasks import float32_tasks


@pytest.fixture
def mixed():
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    tf_keras.mixed_precision.set_global_policy("float32")


def test_a_task_keeps_every_digit_and_the_policy_comes_back(mixed):
    labels, predictions = tf.constant([[3.7]]), tf.constant([[3.2]])
    with float32_tasks():
        task = tfrs.tasks.Ranking(loss=tf_keras.losses.MeanSquaredError())
        loss = task(labels=labels, predictions=predictions)
    # (3.7 - 3.2)^2; in bfloat16 3.7 is 3.703125, and the loss 0.2531.
    assert float(loss) == pytest.approx(0.25, abs=1e-6)
    assert tf_keras.mixed_precision.global_policy().name == "mixed_bfloat16"


def test_the_policy_comes_back_after_an_error(mixed):
    with pytest.raises(KeyError), float32_tasks():
        raise KeyError
    assert tf_keras.mixed_precision.global_policy().name == "mixed_bfloat16"
