"""The stages that a configuration asks for around the retrieval model's fit, run in their order."""

from collections.abc import Callable
from pathlib import Path

import tf_keras

from mmrec_tf.config import Config
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.losses.sampling import sampling_probabilities
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.item_graph import graph_of
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.pretraining.cross_modal import cross_modal
from mmrec_tf.pretraining.denoising import denoising
from mmrec_tf.pretraining.distillation import distillation
from mmrec_tf.pretraining.fitting import Progress, StageResult
from mmrec_tf.pretraining.linear_alignment import linear_alignment
from mmrec_tf.pretraining.masked_item import masked_item
from mmrec_tf.pretraining.masked_modality import masked_modality
from mmrec_tf.pretraining.pseudo_labels import pseudo_labels
from mmrec_tf.pretraining.running import Results, leave_stages, named_stages, run_stage

LINEAR = "linear_alignment"
"""The stage that is solved in one go, not fitted, so that there is nothing to save or to take up again."""
BEFORE: dict[str, Callable] = {
    LINEAR: linear_alignment,
    "masked_modality": masked_modality,
    "cross_modal": cross_modal,
    "denoising": denoising,
    "masked_item": masked_item,
    "distillation": distillation,
}
"""The stages that come before the fit, by name."""
AFTER: dict[str, Callable] = {"pseudo_labels": pseudo_labels}
"""The stages that follow it."""


def pretrained_two_tower(
    prepared: Prepared, folder: Path | None = None, progress: Progress | None = None
) -> tuple[TwoTower, Results]:
    """The retrieval model that the configuration describes, warmed up by the stages that come before the fit.

    Args:
        prepared, folder, progress: as for `pretrain`.

    Returns:
        The model, and the results by stage. With such stages its first weights depend on the configuration's seed
        alone, so that a later process finds what an earlier one has saved.
    """
    config = prepared.config
    if any(named_stages(config.pretraining, BEFORE)):
        tf_keras.utils.set_random_seed(config.seed)
    train = prepared.sequences()
    known = (train.item_index[train.is_first()], prepared.trends(), prepared.context)
    model = build_two_tower(config, prepared.users, prepared.items, *known)
    logged = prepared.touched(prepared.split.train)
    model.task.set_probabilities(sampling_probabilities(logged.item_index, prepared.items.size))
    consumed = train.profiles(len(prepared.data.items))
    if model.items.graph is not None:
        graph = config.models.retrieval.graph
        found = graph_of(prepared.items, consumed, graph.neighbours, graph.cooccurrence, graph.content)
        model.items.graph.set_graph(*found)
    if model.propagation is not None:
        model.propagation.set_edges(consumed)
    return model, pretrain(model, prepared, config, folder, progress)


def pretrain(
    model: TwoTower,
    prepared: Prepared,
    config: Config,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Results:
    """Runs the stages that come before the model is fitted; they change its weights in place.

    They look at the items' content, that of items without interactions included, and at the training interactions; at
    nothing of validation or test.

    Args:
        model: as `build_two_tower` made it.
        prepared: the data.
        config: `pretraining` lists the stages. Those on encoders (`pretrain_encoders`) and those that follow the fit
            (`refine`) are passed over.
        folder: where each stage is saved several times, `stages_folder` as a rule; nothing is saved when None. A
            stage that was killed goes on from there, and one that was finished is loaded, as long as its settings, the
            data and the weights that it starts from are the same. What else lies there of the same names is dropped,
            but for the few that were used last.
        progress: called with (description, epochs done, epochs).

    Returns:
        The results by stage: its name, with `-2` and so on behind it from its second time on, -> what came of it.

    Raises:
        ConfigError: if a stage needs what the schema does not have.
        DataError: if it needs what no item has.
        RunError: if a loss is no longer a number, a checkpoint is damaged, or a teacher is no finished run.
    """
    results = {
        name: _run(stage, BEFORE, model, prepared, config, folder, progress)
        for name, stage in named_stages(config.pretraining, BEFORE)
    }
    leave_stages(config, BEFORE, folder)
    return results


def refine(
    model: TwoTower,
    prepared: Prepared,
    config: Config,
    folder: Path | None = None,
    progress: Progress | None = None,
    score: Callable[[], float] | None = None,
) -> Results:
    """Runs the stages that follow the fit, which learn from what the model has become sure of.

    Args:
        model: a fitted model.
        prepared, config, folder, progress: as for `pretrain`.
        score: judges the model, on validation data; higher is better. With it, a stage that makes the model worse is
            undone: a model's mistakes are examples too.

    Returns:
        The results by stage, as `pretrain` gives them; with a score their histories hold `score` too, before and after,
        of which the better one is kept.
    """
    results = {}
    for name, stage in named_stages(config.pretraining, AFTER):
        weights = [variable.numpy() for variable in model.trainable_variables]
        before = None if score is None else float(score())
        results[name] = _run(stage, AFTER, model, prepared, config, folder, progress)
        if score is not None:
            after = float(score())
            results[name].history["score"] = [before, after]
            if after < before:
                for variable, value in zip(model.trainable_variables, weights):
                    variable.assign(value)
    leave_stages(config, AFTER, folder)
    return results


def _run(stage, makers, model, prepared, config, folder, progress) -> StageResult:
    if stage.stage == LINEAR:
        return linear_alignment(model, prepared, stage)

    def make(seed):
        return makers[stage.stage](model, prepared, stage, seed)

    # The stages train parts of the model, and by its loss.
    told = {"models": {"retrieval"}, "fusion": True, "alignment": True, "tasks": True}
    return run_stage(stage, make, config, folder, progress, settings=config.model_dump(mode="json", include=told))
