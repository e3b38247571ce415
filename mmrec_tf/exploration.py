"""The exploration of a run: fitted once the ranker is, kept beside it, and part of what is exported."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from mmrec_tf.config import Config
from mmrec_tf.errors import RunError
from mmrec_tf.evaluation.stage_lists import StageLists, score_pairs
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.explorer import Explorer
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.run import Run, replacing

_BATCH = 8192


def fit_explorer(prepared: Prepared, retrieval: TwoTower, ranking: Ranker) -> Explorer:
    """An `Explorer` as `models.ranking.exploration` says, that has seen the training interactions.

    Args:
        prepared: the data; its configuration has an exploration.
        retrieval, ranking: the trained models, as training left them.
    """
    train, users = prepared.split.train, np.arange(len(prepared.data.users))
    examples = prepared.ranking_examples(train, prepared.sequences())
    scores = score_pairs(ranking, examples)
    if ranking.target == "rating":
        error = np.mean(np.square(scores - examples["label"]))
        weights = np.full(len(scores), 1.0 / max(error, 1e-6), np.float32)
    else:
        chances = np.asarray(ranking.predictions(scores))
        weights = chances * (1.0 - chances)
    queries, candidates = StageLists(prepared.sequences(), users, None).embeddings(retrieval)
    explorer = _explorer(prepared.config, queries.shape[1])
    for start in range(0, len(train), _BATCH):
        rows = slice(start, start + _BATCH)
        explorer.learn(
            tf.constant(queries[examples["user_index"][rows] - 1]),
            tf.constant(candidates[examples["item_index"][rows]]),
            tf.constant(weights[rows]),
        )
    return explorer


def save_explorer(run: Run, explorer: Explorer) -> None:
    """Keeps it with the weights of a run's models."""
    with replacing(_path(run)) as path, path.open("wb") as file:
        np.savez(file, *explorer.get_weights())


def load_explorer(run: Run, config: Config) -> Explorer:
    """The exploration of a run whose configuration has one.

    Raises:
        RunError: if it was trained without.
    """
    path = _path(run)
    if not path.is_file():
        raise RunError(f"{path} is not there: the run was trained without exploration. Train again with: mmrec train")
    with np.load(path, allow_pickle=False) as content:
        weights = [content[f"arr_{place}"] for place in range(len(content.files))]
    # The features of the head are twice as wide as the embeddings.
    explorer = _explorer(config, max(weight.shape[0] for weight in weights if weight.ndim == 1) // 2)
    explorer.set_weights(weights)
    return explorer


def _explorer(config: Config, dim: int) -> Explorer:
    options = config.models.ranking.exploration
    return Explorer(dim, options.method, options.strength, options.precision, config.seed)


def _path(run: Run) -> Path:
    return run.folder / "checkpoints" / "exploration.npz"
