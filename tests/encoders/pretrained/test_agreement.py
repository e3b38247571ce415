"""The check of numbers: what passes, and every way not to."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.encoders.pretrained.agreement import Agreement, projected
from mmrec_tf.errors import EncoderError

VECTORS = np.array([[1.0, 2.0, 4.0], [0.5, 0.0, 8.0]], np.float32)


def agreement(**changes):
    return Agreement(
        **{"inputs": lambda: VECTORS, "expected": {"default": projected(VECTORS)}, "tolerance": 1e-3, **changes}
    )


def test_projections_are_sums_under_signs():
    # Of 1, 2 and 4 with any signs: the sums tell the signs, and another number in any place changes every sum.
    sums = projected(VECTORS)
    assert sums.shape == (2, 4) and sums.dtype == np.float64
    assert set(np.abs(sums[0])) <= {1.0, 3.0, 5.0, 7.0}
    for place in range(3):
        moved = VECTORS[:1] + np.eye(3, dtype=np.float32)[place]
        np.testing.assert_array_equal(np.abs(projected(moved) - sums[:1]), 1.0)


def test_a_difference_within_the_tolerance_passes():
    found = agreement().check(lambda inputs, training: inputs + [[0.0, 0.0, 1e-4]], "it")
    # Of one coordinate a difference of 0.0001 moves each sum by that.
    assert found == pytest.approx(1e-4, rel=0.05)


@pytest.mark.parametrize(
    "module",
    [
        lambda inputs, training: inputs + [[0.0, 1e-2, 0.0]],
        lambda inputs, training: inputs * float("nan"),
        lambda inputs, training: {"default": tf.reverse(inputs, [1])},
    ],
)
def test_a_greater_one_does_not(module):
    with pytest.raises(EncoderError, match="the converted module it differs .* output default by .*was not kept"):
        agreement().check(module, "it")


def test_every_output_named_is_compared():
    both = agreement(expected={"default": projected(VECTORS), "tags": projected(2 * VECTORS)})
    both.check(lambda inputs, training: {"default": inputs, "tags": 2.0 * inputs}, "it")
    with pytest.raises(EncoderError, match="output tags"):
        both.check(lambda inputs, training: {"default": inputs, "tags": inputs}, "it")
