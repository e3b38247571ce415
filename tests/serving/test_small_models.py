"""TFLite files of small functions, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.small_models import SmallModel, named_inputs, small_model

ROWS, WIDTH, OUT = 50, 64, 32


class Tower(tf.Module):
    """A row of a table and a number, through a dense layer."""

    def __init__(self):
        super().__init__()
        random = np.random.default_rng(2)
        self.table = tf.Variable(random.uniform(-1, 1, (ROWS, WIDTH)).astype(np.float32))
        self.kernel = tf.Variable((random.uniform(-1, 1, (WIDTH, OUT)) / 8).astype(np.float32))

    def __call__(self, inputs):
        rows = tf.gather(self.table, inputs["user_index"]) + inputs["context"]["numbers"]["age ($)"]
        return tf.nn.relu(tf.matmul(rows, self.kernel))

    def by_hand(self, row, age):
        return np.maximum((self.table.numpy()[row] + age) @ self.kernel.numpy(), 0.0)


def request(row, age):
    return {
        "user_index": np.array([row], np.int32),
        "context": {"numbers": {"age ($)": np.array([[age]], np.float32)}},
    }


@pytest.fixture(scope="module")
def tower():
    return Tower()


@pytest.mark.parametrize(
    ("precision", "size", "wrong"),
    [("float32", 1.0, 1e-5), ("float16", 0.5, 2e-3), ("int8", 0.25, 0.03), ("int8 full", 0.25, 0.06)],
)
def test_answers_and_size(tower, precision, size, wrong):
    calibration = [request(row, row / ROWS) for row in range(ROWS)]
    content = small_model(tower, request(0, 0.0), precision, calibration)
    model = SmallModel(content)
    for row, age in ((7, 0.25), (49, 0.5)):
        answer = model(named_inputs(request(row, age)))
        assert answer.shape == (1, OUT) and answer.dtype == np.float32
        np.testing.assert_allclose(answer[0], tower.by_hand(row, age), atol=wrong)
    weights = 4 * (ROWS * WIDTH + WIDTH * OUT)
    assert size * weights < len(content) < size * weights + 4500
    assert model.describe() == {
        "context.numbers.age____": {"dtype": "float32", "shape": [1, 1]},
        "user_index": {"dtype": "int32", "shape": [1]},
    }


def test_inputs_are_named_by_where_they_stand():
    nested = {"b": np.ones(1), "a": {"price ($)": np.zeros(2), "price [$]": np.zeros(3)}}
    assert {name: x.shape for name, x in named_inputs(nested).items()} == {
        "a.price____": (2,),
        "a.price_____": (3,),
        "b": (1,),
    }


def test_what_cannot_be_made(tower):
    with pytest.raises(ServingError, match="precision is 'int4'. Allowed: float32, float16, int8, int8 full"):
        small_model(tower, request(0, 0.0), "int4")
    with pytest.raises(ServingError, match="int8 full needs calibration examples"):
        small_model(tower, request(0, 0.0), "int8 full")
    with pytest.raises(ServingError, match="TFLite cannot hold this in float32: "):
        small_model(lambda inputs: tf.linalg.inv(inputs["x"]), {"x": np.eye(3, dtype=np.float32)}, "float32")
