"""How a ranker is trained to be small: by a bigger one, or with some of its weights held at 0."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.models.loss_scaled_model import LossScaledModel
from mmrec_tf.models.rankers.base import Ranker


class DistilledRanker(LossScaledModel):
    """Trains a ranker on what a bigger one says of the same pairs, beside their labels.

    A label says yes or no; the teacher's score says how nearly it was the other. With the teacher's score t and the
    student's s,

        loss = (1 - weight) loss of the labels + weight distance(t, s)

    where the distance of clicks is temperature^2 times the cross-entropy of sigmoid(s / temperature) under
    sigmoid(t / temperature), less the teacher's own, so that it is 0 where both agree; and that of ratings is
    (t - s)^2. It is the mean over all pairs that count.

    Args:
        student: the ranker that is trained; its weights are this model's.
        teach: gives `[...]` scores of the main target in the shape of `item_index` for the inputs of a step, as
            `Ranker.target_scores` does. It is no part of this model.
        temperature: float above 0. The higher, the more the small differences of the teacher count. Defaults to 2.
        weight: float in [0, 1]. Defaults to 0.5.
        labelled: a model around the student whose `loss_of` is the loss of the labels, as `GradedRanker`; the student
            itself when None.

    Call arguments:
        inputs, training: as for `Ranker`.

    Raises:
        ValueError: for a temperature or a weight out of its range.

    Reference: Hinton et al., Distilling the knowledge in a neural network (2015); Tang and Wang, Ranking distillation
    (KDD 2018).
    """

    def __init__(
        self,
        student: Ranker,
        teach: Callable[[dict], tf.Tensor],
        temperature: float = 2.0,
        weight: float = 0.5,
        labelled: LossScaledModel | None = None,
        **kwargs,
    ):
        # Labels keep all their digits under a mixed policy; the layers cast what they take themselves.
        super().__init__(autocast=False, **kwargs)
        if not temperature > 0.0:
            raise ValueError(f"temperature must be above 0, got {temperature}.")
        if not 0.0 <= weight <= 1.0:
            raise ValueError(f"weight must lie in [0, 1], got {weight}.")
        self.student = student
        self.labelled = student if labelled is None else labelled
        self.teach = teach
        self.temperature = temperature
        self.weight = weight

    def call(self, inputs, training=False):
        return self.student(inputs, training=training)

    def compute_loss(self, inputs, training=False):
        taught = tf.stop_gradient(tf.cast(self.teach(inputs), tf.float32))
        raw = of_no_place = self.student(inputs, training=training, is_raw=True)
        if training and self.student.position_bias is not None:
            # The teacher's score is that of no known place; what a place does is learned from the labels alone.
            placeless = {**inputs, "position": tf.zeros_like(inputs["user_index"])}
            of_no_place = self.student(placeless, training=training, is_raw=True)
        said = self.student.scores_of(of_no_place)[self.student.target]
        if self.student.target == "rating":
            distances = tf.square(taught - said)
        else:
            chances, logits = tf.sigmoid(taught / self.temperature), said / self.temperature
            own = tf.nn.sigmoid_cross_entropy_with_logits(labels=chances, logits=taught / self.temperature)
            distances = tf.nn.sigmoid_cross_entropy_with_logits(labels=chances, logits=logits) - own
            distances *= self.temperature**2
        counted = tf.cast(inputs["weight"] > 0.0, tf.float32)
        distance = tf.math.divide_no_nan(tf.reduce_sum(distances * counted), tf.reduce_sum(counted))
        labelled = self.labelled.loss_of(inputs, raw, training) if self.weight < 1.0 else 0.0
        return (1.0 - self.weight) * labelled + self.weight * distance


class PrunedRanker(LossScaledModel):
    """Trains a ranker whose smallest weights are 0 and stay there.

    Of the kernel of each dense layer the share `sparsity` with the smallest magnitudes is set to 0, and again after
    each step, while the others learn to make up for it. Embeddings are looked up, not multiplied, and are left alone.

    Args:
        ranker: the trained ranker; its weights are this model's, and are pruned at once.
        sparsity: float in [0, 1). Share of each kernel that is 0.
        labelled: a model around the ranker whose `compute_loss` is the loss of the labels, as `GradedRanker`; the
            ranker itself when None.

    Call arguments:
        inputs, training: as for `Ranker`.

    Raises:
        ValueError: for a sparsity out of its range, or a ranker without dense layers.

    Reference: Han et al., Learning both weights and connections for efficient neural networks (NeurIPS 2015); Zhu and
    Gupta, To prune, or not to prune (2017).
    """

    def __init__(self, ranker: Ranker, sparsity: float, labelled: LossScaledModel | None = None, **kwargs):
        # Labels keep all their digits under a mixed policy; the layers cast what they take themselves.
        super().__init__(autocast=False, **kwargs)
        if not 0.0 <= sparsity < 1.0:
            raise ValueError(f"sparsity must lie in [0, 1), got {sparsity}.")
        self.ranker = ranker
        self.labelled = ranker if labelled is None else labelled
        self.sparsity = sparsity
        kernels = dense_kernels(ranker)
        if not kernels:
            raise ValueError(f"{ranker.title} has no dense layer to prune. Take a ranker with a network, as deepfm.")
        self.kept = [(kernel, tf.constant(_largest(kernel.numpy(), sparsity))) for kernel in kernels]
        self.prune()

    def prune(self) -> None:
        """Sets to 0 what is not kept."""
        for kernel, kept in self.kept:
            kernel.assign(tf.where(kept, kernel, 0.0))

    def call(self, inputs, training=False):
        return self.ranker(inputs, training=training)

    def compute_loss(self, inputs, training=False):
        return self.labelled.compute_loss(inputs, training=training)

    def train_step(self, inputs):
        shown = super().train_step(inputs)
        self.prune()
        return shown


def dense_kernels(model: tf_keras.Model) -> list[tf.Variable]:
    """The kernels of all dense layers of a model, those of layers within layers too."""
    layers = [layer for layer in model._flatten_layers(include_self=False) if isinstance(layer, tf_keras.layers.Dense)]
    return [layer.kernel for layer in {id(layer): layer for layer in layers}.values() if layer.built]


def _largest(values, sparsity):
    """A bool mask, False for exactly the share `sparsity` (rounded) with the smallest magnitudes."""
    mask = np.ones(values.size, bool)
    mask[np.argsort(np.abs(values).ravel(), kind="stable")[: round(sparsity * values.size)]] = False
    return mask.reshape(values.shape)
