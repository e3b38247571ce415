"""Times between interactions as buckets."""

import math

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.data.time_gaps import GAP_BUCKETS, gap_buckets, gap_buckets_in_graph

# seconds -> 1 + floor(log2(1 + seconds)), by hand.
KNOWN = {
    math.nan: 0,
    -5.0: 1,
    0.0: 1,
    0.999: 1,
    1.0: 2,
    2.999: 2,
    3.0: 3,
    59.0: 6,  # 60 lies between 32 and 64
    3600.0: 12,  # 3601 between 2048 and 4096
    86400.0: 17,  # 86401 between 65536 and 131072
    31536000.0: 25,  # a year: 31536001 between 2^24 and 2^25
    1e10: 31,
    math.inf: 31,
}


def in_graph(seconds):
    return gap_buckets_in_graph(tf.constant(seconds, tf.float64)).numpy()


@pytest.mark.parametrize("buckets", [gap_buckets, in_graph])
def test_by_hand(buckets):
    found = buckets(np.array(list(KNOWN)))
    assert found.tolist() == list(KNOWN.values())
    assert found.dtype == np.int32


@pytest.mark.parametrize("buckets", [gap_buckets, in_graph])
def test_exact_at_powers_of_two(buckets):
    powers = 2.0 ** np.arange(1, 34)
    expected = np.minimum(1 + np.arange(1, 34), GAP_BUCKETS - 1)
    np.testing.assert_array_equal(buckets(powers - 1), expected)
    # Just below a power of two is the bucket before, which the last three share with what follows.
    np.testing.assert_array_equal(buckets(np.nextafter(powers - 1, 0)), np.minimum(np.arange(1, 34), GAP_BUCKETS - 1))


def test_both_agree_at_random():
    seconds = 10.0 ** np.random.default_rng(0).uniform(-2, 10, [50, 20])
    np.testing.assert_array_equal(in_graph(seconds), gap_buckets(seconds))
    # Sums of whole seconds in Python's integers, as no rounding reaches them.
    whole = np.floor(seconds)
    np.testing.assert_array_equal(gap_buckets(whole), np.vectorize(lambda s: min((int(s) + 1).bit_length(), 31))(whole))


def test_float32_seconds_of_any_shape_also_when_compiled():
    seconds = np.array([[[1.0, np.nan]], [[-1.0, 1023.0]]], np.float32)
    compiled = tf.function(gap_buckets_in_graph, jit_compile=True)
    assert compiled(tf.constant(seconds)).numpy().tolist() == [[[2, 0]], [[1, 11]]]


def test_nothing_has_no_buckets():
    assert gap_buckets(np.zeros(0)).shape == in_graph(np.zeros(0)).shape == (0,)
