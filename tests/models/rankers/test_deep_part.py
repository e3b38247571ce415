"""The deep part: as one perceptron over item and user, though the user's half runs once."""

import numpy as np
import pytest

from mmrec_tf.models.rankers.deep_part import DeepPart
from tests.layer_checks import check_layer
from tests.models.rankers.worlds import of_deep

RANDOM = np.random.default_rng(0)
ITEM, USER = (RANDOM.normal(size=shape).astype(np.float32) for shape in ([6, 4], [2, 3]))


def test_passes_the_layer_checks(tmp_path):
    check_layer(
        lambda: DeepPart([5, 3]),
        ITEM,
        tmp_path,
        call_arguments={"user": USER},
        expected_shape=(6,),
        has_float32_output=True,
        compiles=True,
    )


def test_by_hand():
    deep = DeepPart([2])
    deep(ITEM[:2, :1], USER[:1, :1])
    deep.first_of_item.set_weights([np.array([[1.0, -1.0]])])
    deep.first_of_user.set_weights([np.array([[2.0, 1.0]]), np.array([0.5, -4.0])])
    deep.rest[0].set_weights([np.array([[10.0], [100.0]]), np.array([1.0])])
    # One user, 3, with two items, 2 and -1: (2 + 6 + 0.5, -2 + 3 - 4) and (-1 + 6 + 0.5, 1 + 3 - 4), negatives cut off.
    found = deep(np.array([[2.0], [-1.0]], np.float32), np.array([[3.0]], np.float32))
    assert found.numpy().tolist() == [10 * 8.5 + 1, 10 * 5.5 + 1]


@pytest.mark.parametrize("hidden", [[], [4], [5, 3]])
def test_is_one_perceptron_over_both(hidden):
    deep = DeepPart(hidden)
    found = deep(ITEM, USER)
    np.testing.assert_allclose(found, of_deep(deep, ITEM, np.repeat(USER, 3, axis=0)), rtol=1e-4, atol=1e-5)


def test_dropout_works_in_training_only():
    deep = DeepPart([64], dropout=0.5)
    np.testing.assert_array_equal(deep(ITEM, USER), deep(ITEM, USER, training=False))
    assert np.abs(deep(ITEM, USER, training=True) - deep(ITEM, USER)).max() > 1e-3
