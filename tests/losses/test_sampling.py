"""How often each item is drawn as an in-batch negative."""

import numpy as np

from mmrec_tf.losses.sampling import sampling_probabilities


def test_shares_of_the_examples():
    # Counts 0, 2, 1, 0, 1; those without an example get a half: 0.5 + 2 + 1 + 0.5 + 1 = 5.
    probabilities = sampling_probabilities(np.array([1, 4, 1, 2]), size=5)
    np.testing.assert_allclose(probabilities, [0.1, 0.4, 0.2, 0.1, 0.2])
    assert probabilities.dtype == np.float32


def test_logarithms_are_finite_without_any_example():
    np.testing.assert_allclose(sampling_probabilities(np.array([], int), size=4), [0.25] * 4)
