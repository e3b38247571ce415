"""The batches of a stage: the same ones for the same seed, also when a stage is taken up again in its middle."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from mmrec_tf.data.prefetched import prefetched


class Batches:
    """Row-aligned arrays as shuffled batches with static shapes.

    Order and draws depend on the seed, the epoch and the step alone, not on what the process has drawn before. So a
    stage that was killed and goes on with epoch 4 sees the fourth epoch that it would have seen.

    Args:
        arrays: name -> `[n, ...]` array, with at least one row.
        batch_size: int. Rows a batch; all rows where there are fewer. The incomplete last batch of an epoch is dropped;
            which rows that concerns changes with every epoch.
        seed: int.
        change: function from a batch (dict of tensors, `seed` among them) to the batch that the stage takes; it is run
            in tf.data.
        most: int. The most batches an epoch; all when None.

    Iterating gives dicts with the gathered rows of each array, and `seed` `[2]` int32 for stateless draws, another one
    at each step.
    """

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        batch_size: int,
        seed: int,
        change: Callable[[dict], dict] | None = None,
        most: int | None = None,
    ):
        self.arrays = arrays
        self.count = len(next(iter(arrays.values())))
        self.batch_size = min(batch_size, self.count)
        self.seed = seed
        self.change = change
        self.most = most

    @property
    def steps(self) -> int:
        """Batches an epoch."""
        return min(self.count // self.batch_size, self.most or self.count)

    def epochs(self, first: int, last: int) -> tf.data.Dataset:
        """The batches of the epochs from `first` up to, not including, `last`, counted from 0."""
        tensors = {name: tf.constant(array) for name, array in self.arrays.items()}

        def batches_of(epoch):
            seed = tf.stack([tf.constant(self.seed, tf.int64), epoch])
            order = tf.random.experimental.stateless_shuffle(tf.range(self.count), seed)
            rows = tf.reshape(order[: self.steps * self.batch_size], [self.steps, self.batch_size])
            return tf.data.Dataset.from_tensor_slices(rows).enumerate(epoch * self.steps)

        def batch(step, rows):
            gathered = {name: tf.gather(tensor, rows) for name, tensor in tensors.items()}
            # Shuffling draws with (seed, epoch), so the steps' draws take another first number.
            gathered["seed"] = tf.stack([tf.constant(self.seed + 1, tf.int32), tf.cast(step, tf.int32)])
            return self.change(gathered) if self.change else gathered

        dataset = tf.data.Dataset.range(first, last).flat_map(batches_of)
        return prefetched(dataset.map(batch, num_parallel_calls=tf.data.AUTOTUNE))

    def first(self) -> dict[str, tf.Tensor]:
        """The first batch, to build a model with."""
        return next(iter(self.epochs(0, 1)))
