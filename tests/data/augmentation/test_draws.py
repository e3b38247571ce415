import numpy as np
import tensorflow as tf

from mmrec_tf.data.augmentation.draws import normal, split_seed, uniform


def test_seeds_are_many_and_the_same_for_either_integer_type():
    first = np.stack([seed.numpy() for seed in split_seed(tf.constant([1, 2]), 4)])
    again = np.stack([seed.numpy() for seed in split_seed(tf.constant([1, 2], tf.int64), 4)])
    np.testing.assert_array_equal(first, again)
    others = np.stack([seed.numpy() for seed in split_seed(tf.constant([1, 3]), 4)])
    assert len(np.unique(np.concatenate([first, others]), axis=0)) == 8


def test_draws_do_not_depend_on_the_rest_of_the_batch():
    few, many = (np.concatenate(uniform(tf.zeros([size, 2]), 3, tf.constant([1, 2])), axis=1) for size in (5, 500))
    np.testing.assert_array_equal(few, many[:5])
    # 1,500 uniform draws: the mean is 0.5 within 3 * sqrt(1 / 12 / 1500) = 0.022.
    assert abs(many.mean() - 0.5) < 0.022 and many.min() >= 0 and many.max() < 1
    draws = normal(tf.zeros([100, 100]), tf.constant([1, 2])).numpy()
    assert abs(draws.mean()) < 0.03 and abs(draws.std() - 1) < 0.03
