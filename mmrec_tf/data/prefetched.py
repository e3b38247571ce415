"""How the pipelines end: with batches that are ready while a step runs."""

import tensorflow as tf

_BATCHES = 2


def prefetched(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset, two batches ahead of what takes them, with tf.data's own tuning off.

    The tuning sleeps between its rounds, longer from round to round, and an iterator's end waits until it wakes: on
    MovieLens an epoch of retrieval took 15 to 20 s of which 10 s were work (TensorFlow 2.16). Without it
    `tf.data.AUTOTUNE` stands for as many calls at once as tf.data has threads, 16 at the most.

    Args:
        dataset: of batches. What it is made of is not tuned either.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(_BATCHES).with_options(options)
