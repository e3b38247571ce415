"""Exporting a trained chain as SavedModels that TensorFlow Serving takes as they are."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from mmrec_tf.recommend.engine import RecommendationEngine

_IDS = tf.TensorSpec([None], tf.string)
_K = tf.TensorSpec([None], tf.int32)
_NAMES = tf.TensorSpec([None, None], tf.string)
_WEIGHTS = tf.TensorSpec([None, None], tf.float32)


def export_models(
    engine: RecommendationEngine,
    folder: str | Path,
    k: int = 10,
    progress: Callable[[str, int, int], None] | None = None,
    modality_weights: bool = True,
) -> dict[str, Path]:
    """Writes `retrieval`, `ranking` (where there is a ranker) and `recommend`, each as the next integer version.

    A version appears in one rename, because the server polls the folder and would load a half-written one.

    Signatures, every input with a batch dimension:

    - `recommend`: `serving_default(user_id)`, `recommend(user_id, k)`, `recommend_weighted(user_id, k, modality,
      weight)` -> `item_id`, `score` `[batch, k]`; `explain(user_id, item_id)` -> `score` `[batch]`, `contribution` and
      `part` `[batch, parts]`. `modality` (string) and `weight` (float32) are `[batch, n]`, and what they do not name
      has weight 1; see `RecommendationEngine`.
    - `retrieval`: `serving_default(user_id)`, `retrieve(user_id, k)`, `similar_items(item_id, k)`,
      `embed_user(user_id)`, `embed_item(item_id)` -> `embedding` `[batch, dim + 2]`, whose dot product is
      the retrieval score.
    - `ranking`: `serving_default(user_id, item_id)`, also named `rank` -> `score` `[batch]`, one pair per row.

    `k` is taken from the batch's largest; a row that asked for less is cut by the client.

    Args:
        engine: the trained chain.
        folder: the export folder, one sub-folder per model.
        k: int. Items that `serving_default` returns.
        modality_weights: bool. Whether there is `recommend_weighted`, for which the `recommend` model holds the item
            embeddings once more for each modality. Defaults to True.

    Returns:
        Model name -> path of the version written.
    """
    folder = Path(folder)
    signatures = _signatures(engine, k, modality_weights)
    written = {}
    for number, (name, functions) in enumerate(signatures.items()):
        if progress is not None:
            progress("exporting", number, len(signatures))
        written[name] = _write_version(engine, functions, folder / name)
    if progress is not None:
        progress("exporting", len(signatures), len(signatures))
    return written


def _signatures(engine: RecommendationEngine, k: int, modality_weights: bool) -> dict[str, dict[str, Callable]]:
    def largest(k):
        # A list has one length for the whole batch, and no request may ask for more places than there are items.
        return tf.clip_by_value(tf.reduce_max(k), 1, engine.item_count)

    def listed(function):
        def with_k(user_id, k):
            item_id, score = function(user_id, largest(k))
            return {"item_id": item_id, "score": score}

        return with_k

    def fixed(function, size):
        def without_k(user_id):
            item_id, score = function(user_id, tf.constant(size))
            return {"item_id": item_id, "score": score}

        return without_k

    @tf.function(input_signature=[_named(_IDS, "item_id"), _named(_K, "k")])
    def similar_items(item_id, k):
        neighbour_id, score = engine.similar_items(item_id, largest(k))
        return {"item_id": neighbour_id, "score": score}

    @tf.function(input_signature=[_named(_IDS, "user_id")])
    def embed_user(user_id):
        return {"embedding": engine.embed_user(user_id)}

    @tf.function(input_signature=[_named(_IDS, "item_id")])
    def embed_item(item_id):
        return {"embedding": engine.embed_item(item_id)}

    @tf.function(input_signature=[_named(_IDS, "user_id"), _named(_IDS, "item_id")])
    def rank(user_id, item_id):
        return {"score": engine.rank_pairs(user_id, item_id)}

    @tf.function(input_signature=[_named(_IDS, "user_id"), _named(_IDS, "item_id")])
    def explain(user_id, item_id):
        score, contribution, part = engine.explain(user_id, item_id)
        return {"score": score, "contribution": contribution, "part": part}

    @tf.function(
        input_signature=[
            _named(_IDS, "user_id"),
            _named(_K, "k"),
            _named(_NAMES, "modality"),
            _named(_WEIGHTS, "weight"),
        ]
    )
    def recommend_weighted(user_id, k, modality, weight):
        item_id, score = engine.recommend_weighted(user_id, largest(k), modality, weight)
        return {"item_id": item_id, "score": score}

    by_user = [_named(_IDS, "user_id")]
    by_user_and_k = [_named(_IDS, "user_id"), _named(_K, "k")]
    models = {
        "recommend": {
            "serving_default": tf.function(fixed(engine.recommend, k), input_signature=by_user),
            "recommend": tf.function(listed(engine.recommend), input_signature=by_user_and_k),
            "explain": explain,
            **({"recommend_weighted": recommend_weighted} if modality_weights else {}),
        },
        "retrieval": {
            "serving_default": tf.function(fixed(engine.retrieve_ids, k), input_signature=by_user),
            "retrieve": tf.function(listed(engine.retrieve_ids), input_signature=by_user_and_k),
            "similar_items": similar_items,
            "embed_user": embed_user,
            "embed_item": embed_item,
        },
    }
    if engine.ranking is not None:
        models["ranking"] = {"serving_default": rank, "rank": rank}
    return models


def _named(spec: tf.TensorSpec, name: str) -> tf.TensorSpec:
    return tf.TensorSpec(spec.shape, spec.dtype, name=name)


def _write_version(engine: RecommendationEngine, signatures: dict[str, Callable], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    versions = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    target = folder / str(max(versions, default=0) + 1)
    # The server only looks at integer names, so the unfinished version stays out of its sight.
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder))
    try:
        tf.saved_model.save(_Servable(engine, signatures), str(unfinished / "model"), signatures=signatures)
        (unfinished / "model").rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


class _Servable(tf.Module):
    """What one SavedModel tracks: the tables and variables that its signatures use, and nothing of Keras."""

    def __init__(self, engine: RecommendationEngine, signatures: dict[str, Callable]):
        super().__init__()
        self.tables = [engine.user_table, engine.item_table]
        captured = {
            id(variable): variable
            for function in signatures.values()
            for variable in function.get_concrete_function().variables
        }
        self.tracked = list(captured.values())
