"""Writes a network as a module in TF-Hub's reusable SavedModel format."""

from pathlib import Path

import tensorflow as tf


class HubModule(tf.__internal__.tracking.AutoTrackable):
    """A trackable object with the attributes that `hub.KerasLayer` looks for.

    A subclass defines `__call__(self, inputs, training=False)` as a `tf.function`. A `tf.Module` would not do as its
    base: there, `variables` and `trainable_variables` are properties, which are not saved.

    Args:
        variables: all variables of the network.
        trainable_variables: those that training changes.

    Reference: https://www.tensorflow.org/hub/reusable_saved_models
    """

    def __init__(self, variables, trainable_variables):
        self.variables = list(variables)
        self.trainable_variables = list(trainable_variables)
        self.regularization_losses = []

    def save(self, folder: Path, spec: tf.TensorSpec) -> None:
        """Writes the module, callable with an input of `spec` for training and for inference."""
        for training in (True, False):
            self.__call__.get_concrete_function(spec, training=training)
        signature = self.__call__.get_concrete_function(spec, training=False)
        tf.saved_model.save(self, str(folder), signatures={"serving_default": signature})
