"""How often each item is drawn as an in-batch negative."""

import numpy as np

from mmrec_tf.losses.sampling import sampling_probabilities


def test_shares_of_the_examples():
    # Counts 0, 2, 1, 0, 1 of four examples; those without an example get a half of one.
    probabilities = sampling_probabilities(np.array([1, 4, 1, 2]), size=5)
    np.testing.assert_allclose(probabilities, [0.125, 0.5, 0.25, 0.125, 0.25])
    assert probabilities.dtype == np.float32


def test_a_long_tail_that_nobody_touched_takes_no_share_of_the_others():
    probabilities = sampling_probabilities(np.repeat([1, 2], [90, 10]), size=1_000_000)
    np.testing.assert_allclose(probabilities[1:3], [0.9, 0.1])


def test_logarithms_are_finite_without_any_example():
    np.testing.assert_allclose(sampling_probabilities(np.array([], int), size=4), [0.5] * 4)
