"""How a ranker of likes is trained on how much each one was."""

import tensorflow as tf

from mmrec_tf.data.grades import Grades
from mmrec_tf.losses.graded_likes import GradedLikes
from mmrec_tf.models.loss_scaled_model import LossScaledModel
from mmrec_tf.models.rankers.base import Ranker


class GradedRanker(LossScaledModel):
    """Trains a ranker of likes on grades beside its own loss:

        loss = loss of the ranker + weight * -log P(grade)

    The thresholds between the grades are this model's and are left behind after training: the ranker itself, what it is
    asked and what it answers are those of one trained without.

    Args:
        ranker: the ranker that is trained; its weights are this model's.
        grades: those of the training labels.
        weight: float. Defaults to 1.

    Call arguments:
        inputs: as for `Ranker`, and for training `grade`, int32 in the shape of `label`; see `GradedLikes`.
        training: as for `Ranker`.
    """

    def __init__(self, ranker: Ranker, grades: Grades, weight: float = 1.0, **kwargs):
        # Labels keep all their digits under a mixed policy; the layers cast what they take themselves.
        super().__init__(autocast=False, **kwargs)
        self.ranker = ranker
        self.weight = weight
        self.likes = GradedLikes(grades.shares.tolist(), grades.like)

    def call(self, inputs, training=False):
        return self.ranker(inputs, training=training)

    def compute_loss(self, inputs, training=False):
        return self.loss_of(inputs, self.ranker(inputs, training=training, is_raw=True), training)

    def loss_of(self, inputs: dict, raw: tf.Tensor, training: bool) -> tf.Tensor:
        """As `MainTarget.loss_of`."""
        scores = self.ranker.scores_of(raw)[self.ranker.target]
        return self.ranker.loss_of(inputs, raw, training) + self.weight * self.likes(
            scores, inputs["grade"], inputs["weight"]
        )
