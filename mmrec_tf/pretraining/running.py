"""What running stages has in common, whatever they change: names, seeds, and the folder they are kept in."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np
import tf_keras

from mmrec_tf.config import Config
from mmrec_tf.config_pretraining import STAGES, FittedStageConfig, StageConfig
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.checkpoints import tidy
from mmrec_tf.pretraining.fitting import Progress, StageResult, fit_stage
from mmrec_tf.pretraining.stage_model import StageModel

Results = dict[str, StageResult]

KEPT = 4
"""Earlier stages of a name that stay on disk: those of yesterday's data, or of settings that are tried in turn."""


def stages_folder(config: Config) -> Path:
    """Where stages are saved: beside the vectors that they are computed from."""
    return config.store / "pretraining"


def named_stages(stages: list[StageConfig], kinds: Collection[str]) -> Iterator[tuple[str, StageConfig]]:
    """The stages of some kinds, each with a name of its own: `-2` and so on stands behind its second occurrence."""
    seen = Counter()
    for stage in stages:
        if stage.stage in kinds:
            seen[stage.stage] += 1
            yield stage.stage + (f"-{seen[stage.stage]}" if seen[stage.stage] > 1 else ""), stage


def run_stage(
    stage: FittedStageConfig,
    make: Callable[[int], tuple[StageModel, Batches, list[np.ndarray]]],
    config: Config,
    folder: Path | None,
    progress: Progress | None,
    only_load: bool = False,
    settings: dict | None = None,
) -> StageResult:
    """Makes a stage's model, batches and sources from the configuration's seed, and fits it; see `fit_stage`."""
    # Before the heads are made, whose first weights are part of what is found again.
    tf_keras.utils.set_random_seed(config.seed)
    model, batches, sources = make(config.seed)
    return fit_stage(
        model,
        batches,
        stage,
        sources=sources,
        seed=config.seed,
        folder=folder,
        progress=progress,
        only_load=only_load,
        settings=settings,
    )


def leave_stages(config: Config, kinds: Collection[str], folder: Path | None) -> None:
    """Puts things in order behind the last of the stages of some kinds."""
    used = Counter(stage.stage for stage in config.pretraining if stage.stage in kinds)
    if not used:
        return
    # So that what follows draws the same whether stages were run, taken up in their middle, or loaded.
    tf_keras.utils.set_random_seed(config.seed)
    if folder is not None:
        tidy(folder, {name: KEPT + count for name, count in used.items()})


def prune_stages(config: Config) -> int:
    """Drops saved stages that the configuration does not ask for, and of those that it does all but the latest.

    Returns:
        Bytes freed.
    """
    asked = Counter(stage.stage for stage in config.pretraining)
    return tidy(stages_folder(config), {name: asked[name] for name in STAGES})
