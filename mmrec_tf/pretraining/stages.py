"""The stages that a configuration asks for, run in their order: on encoders, before the fit, and after it."""

from collections.abc import Callable
from pathlib import Path

import tf_keras

from mmrec_tf.config import Config, suggestion
from mmrec_tf.config_pretraining import MaskedLanguageConfig, StageConfig
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.errors import ConfigError
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.pretraining.cross_modal import cross_modal
from mmrec_tf.pretraining.denoising import denoising
from mmrec_tf.pretraining.distillation import distillation
from mmrec_tf.pretraining.fitting import Progress, fit_stage
from mmrec_tf.pretraining.masked_item import masked_item
from mmrec_tf.pretraining.masked_language import masked_language
from mmrec_tf.pretraining.masked_modality import masked_modality
from mmrec_tf.pretraining.pseudo_labels import pseudo_labels

History = dict[str, dict[str, list[float]]]

_BEFORE: dict[str, Callable] = {
    "masked_modality": masked_modality,
    "cross_modal": cross_modal,
    "denoising": denoising,
    "masked_item": masked_item,
    "distillation": distillation,
}
_AFTER: dict[str, Callable] = {"pseudo_labels": pseudo_labels}
_ENCODERS = ("masked_language",)


def pretrain(
    model: TwoTower,
    prepared: Prepared,
    config: Config,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> History:
    """Runs the stages that come before the model is fitted; they change its weights in place.

    They look at the items' content, that of items without interactions included, and at the training interactions; at
    nothing of validation or test.

    Args:
        model: as `build_two_tower` made it.
        prepared: the data.
        config: `pretraining` lists the stages. Those on encoders (`pretrain_encoders`) and those that follow the fit
            (`refine`) are passed over.
        folder: where each stage is saved after every epoch; nothing is saved when None. A stage that was killed goes on
            from there, and one that was finished is loaded, as long as its settings, the data and the weights that it
            starts from are the same.
        progress: called with (description, epochs done, epochs).

    Returns:
        The histories by stage: its name (with `-2` and so on behind it from its second time on) -> what it reports, one
        value per epoch.

    Raises:
        ConfigError: if a stage needs what the schema does not have.
        DataError: if it needs what no item has.
        RunError: if a loss is no longer a number, a checkpoint is damaged, or a teacher is no finished run.
    """
    return _run(config, _BEFORE, lambda make, stage, seed: make(model, prepared, stage, seed), folder, progress)


def refine(
    model: TwoTower,
    prepared: Prepared,
    config: Config,
    folder: Path | None = None,
    progress: Progress | None = None,
    score: Callable[[], float] | None = None,
) -> History:
    """Runs the stages that follow the fit, which learn from what the model has become sure of.

    Args:
        model: a fitted model.
        prepared, config, folder, progress: as for `pretrain`.
        score: judges the model, on validation data; higher is better. With it, a stage that makes the model worse is
            undone: a model's mistakes are examples too.

    Returns:
        The histories by stage, as `pretrain` gives them; with a score also `score`, before and after, of which the
        better one is kept.
    """

    def run(make, stage, seed):
        return make(model, prepared, stage, seed)

    if score is None:
        return _run(config, _AFTER, run, folder, progress)
    history = {}
    for name, stage in _named(config.pretraining, _AFTER):
        before, weights = float(score()), [variable.numpy() for variable in model.trainable_variables]
        history[name] = _run_one(config, _AFTER, stage, run, folder, progress)
        after = float(score())
        history[name]["score"] = [before, after]
        if after < before:
            for variable, value in zip(model.trainable_variables, weights):
                variable.assign(value)
    _seed_again(config, history)
    return history


def pretrain_encoders(
    encoders: dict[str, Encoder],
    data: RecData,
    config: Config,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> History:
    """Runs the stages on encoders, before the items are embedded; the encoders' fingerprints change with them.

    Args:
        encoders: by item feature, as `build_encoders` makes them; changed in place.
        data: validated data, of which the items' texts are read.
        config, folder, progress: as for `pretrain`.

    Returns:
        The histories by stage, as `pretrain` gives them.

    Raises:
        ConfigError: if no feature, or more than one, is meant.
        EncoderError: if an encoder is of another kind.
        DataError: if there is nothing to read.
    """

    def run(_, stage, seed):
        feature = _text_feature(stage, encoders)
        texts = (encoders[feature].decode(source) for source in data.items[feature])
        return masked_language(encoders[feature], [text for text in texts if text], stage, seed)

    return _run(config, dict.fromkeys(_ENCODERS), run, folder, progress)


def _run(config, makers, make_stage, folder, progress) -> History:
    history = {
        name: _run_one(config, makers, stage, make_stage, folder, progress)
        for name, stage in _named(config.pretraining, makers)
    }
    _seed_again(config, history)
    return history


def _run_one(config, makers, stage: StageConfig, make_stage, folder, progress):
    # Before the heads are made, whose first weights are part of what is found again.
    tf_keras.utils.set_random_seed(config.seed)
    model, batches, sources = make_stage(makers[stage.stage], stage, config.seed)
    return fit_stage(model, batches, stage, sources=sources, seed=config.seed, folder=folder, progress=progress)


def _named(stages, makers):
    """The stages that have a maker, each with a name of its own."""
    seen: dict[str, int] = {}
    for stage in stages:
        if stage.stage in makers:
            seen[stage.stage] = seen.get(stage.stage, 0) + 1
            yield stage.stage + (f"-{seen[stage.stage]}" if seen[stage.stage] > 1 else ""), stage


def _seed_again(config, history):
    # So that what follows draws the same whether stages were run, taken up in their middle, or loaded.
    if history:
        tf_keras.utils.set_random_seed(config.seed)


def _text_feature(stage: MaskedLanguageConfig, encoders):
    texts = sorted(name for name, encoder in encoders.items() if encoder.modality == "text")
    if stage.feature is None and len(texts) == 1:
        return texts[0]
    if stage.feature is None:
        raise ConfigError(
            f"masked_language.feature must name the text feature that is meant; there are {len(texts)}"
            f"{': ' + ', '.join(texts) if texts else ''}."
        )
    if stage.feature not in texts:
        raise ConfigError(
            f"masked_language.feature {stage.feature!r} is no text feature with an encoder."
            f"{suggestion(stage.feature, texts)} Allowed: {', '.join(texts) or 'none'}."
        )
    return stage.feature
