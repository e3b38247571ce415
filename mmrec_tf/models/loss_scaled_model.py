"""The train step of TensorFlow Recommenders' models, with the loss scale that half precision needs."""

import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from mmrec_tf.models.row_sums import on_plain_cpu


class LossScaledModel(tfrs.Model):
    """A `tfrs.Model` that uses the optimizer's loss scale, where it has one.

    Under `mixed_float16` Keras wraps the optimizer in one that divides the gradients by a scale, by which the loss is
    to be multiplied, so that small gradients are not rounded to 0 on their way. The train step of `tfrs.Model` leaves
    the multiplication out.

    What `fit` logs as an epoch's loss is the mean over its steps, however many of them run in one call; `tfrs.Model`
    logs the last one's, which says little.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.mean_loss = tf_keras.metrics.Mean(name="loss", dtype="float32")
        self._traced_step = None

    @property
    def metrics(self):
        """Its own metrics and its layers', but for the losses of models in it, which would stand for its own."""
        inner = {
            id(layer.mean_loss)
            for layer in self._flatten_layers(include_self=False)
            if isinstance(layer, LossScaledModel)
        }
        return [metric for metric in super().metrics if id(metric) not in inner]

    def make_train_function(self, force=False):
        """What Keras makes of `train_step`, which is traced once and not twice where a call runs several steps.

        To find out what a loop's first step gives, AutoGraph traces the step before it traces the loop. As a function
        of its own it is found again. Strategies merge what replicas did within a step, which no inner function can.
        """
        if self.train_function is None or force:
            self._traced_step = None
            repeated = self._steps_per_execution is not None and int(self._steps_per_execution) > 1
            if repeated and not (self.run_eagerly or tf.distribute.has_strategy()):
                traced = tf.function(self._step, reduce_retracing=True)
                # Behind a plain function Keras does not see it, and a model that is saved holds no train step.
                self._traced_step = lambda inputs: traced(inputs)
        return super().make_train_function(force)

    def train_step(self, inputs):
        return self._step(inputs) if self._traced_step is None else self._traced_step(inputs)

    def _step(self, inputs):
        with on_plain_cpu(not self.jit_compile), tf.GradientTape() as tape:
            loss = self.compute_loss(inputs, training=True)
            added = tf.add_n([tf.cast(value, tf.float32) for value in self.losses] or [tf.constant(0.0)])
            total = loss + added
        # `minimize` scales the loss and the gradients; `apply_gradients` knows the gradients only.
        self.optimizer.minimize(total, self.trainable_variables, tape=tape)
        self.mean_loss.update_state(loss)
        shown = {metric.name: metric.result() for metric in self.metrics}
        return {**shown, "regularization_loss": added, "total_loss": total}
