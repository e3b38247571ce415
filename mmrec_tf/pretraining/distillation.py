"""Distillation: a light item tower learns from the item vectors of a larger one."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.config_pretraining import DistillationConfig
from mmrec_tf.encoders.base import normalised
from mmrec_tf.errors import DataError
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.objectives import divergence
from mmrec_tf.pretraining.stage_model import StageModel
from mmrec_tf.pretraining.teacher import Teacher
from mmrec_tf.pretraining.views import arrays_of


class DistillationStage(StageModel):
    """Teaches an item tower a teacher's vectors, and which items of the batch the teacher finds alike.

    A large text and image encoder, tuned on the interactions, costs much for each new item. A tower on light encoders
    can be taught its results; the catalogue alone suffices, items without interactions included:

        loss = KL(softmax_j(cos(t_i, t_j) / T) || softmax_j(cos(s_i, s_j) / T)) + match * (1 - cos(P s_i, t_i))

    with t the teacher's vectors, s the tower's, j over the batch's other items. P is linear and thrown away: the two
    spaces may be of different widths, and any rotation of the teacher's serves as well.

    Args:
        model: the `TwoTower` whose item tower learns.
        dim: int. Width of the teacher's vectors.
        temperature: float. T.
        match: float. Weight of the second term.

    Call arguments:
        batch: dict with `item_index` `[batch]` int32 and `teacher` `[batch, dim]` float32.

    Returns:
        dict with `loss`, `divergence` and `distance`, the mean of 1 - cos(P s_i, t_i).

    Reference: Hinton et al., Distilling the knowledge in a neural network (2015); Fang et al., SEED (ICLR 2021), for
    distributions of similarity.
    """

    reported = ("loss", "divergence", "distance")
    draws_in_layers = True

    def __init__(self, model: TwoTower, dim: int, temperature: float = 0.1, match: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        # The parts and not the model: the query tower has no part in it.
        self.items = model.items
        self.candidate_tower = model.candidate_tower
        self.temperature = temperature
        self.match = match
        self.project = tf_keras.layers.Dense(dim, use_bias=False, dtype="float32", name="project")

    def objective(self, batch, training):
        index = batch["item_index"]
        student = self.candidate_tower({"item": self.items(index, training=training)}, training=training)
        teacher = normalised(batch["teacher"])
        others = index[:, None] != index[None, :]
        taught = tf.matmul(teacher, teacher, transpose_b=True) / self.temperature
        found = tf.matmul(student, student, transpose_b=True) / self.temperature
        values = {
            "divergence": tf.reduce_mean(divergence(taught, found, others)),
            "distance": tf.reduce_mean(1.0 - tf.reduce_sum(normalised(self.project(student)) * teacher, axis=1)),
        }
        return {"loss": values["divergence"] + self.match * values["distance"], **values}


def distillation(
    model: TwoTower, prepared: Prepared, options: DistillationConfig, seed: int
) -> tuple[DistillationStage, Batches, list[np.ndarray]]:
    """The stage for a model, its batches, and the arrays that its result depends on.

    Raises:
        RunError: if the teacher is no finished run.
        DataError: if it knows none of the items.
    """
    teacher = Teacher.read(options.teacher)
    vectors, known = teacher.rows_of(prepared.items.ids)
    if not known.any():
        raise DataError(
            f"the run in distillation.teacher, {options.teacher}, knows none of the {len(known)} items of this "
            "configuration. Train the teacher on the same catalogue."
        )
    arrays = {"item_index": (np.flatnonzero(known) + 1).astype(np.int32), "teacher": vectors[known]}
    stage = DistillationStage(model, vectors.shape[1], options.temperature, options.match)
    return stage, Batches(arrays, options.batch_size, seed), [*arrays.values(), *arrays_of(prepared.items)]
