"""Encoders that learn what to add to the mean of a history."""

import tensorflow as tf
import tf_keras

from mmrec_tf.data.time_gaps import GAP_BUCKETS
from mmrec_tf.models.history.base import HistoryEncoder
from mmrec_tf.models.history.mean import MeanHistory


class ResidualHistory(HistoryEncoder):
    """The weighted mean of the items, and on top of it what a network reads out of their order and their times.

        h_i = mean_i + W s_i + b,   s = network(LayerNorm(x) + gap embedding)

    The mean is hard to beat where histories are short or data are few, so training starts from it: W starts so small
    that the sum differs from the mean by some hundredths of a layer-normalised vector.

    A subclass implements `states(steps, present, training)`, which gives s; at padding its steps are 0. Where the last
    state is less work than all of them, it implements `latest_states` too.

    See `HistoryEncoder` for arguments and shapes, `MeanHistory` for the mean.
    """

    def __init__(self, dim: int, length: int, **kwargs):
        super().__init__(dim=dim, length=length, **kwargs)
        self.mean = MeanHistory(dim, length, name="mean")
        self.normalize = tf_keras.layers.LayerNormalization(epsilon=1e-5, name="normalize")
        self.gap_embedding = tf_keras.layers.Embedding(
            GAP_BUCKETS, dim, tf_keras.initializers.RandomNormal(stddev=0.05), name="gap_embedding"
        )
        # A standard deviation of 0.02 / sqrt(width): what it makes of a normalised state has one of 0.02. Not zeros,
        # which would let no gradient through to the network in the first step.
        small = tf_keras.initializers.VarianceScaling(0.02**2, "fan_in", "untruncated_normal")
        self.project = tf_keras.layers.Dense(dim, kernel_initializer=small, name="project")

    def encode(self, items, present, gaps, training):
        states = self.states(self._steps(items, present, gaps), present, training)
        return self.mean(items, present, gaps) + self.project(states)

    def encode_latest(self, items, present, gaps, training):
        states = self.latest_states(self._steps(items, present, gaps), present, training)
        return self.mean(items, present, gaps, latest_only=True) + self.project(states)

    def _steps(self, items, present, gaps):
        steps = self.normalize(items) + self.gap_embedding(gaps)
        return tf.where(present[..., None], steps, tf.zeros([], steps.dtype))

    def states(self, steps: tf.Tensor, present: tf.Tensor, training: bool) -> tf.Tensor:
        """`[batch, l, width]` of `[batch, l, dim]` steps and `[batch, l]` bool; causal."""
        raise NotImplementedError

    def latest_states(self, steps: tf.Tensor, present: tf.Tensor, training: bool) -> tf.Tensor:
        """`[batch, width]`: what `states` gives for the last step."""
        return self.states(steps, present, training)[:, -1]
