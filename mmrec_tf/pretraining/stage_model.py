"""What the stages share: a Keras model around layers of the model that is warmed up, and heads that are thrown away."""

import tensorflow as tf
import tf_keras


class StageModel(tf_keras.Model):
    """Trains the layers that it wraps, in place, by plain `fit`.

    A subclass keeps the layers it wraps and its heads as attributes, names what it reports in `reported`, and
    implements `objective`. Draws of its own are stateless, from the batch's `seed`, so that a step is a function of
    weights and batch alone, under XLA too. One that calls layers which drop or hide something at random sets
    `draws_in_layers`; its steps are a function of weights, batch and place in the epoch, but for XLA, whose draws do
    not follow a seed.

    Call arguments:
        batch: dict of tensors, as the stage's `Batches` give them.
        training: bool.

    Returns:
        dict of float32 scalars: what is reported, and `loss`, which is minimised.
    """

    reported: tuple[str, ...] = ("loss",)
    draws_in_layers = False

    def __init__(self, **kwargs):
        # Inputs are indices, and targets that half precision would round.
        super().__init__(autocast=False, **kwargs)
        self.means = {name: tf_keras.metrics.Mean(name=name, dtype="float32") for name in self.reported}

    def objective(self, batch: dict, training: bool) -> dict[str, tf.Tensor]:
        """The scalars named in `reported`."""
        raise NotImplementedError

    def call(self, batch, training=False):
        return self.objective(batch, training)

    def train_step(self, batch):
        with tf.GradientTape() as tape:
            # Through `__call__`, which collects the losses that layers add.
            values = self(batch, training=True)
            loss = values["loss"]
            if self.losses:
                loss += tf.cast(tf.add_n(self.losses), tf.float32)
        self.optimizer.minimize(loss, self.trainable_variables, tape=tape)
        return self._log(values)

    def test_step(self, batch):
        return self._log(self(batch, training=False))

    def _log(self, values):
        for name, mean in self.means.items():
            mean.update_state(values[name])
        return {name: mean.result() for name, mean in self.means.items()}

    @property
    def metrics(self):
        return list(self.means.values())


def uniform(seed: tf.Tensor, draw: int, shape) -> tf.Tensor:
    """Stateless uniform numbers in [0, 1); `draw` tells several draws of one step apart."""
    return tf.random.stateless_uniform(shape, _fold(seed, draw))


def normal(seed: tf.Tensor, draw: int, shape) -> tf.Tensor:
    """Stateless numbers of the standard normal distribution; `draw` tells several draws of one step apart."""
    return tf.random.stateless_normal(shape, _fold(seed, draw))


def _fold(seed, draw):
    # A stride that is larger than any number of draws, and seeds that are large themselves: wrapping around is fine.
    return seed + tf.constant([7919 * (draw + 1), 0], seed.dtype)
